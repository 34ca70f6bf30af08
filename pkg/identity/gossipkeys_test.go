package identity_test

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rollcall-metrics/rollcall/pkg/identity"
	"github.com/rollcall-metrics/rollcall/pkg/identity/identitytest"
)

func TestGossipKeys(t *testing.T) {
	key := func(n int, c string) string {
		return base64.StdEncoding.EncodeToString([]byte(strings.Repeat(c, n)))
	}
	tests := map[string]struct {
		file string
		want int // keys
		err  string
	}{
		"one":             {key(32, "a"), 1, ""},
		"three":           {key(32, "a") + "\n" + key(24, "b") + "\n" + key(16, "c") + "\n", 3, ""},
		"comments":        {"# new\n\n  " + key(32, "a") + " \r\n# old\n" + key(32, "b"), 2, ""},
		"empty":           {"", 0, "keys.txt: no key"},
		"comments only":   {"# nothing\n", 0, "keys.txt: no key"},
		"not base64":      {"# x\nS3cret!!\n", 0, "keys.txt:2: not base64"},
		"wrong length":    {key(32, "a") + "\n" + key(20, "b"), 0, "keys.txt:2: key of 20 bytes"},
		"twice":           {key(32, "a") + "\n\n" + key(32, "a"), 0, "keys.txt:3: the same key"},
		"half-written":    {key(32, "a")[:41], 0, "keys.txt:1: not base64"},
		"cut at a group":  {key(32, "a")[:40], 0, "keys.txt:1: key of 30 bytes"},
		"URL-safe base64": {strings.Repeat("-_", 16), 0, "keys.txt:1: not base64"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "keys.txt")
			if err := os.WriteFile(path, []byte(tt.file), 0o600); err != nil {
				t.Fatal(err)
			}
			keys, err := identity.GossipKeys(path)
			if tt.err == "" {
				if err != nil || len(keys) != tt.want || keys[0][0] != 'a' {
					t.Fatalf("%d keys, %v", len(keys), err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Fatalf("got %v, want %q", err, tt.err)
			}
			if strings.Contains(err.Error(), "S3cret") {
				t.Errorf("the error shows the key: %v", err)
			}
		})
	}
}

func TestGossipKeysMissingFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none")
	if _, err := identity.GossipKeys(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v", err)
	}
}

func TestWriteGossipKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.txt")
	if err := identitytest.WriteGossipKey(path); err != nil {
		t.Fatal(err)
	}
	keys, err := identity.GossipKeys(path)
	if err != nil || len(keys) != 1 || len(keys[0]) != 32 {
		t.Fatalf("%d keys, %v", len(keys), err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}
