package expected

import (
	"bytes"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestOpenFile(t *testing.T) {
	for _, tc := range []struct {
		name, content string
		nodes         []string
		addresses     map[string]string
		err           string // after the path
	}{
		{name: "names", content: "node-2\nnode-1\n", nodes: []string{"node-1", "node-2"}},
		{name: "no newline at the end", content: "node-1", nodes: []string{"node-1"}},
		{name: "windows newlines", content: "node-1\r\nnode-2\r\n", nodes: []string{"node-1", "node-2"}},
		{name: "comments and blanks", content: "# all of them\n\n  node-1  # the first\n\t\n#node-2\n", nodes: []string{"node-1"}},
		{
			name:    "addresses",
			content: "a 10.0.0.1\nb\t10.0.0.2:7946\nc fd00::1\nd [fd00::2]:7946\ne e.example:7946\nf f.example.\ng\n",
			nodes:   []string{"a", "b", "c", "d", "e", "f", "g"},
			addresses: map[string]string{
				"a": "10.0.0.1", "b": "10.0.0.2:7946", "c": "fd00::1", "d": "[fd00::2]:7946", "e": "e.example:7946", "f": "f.example.",
			},
		},
		{name: "empty", content: "", err: ": no node"},
		{name: "only comments", content: "# node-1\n", err: ": no node"},
		{name: "upper case", content: "node-1\nNode-2\n", err: `:2: node "Node-2" is not a DNS-1123 subdomain`},
		{name: "three words", content: "\nnode-1 10.0.0.1 7946\n", err: ":2: 3 words"},
		{name: "twice", content: "node-1\nnode-2\nnode-1 10.0.0.1\n", err: `:3: node "node-1" stands in line 1, too`},
		{name: "bad address", content: "node-1 a/b\n", err: `:1: address "a/b" of node node-1: not a host or host:port`},
		{name: "bad port", content: "node-1 10.0.0.1:0\n", err: `:1: address "10.0.0.1:0" of node node-1: port "0"`},
		{name: "no host", content: "node-1 :7946\n", err: ":1: address"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "nodes")
			write(t, path, tc.content)
			f, err := OpenFile(path, slog.New(slog.DiscardHandler))
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), path+tc.err) {
					t.Fatalf("got %v, want %s%s", err, path, tc.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := f.Nodes(); !slices.Equal(got, tc.nodes) {
				t.Errorf("nodes %q, want %q", got, tc.nodes)
			}
			if got := f.Addresses(); !maps.Equal(got, tc.addresses) {
				t.Errorf("addresses %q, want %q", got, tc.addresses)
			}
		})
	}
	t.Run("no file", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "nodes")
		if _, err := OpenFile(path, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("got %v", err)
		}
	})
}

func TestFileIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "nodes")
		write(t, path, "node-1\n")
		var lines bytes.Buffer
		f, err := OpenFile(path, slog.New(slog.NewTextHandler(&lines, nil)))
		if err != nil {
			t.Fatal(err)
		}
		for _, step := range []struct {
			name  string
			do    func()
			after time.Duration
			want  []string
			log   string // of the one line that is logged; "" is none
		}{
			{"changed, too early", func() { write(t, path, "node-1\nnode-2\n") }, checkEvery - 1, []string{"node-1"}, ""},
			{"changed", func() {}, 1, []string{"node-1", "node-2"}, "nodes=2 before=1"},
			{"broken", func() { write(t, path, "node-1\nNODE\n") }, checkEvery, []string{"node-1", "node-2"}, path + ":2: node"},
			{"still broken", func() {}, checkEvery, []string{"node-1", "node-2"}, ""},
			{"emptied", func() { write(t, path, "") }, checkEvery, []string{"node-1", "node-2"}, "no node"},
			{"removed", func() { _ = os.Remove(path) }, checkEvery, []string{"node-1", "node-2"}, "no such file"},
			{"still removed", func() {}, time.Hour, []string{"node-1", "node-2"}, ""},
			{"back", func() { write(t, path, "node-3\n") }, checkEvery, []string{"node-3"}, "nodes=1 before=2"},
			{"as before", func() {}, checkEvery, []string{"node-3"}, ""},
		} {
			lines.Reset()
			step.do()
			time.Sleep(step.after) // of the bubble's clock
			if got := f.Nodes(); !slices.Equal(got, step.want) {
				t.Errorf("%s: got %q, want %q", step.name, got, step.want)
			}
			logged := lines.String()
			if n := strings.Count(logged, "\n"); step.log == "" && n > 0 || step.log != "" && (n != 1 || !strings.Contains(logged, step.log)) {
				t.Errorf("%s: logged %q, want %q", step.name, logged, step.log)
			}
		}
	})
}

func TestFileStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "nodes")
		write(t, path, "node-1\n")
		f, err := OpenFile(path, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		for _, step := range []struct{ name, content, problem string }{
			{"good", "node-1\n", ""},
			{"broken", "NODE\n", path + ":1: node \"NODE\""},
			{"good again", "node-2\n", ""},
		} {
			write(t, path, step.content)
			time.Sleep(checkEvery) // of the bubble's clock
			f.Nodes()
			s := f.Status()
			got := strings.Join(s.Problems, "")
			if s.Source != "the file "+path || (got == "") != (step.problem == "") || !strings.Contains(got, step.problem) {
				t.Errorf("%s: %+v", step.name, s)
			}
		}
	})
}

func TestMissing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nodes")
	write(t, path, "node-1 10.0.0.1\nnode-2 10.0.0.2\nnode-3 10.0.0.3\nnode-4\nnode-9 10.0.0.9\n")
	f, err := OpenFile(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		now  snapshot
		want []string
	}{
		// An aggregator called node-9 is alive in each, and does not count.
		{"all", snapshot{}, []string{"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.9"}},
		{"dead or never here", snapshot{alive: []string{"node-1"}, dead: []string{"node-2"}}, []string{"10.0.0.2", "10.0.0.3", "10.0.0.9"}},
		{"none", snapshot{alive: []string{"node-1", "node-2", "node-3", "node-9", "node-77"}}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := f.Missing(tc.now); !slices.Equal(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
