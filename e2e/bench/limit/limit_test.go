package limit

import (
	"bytes"
	"context"
	"crypto/tls"
	"path/filepath"
	"slices"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/rollcall-metrics/rollcall/e2e/bench/child"
	"github.com/rollcall-metrics/rollcall/pkg/identity"
	"github.com/rollcall-metrics/rollcall/pkg/identity/identitytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start serves two kinds of answers for three nodes.
func start(t *testing.T) ClientRequest {
	dir := t.TempDir()
	authority, err := identitytest.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	self := identity.Peer{Role: identity.Agent, Name: "limit"}
	serverFiles, err := authority.Issue(self)
	if err != nil {
		t.Fatal(err)
	}
	clientFiles, err := authority.Issue(identity.Peer{Role: identity.Aggregator, Name: "bench"})
	if err != nil {
		t.Fatal(err)
	}
	s := &server{}
	for kind, bodies := range [][][]byte{
		{[]byte("a"), {}, bytes.Repeat([]byte("c"), 3)},
		{bytes.Repeat([]byte("d"), 100_000), []byte("e"), bytes.Repeat([]byte("f"), 5000)}, // beyond a record and the first buffer
	} {
		path := filepath.Join(dir, string(rune('0'+kind)))
		if err := WriteRecording(path, bodies); err != nil {
			t.Fatal(err)
		}
		answers, err := readRecording(path)
		if err != nil {
			t.Fatal(err)
		}
		s.answers = append(s.answers, answers)
	}
	id, err := identity.Load(serverFiles, child.ErrorsOnly(), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", id.ServerConfig(identity.Aggregator))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return ClientRequest{Files: clientFiles, Server: self, Addr: l.Addr().String(), Nodes: 3, InFlight: 2}
}

func TestRounds(t *testing.T) {
	q := start(t)
	c := &client{inFlight: q.InFlight}
	defer c.close()
	if err := c.connect(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	for i, o := range []Order{{Kind: 0, Size: 90}, {Kind: 1, Size: 1}, {Kind: 0, Size: maxQuestion}, {Kind: 1, Size: 600}} {
		r, err := c.round(o)
		if err != nil {
			t.Fatalf("round %d: %v", i, err)
		}
		if want := []int64{4, 105_001}[o.Kind]; r.Bytes != want || r.Wall <= 0 {
			t.Errorf("round %d brought %+v, want %d bytes", i, r, want)
		}
	}
}

// What the server does not know it does not answer: it hangs up.
func TestRefused(t *testing.T) {
	q := start(t)
	for _, o := range []Order{{Kind: 2, Size: 1}, {Kind: 0, Size: maxQuestion + 1}} {
		c := &client{inFlight: q.InFlight}
		if err := c.connect(t.Context(), q); err != nil {
			t.Fatal(err)
		}
		if _, err := c.round(o); err == nil {
			t.Errorf("%+v was answered", o)
		}
		c.close()
	}
}

// The client takes only the answer of whom it was told of: TLS is mutual.
func TestWrongServer(t *testing.T) {
	q := start(t)
	q.Server.Name = "another"
	c := &client{inFlight: q.InFlight}
	defer c.close()
	if err := c.connect(t.Context(), q); !identity.Unauthorized(err) {
		t.Errorf("error %v", err)
	}
}

func TestRecording(t *testing.T) {
	path := filepath.Join(t.TempDir(), "recording")
	if err := WriteRecording(path, [][]byte{[]byte("body")}); err != nil {
		t.Fatal(err)
	}
	bodies, err := readRecording(path)
	if err != nil || len(bodies) != 1 || !slices.Equal(bodies[0], []byte("\x00\x00\x00\x04body")) {
		t.Errorf("%q, %v", bodies, err)
	}
}
