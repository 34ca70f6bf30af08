package obs

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

func TestNewLoggerLevels(t *testing.T) {
	tests := []struct {
		level string
		lines int // of debug, info, warn, error
	}{
		{"debug", 4},
		{"info", 3},
		{"warn", 2},
		{"error", 1},
	}
	for _, tt := range tests {
		t.Run(tt.level, func(t *testing.T) {
			var out bytes.Buffer
			log, err := NewLogger(&out, tt.level, "text")
			if err != nil {
				t.Fatal(err)
			}
			log.Debug("m")
			log.Info("m")
			log.Warn("m")
			log.Error("m")
			if got := strings.Count(out.String(), "\n"); got != tt.lines {
				t.Errorf("%d lines, want %d:\n%s", got, tt.lines, &out)
			}
		})
	}
}

func TestNewLoggerJSON(t *testing.T) {
	var out bytes.Buffer
	log, err := NewLogger(&out, "info", "json")
	if err != nil {
		t.Fatal(err)
	}
	log.Info("serving", "port", 8000)
	var record struct {
		Msg  string
		Port int
	}
	if err := json.Unmarshal(out.Bytes(), &record); err != nil {
		t.Fatalf("%v in %s", err, &out)
	}
	if record.Msg != "serving" || record.Port != 8000 {
		t.Errorf("got %s", &out)
	}
}

func TestNewLoggerErrors(t *testing.T) {
	tests := []struct{ name, level, format, want string }{
		{"unknown level", "loud", "text", `--log-level is "loud", want debug, info, warn or error`},
		{"level in capitals", "INFO", "text", `--log-level is "INFO", want debug, info, warn or error`},
		{"no level", "", "json", `--log-level is "", want debug, info, warn or error`},
		{"unknown format", "info", "xml", `--log-format is "xml", want text or json`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := NewLogger(&bytes.Buffer{}, tt.level, tt.format)
			if err == nil || err.Error() != tt.want {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}
