package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-metrics/rollcall/pkg/identity"
	"github.com/rollcall-metrics/rollcall/pkg/roster"
)

// fireLeavers is how many clients go away at once, and how many questions are
// under way when an aggregator is told to stop: all that are answered at a time.
const fireLeavers = 4

// Clients go away in the middle of an answer, and before it has begun. Nobody
// works for them any more, nowhere.
func fireDisconnects(t *testing.T, f *fire) {
	a := f.aggregators[0]
	f.until(t, "nobody works", f.idle)

	// More than what sockets buffer, and less than what the aggregator holds.
	window := "15m"
	if f.cfg.VirtualNodes >= largeFrom {
		window = "15s"
	}
	var conns []net.Conn
	for range fireLeavers {
		conn := f.request(t, a, "/api/v1/pod?"+allMetrics+"&window="+window+"&timeout=30s")
		conns = append(conns, conn)
		begin := make([]byte, 64<<10)
		if n, err := io.ReadAtLeast(conn, begin, len("HTTP/1.1 200")); err != nil || !bytes.HasPrefix(begin, []byte("HTTP/1.1 200")) {
			t.Fatalf("%q, %v", begin[:n], err)
		}
		if _, err := io.ReadFull(conn, begin); err != nil {
			t.Fatal(err)
		}
	}
	if f.idle() == nil {
		t.Error("answers that nobody reads are finished")
	}
	for _, conn := range conns {
		_ = conn.Close()
	}
	f.until(t, "nobody works after answers were broken off", func() error { return errors.Join(f.quiet(a), f.idle()) })

	// Questions that have to wait for nodes, and would for most of a minute.
	const long = time.Minute
	a.cfg.Fanout.NodeTimeout = long
	f.restart(t, a)
	nodes := f.virtual.Nodes()
	f.set(t, nodes, "slow:1h")
	conns = conns[:0]
	for range fireLeavers {
		conns = append(conns, f.request(t, a, fmt.Sprintf("/api/v1/node?window=1m&timeout=%v", long)))
	}
	f.until(t, "nodes are being asked", func() error {
		s, err := f.fanout(a)
		if err == nil && s.Full < fireLeavers {
			err = fmt.Errorf("%+v", s)
		}
		return err
	})
	for _, conn := range conns {
		_ = conn.Close()
	}
	left := time.Now()
	// The agents' goroutines, too.
	f.until(t, "nobody works after questions were broken off", func() error { return errors.Join(f.quiet(a), f.idle()) })
	if took := time.Since(left); took > long/2 {
		t.Errorf("the questions ended after %v, by themselves", took)
	}
	if s, err := f.fanout(a); err != nil || s.Answers["canceled"] == 0 {
		t.Errorf("nothing was canceled: %+v, %v", s, err)
	}
	f.set(t, nodes, "none")
	a.cfg.Fanout.NodeTimeout = fireNodeTimeout
	f.restart(t, a)
}

// request sends a question over a connection of its own, with a small buffer.
func (f *fire) request(t *testing.T, a *aggregator, path string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp4", a.cfg.Listen)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := errors.Join(conn.(*net.TCPConn).SetReadBuffer(4<<10), conn.SetDeadline(time.Now().Add(f.patience))); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: test\r\n\r\n", path); err != nil {
		t.Fatal(err)
	}
	return conn
}

// Two aggregators, which know nothing of each other's snapshot, give the same
// newest values, byte by byte, and the same tag for them.
func fireTwins(t *testing.T, f *fire) {
	if len(f.aggregators) < 2 {
		t.Skip("there is only one")
	}
	for _, path := range []string{"/api/v1/node?latest=true", "/api/v1/pod/checkout?latest=true"} {
		f.until(t, "the same newest values at "+path, func() error {
			var tags, bodies [2]string
			for i, a := range f.aggregators {
				resp, err := f.web.Get(a.url() + path)
				if err != nil {
					return err
				}
				b, err := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				if err != nil || resp.StatusCode != http.StatusOK {
					return fmt.Errorf("status %d, %w", resp.StatusCode, err)
				}
				tags[i], bodies[i] = resp.Header.Get("ETag"), string(b)
			}
			if tags[0] == "" || tags[0] != tags[1] {
				return fmt.Errorf("tags %q", tags) // one slot and the next
			}
			if bodies[0] != bodies[1] || !strings.Contains(bodies[0], `"complete":true`) {
				t.Errorf("two answers with the tag %s:\n%.300s\n%.300s", tags[0], bodies[0], bodies[1])
			}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.aggregators[1].url()+path, nil)
			if err != nil {
				return err
			}
			req.Header.Set("If-None-Match", tags[0])
			resp, err := f.web.Do(req)
			if err != nil {
				return err
			}
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusNotModified {
				return fmt.Errorf("the other one's tag %s: status %d", tags[0], resp.StatusCode)
			}
			return nil
		})
	}
}

// An aggregator is told to stop while it is asked. What it has begun it
// finishes, new questions it refuses, and agents hear that it has left.
func fireStop(t *testing.T, f *fire) {
	a := f.other()
	watcher, err := roster.Start(f.ctx, roster.Config{
		Name: "watcher", Role: identity.Agent, PeerPort: 1, Bind: f.cfg.host(3, 0), Port: gossipPort,
		Join: f.seeds(), Label: f.label, KeyFile: f.keyFile, Timing: f.timing(),
	}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := watcher.Kill(); err != nil {
			t.Error(err)
		}
	}()
	f.until(t, "an agent knows of it", func() error { return isState(watcher, a.name, roster.Alive) })
	nodes := f.virtual.Nodes()
	f.slow(t, "slow:800ms")

	var asking sync.WaitGroup
	var over, finished, refused atomic.Int64
	for range fireLeavers {
		asking.Go(func() {
			defer over.Add(1)
			r, err := f.get(a, "/api/v1/node?"+f.window())
			if err != nil || r.status != http.StatusOK {
				t.Errorf("a question that was under way: status %d, %+v, %v", r.status, r.Error, err)
				return
			}
			_ = f.judgeNodes(t, r, nil) // a busy machine may be too slow for some
		})
	}
	f.until(t, "questions are under way", func() error {
		s, err := f.fanout(a)
		if err == nil && s.Full < fireLeavers && over.Load() == 0 {
			err = fmt.Errorf("%+v", s)
		}
		return err
	})
	for range fireLeavers {
		asking.Go(func() {
			for {
				status, err := f.flood(a)
				switch {
				case status == 0 && (errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.EOF)):
					refused.Add(1) // not a byte has come
					return
				case err != nil:
					t.Errorf("an answer that was under way: status %d, %v", status, err)
					return
				}
				finished.Add(1)
			}
		})
	}
	if err := a.stop(false); err != nil {
		t.Error(err)
	}
	asking.Wait()
	t.Logf("%d finished, %d refused", finished.Load(), refused.Load())
	if status, err := f.flood(a); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("after its end: status %d, %v", status, err)
	}
	f.until(t, "an agent has heard that it left", func() error { return isState(watcher, a.name, roster.Left) })
	f.set(t, nodes, "none")
	f.restart(t, a)
	f.mend(nodes)
}

// isState tells whether a member knows an aggregator to be in that state.
func isState(r *roster.Roster, name string, want roster.State) error {
	if _, state := r.Snapshot().Lookup(identity.Aggregator, name); state != want {
		return fmt.Errorf("%s is %v", name, state)
	}
	return nil
}
