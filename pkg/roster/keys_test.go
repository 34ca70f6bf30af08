package roster

import (
	"bytes"
	"encoding/base64"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/rollcall-metrics/rollcall/pkg/identity"
)

// key is an AES-256 key that is easy to recognize.
func key(c byte) []byte { return bytes.Repeat([]byte{c}, 32) }

func writeKeys(t *testing.T, path, letters string) {
	t.Helper()
	text := ""
	for _, c := range []byte(letters) {
		text += base64.StdEncoding.EncodeToString(key(c)) + "\n"
	}
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// letters is the ring as writeKeys would write it.
func letters(ring *memberlist.Keyring) string {
	text := ""
	for _, k := range ring.GetKeys() {
		text += string(k[:1])
	}
	return text
}

func TestInstallKeys(t *testing.T) {
	tests := map[string]struct{ from, to string }{
		"add one":            {"a", "ab"},
		"swap":               {"ab", "ba"},
		"remove the old":     {"ba", "b"},
		"replace at once":    {"a", "b"},
		"remove the middle":  {"abc", "ac"},
		"all new":            {"abcd", "efg"},
		"remove and reorder": {"abcdef", "fdb"},
		"the same":           {"abc", "abc"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			keysOf := func(letters string) (keys [][]byte) {
				for _, c := range []byte(letters) {
					keys = append(keys, key(c))
				}
				return keys
			}
			ring, err := memberlist.NewKeyring(keysOf(tt.from), key(tt.from[0]))
			if err != nil {
				t.Fatal(err)
			}
			// Packets are decrypted meanwhile; the race detector watches.
			stop := make(chan struct{})
			var wg sync.WaitGroup
			wg.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
						letters(ring)
					}
				}
			})
			err = (&keyring{ring: ring}).install(keysOf(tt.to))
			close(stop)
			wg.Wait()
			if got := letters(ring); err != nil || got[0] != tt.to[0] || len(got) != len(tt.to) || strings.Trim(got, tt.to) != "" {
				t.Errorf("ring %s, want %s: %v", got, tt.to, err)
			}
		})
	}
}

func TestKeyFileIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "keys")
		writeKeys(t, path, "a")
		var logged bytes.Buffer
		k, err := openKeyring(func() ([][]byte, error) { return identity.GossipKeys(path) }, slog.New(slog.NewTextHandler(&logged, nil)))
		if err != nil {
			t.Fatal(err)
		}
		go k.follow(t.Context(), 10*time.Second)
		step := func() {
			time.Sleep(30 * time.Second) // of the bubble's clock
			synctest.Wait()
		}
		writeKeys(t, path, "ba")
		step()
		if got := letters(k.ring); got != "ba" {
			t.Errorf("ring %s", got)
		}
		if err := os.WriteFile(path, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
		step()
		if got := letters(k.ring); got != "ba" {
			t.Errorf("a broken file left %s", got)
		}
		writeKeys(t, path, "b")
		step()
		if got := letters(k.ring); got != "b" {
			t.Errorf("ring %s", got)
		}
		if s := logged.String(); strings.Count(s, "not reloaded") != 1 || strings.Count(s, "keys reloaded") != 2 {
			t.Errorf("logged:\n%s", s)
		}
	})
}

func TestKeyRotation(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	dir := t.TempDir()
	with := func(name, letters string) func(*Config) {
		path := filepath.Join(dir, name)
		writeKeys(t, path, letters)
		return func(c *Config) { c.KeyFile = path }
	}
	a := f.start(identity.Aggregator, "aggregator-0", with("aggregator-0", "a"))
	agent := func(name, letters string) member {
		change := with(name, letters)
		return f.start(identity.Agent, name, func(c *Config) { joining(a)(c); change(c) })
	}
	b := agent("node-1", "a")
	awaitAll(t, a, b)
	for _, letters := range []string{"ab", "ba", "b"} {
		for _, m := range []member{a, b} {
			writeKeys(t, m.cfg.KeyFile, letters)
		}
		for _, m := range []member{a, b} {
			eventually(t, "keys "+letters, func() bool { return strings.Contains(m.keyLetters(), letters) && len(m.keyLetters()) == len(letters) })
		}
	}
	c := agent("node-2", "b")
	awaitAll(t, a, b, c)
	old := agent("node-3", "a")
	eventually(t, "the old key is refused", func() bool { return old.count(t, "rollcall_roster_joins_total", "failed") > 0 })
	if old.Joined() {
		t.Error("the old key is still good")
	}
}

func (m member) keyLetters() string { return letters(m.keys.ring) }
