package agents

import (
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/rollcall-metrics/rollcall/pkg/coverage"
	"github.com/rollcall-metrics/rollcall/pkg/identity"
	"github.com/rollcall-metrics/rollcall/pkg/model"
	"github.com/rollcall-metrics/rollcall/pkg/wire"
)

func TestAsk(t *testing.T) {
	big := strings.Repeat("x", 1<<20)
	for _, tc := range []struct {
		name   string
		chunks []string
		known  bool
	}{
		{"chunks", []string{"one", "two", "three"}, true},
		{"large chunks", []string{big, big, big}, true},
		{"nothing now, but before", nil, true},
		{"nothing ever", nil, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFleet(t)
			want := model.Query{Pods: true, Namespace: "a b&c", Pod: "web-0", From: 900, To: 1785}
			f.serve(f.agentTLS(node), func(w http.ResponseWriter, r *http.Request) {
				got, err := wire.ParseQuery(r.URL.Query())
				if r.URL.Path != wire.ChunksPath || got != want || err != nil {
					t.Errorf("asked %s: %+v, %v", r.URL.Path, got, err)
				}
				_ = begin(w, node, tc.chunks...).End(tc.known, nil)
			})
			got, err := f.client(Config{}).Ask(t.Context(), node, want, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got.Node != node || got.Known != tc.known || len(got.Chunks) != len(tc.chunks) {
				t.Fatalf("node %q, known %t, %d chunks; want %d", got.Node, got.Known, len(got.Chunks), len(tc.chunks))
			}
			for i, c := range got.Chunks {
				if string(c) != tc.chunks[i] {
					t.Errorf("chunk %d: %d bytes, want %d", i, len(c), len(tc.chunks[i]))
				}
			}
		})
	}
}

func TestDebug(t *testing.T) {
	f := newFleet(t)
	f.serve(f.agentTLS(node), func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != wire.DebugPath+"pprof/heap" || r.URL.RawQuery != "debug=1" {
			http.NotFound(w, r)
			return
		}
		_, _ = io.WriteString(w, "a page")
	})
	c := f.client(Config{})
	for _, tc := range []struct {
		name, page, query string
		status            int
		body              string
	}{
		{"a page", "pprof/heap", "debug=1", 200, "a page"},
		{"none", "rings", "", 404, "404 page not found\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			resp, err := c.Debug(t.Context(), node, tc.page, tc.query)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = resp.Body.Close() }()
			body, err := io.ReadAll(resp.Body)
			if resp.StatusCode != tc.status || string(body) != tc.body || err != nil {
				t.Errorf("status %d, body %q, %v", resp.StatusCode, body, err)
			}
		})
	}
	_, err := c.Debug(t.Context(), "node-2", "ring", "")
	if Outcome(err) != coverage.NotInRoster {
		t.Errorf("unknown node: %v", err)
	}
}

// The alert that says why is lost if the write that follows it fails first.
func TestRefusalIsNotABrokenPipe(t *testing.T) {
	f := newFleet(t)
	agent := f.serve(f.agentTLS(node), frames(node))
	d := f.clientAs(identity.Peer{Role: identity.Agent, Name: "node-2"}, Config{}).dialer
	c, err := d.connect(t.Context(), Target{Node: node, At: netip.MustParseAddrPort(agent.Listener.Addr().String())})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	for err == nil { // until the agent's reset has come
		_, err = c.Write([]byte("GET / HTTP/1.1\r\n"))
	}
	if !identity.Unauthorized(err) {
		t.Errorf("got %v", err)
	}
}

func BenchmarkAsk(b *testing.B) {
	f := newFleet(b)
	f.serve(f.agentTLS(node), frames(node, strings.Repeat("x", 600)))
	c := f.client(Config{})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Ask(b.Context(), node, model.Query{To: 900}, nil); err != nil {
			b.Fatal(err)
		}
	}
}
