package app

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"k8s.io/klog/v2"
)

func TestLogKubernetes(t *testing.T) {
	defer klog.ClearLogger()
	for level, want := range map[slog.Level]int{slog.LevelInfo: errorsPerMinute, slog.LevelDebug: 2 * errorsPerMinute} {
		var out strings.Builder
		LogKubernetes(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: level})))
		for range 2 * errorsPerMinute {
			klog.ErrorS(errors.New("bad token"), "Unable to authenticate the request")
		}
		if got := strings.Count(out.String(), "bad token"); got != want {
			t.Errorf("at %v %d errors of %d, want %d", level, got, 2*errorsPerMinute, want)
		}
		if got := strings.Count(out.String(), "level=WARN"); got != errorsPerMinute {
			t.Errorf("at %v %d warnings", level, got)
		}
		out.Reset()
		klog.InfoS("Starting controller")
		if got := strings.Contains(out.String(), "level=DEBUG"); got != (level == slog.LevelDebug) {
			t.Errorf("at %v: %q", level, out.String())
		}
	}
}
