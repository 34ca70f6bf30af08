package agents

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/identity"
	"github.com/rollcall-metrics/rollcall/pkg/model"
	"github.com/rollcall-metrics/rollcall/pkg/roster"
)

// watch is a Watch of the fleet's roster; change makes it look again.
type watch struct {
	*fleet
	mu      sync.Mutex
	changed chan struct{}
}

func (w *watch) look() ([]roster.Member, <-chan struct{}) {
	w.fleet.mu.Lock()
	defer w.fleet.mu.Unlock()
	var here []roster.Member
	for name, m := range w.known {
		if w.states[name] == roster.Alive {
			here = append(here, m)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.changed = make(chan struct{})
	return here, w.changed
}

func (w *watch) change() {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.changed)
}

// keep runs KeepConnected until the test ends.
func (w *watch) keep(c *Client) {
	ctx, cancel := context.WithCancel(w.t.Context())
	var done sync.WaitGroup
	done.Go(func() { c.KeepConnected(ctx, w.look) })
	w.t.Cleanup(func() { cancel(); done.Wait() })
}

func TestConnectionsComeAheadOfQuestions(t *testing.T) {
	f := newFleet(t)
	asked := make(chan string, 10)
	serve := func(text string) net.Addr {
		return f.serve(f.agentTLS(node), func(w http.ResponseWriter, r *http.Request) {
			asked <- text
			frames(node, text)(w, r)
		}).Listener.Addr()
	}
	old, now := serve("old"), serve("now")
	f.put(node, old, roster.Alive)
	c := f.client(Config{})
	w := &watch{fleet: f}
	w.keep(c)
	if got := <-asked; got != "old" {
		t.Errorf("asked %s", got)
	}
	// It moves: the new place is connected to, the old one forgotten.
	f.put(node, now, roster.Alive)
	w.change()
	if got := <-asked; got != "now" {
		t.Errorf("asked %s", got)
	}
	gone := Target{node, netip.MustParseAddrPort(old.String())}
	c.dialer.sweep(c.here, time.Now().Add(-spareIdle))
	if !c.dialer.connected(gone) {
		t.Error("the old connection was closed at once, when it may have been in use")
	}
	c.dialer.sweep(c.here, time.Now().Add(-spareIdle))
	if c.dialer.connected(gone) || !c.dialer.connected(f.target(node)) || gauge(t, c.dialer.metrics.connections) != 1 {
		t.Errorf("connected to the old place: %t; %v connections", c.dialer.connected(gone), gauge(t, c.dialer.metrics.connections))
	}
	if n := f.dials.Load(); n != 2 {
		t.Errorf("%d connections were opened", n)
	}
}

func TestConnectionsAreOpenedAtABoundedRate(t *testing.T) {
	const n = 1000
	id := load(t, newFleet(t).authority, identity.Peer{Role: identity.Aggregator, Name: "aggregator-0"})
	for _, tc := range []struct {
		name string
		dial time.Duration // of each, which fails then
		// window is a time in which no more than maxOpening begin.
		window, took time.Duration
	}{
		{"that answer", 10 * time.Millisecond, openEvery, n / maxOpening * openEvery},
		{"that do not", time.Hour, openTimeout, n / maxOpening * (openTimeout + openEvery)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fleet{t: t, known: map[string]roster.Member{}, states: map[string]roster.State{}}
				for i := range n {
					f.put(fmt.Sprintf("node-%04d", i), &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1 + i}, roster.Alive)
				}
				var mu sync.Mutex
				var dials []time.Time
				seen := map[string]bool{}
				began := time.Now()
				c := f.clientOf(id, Config{Dial: func(ctx context.Context, _, addr string) (net.Conn, error) {
					mu.Lock()
					dials = append(dials, time.Now())
					seen[addr] = true
					mu.Unlock()
					limited, cancel := context.WithTimeout(ctx, tc.dial)
					defer cancel()
					<-limited.Done()
					return nil, io.EOF
				}})
				w := &watch{fleet: f}
				w.keep(c)
				time.Sleep(time.Second)
				if c.Connected() == nil {
					t.Error("connected to all after a second")
				}
				time.Sleep(10 * time.Minute)
				if err := c.Connected(); err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				if took := dials[len(dials)-1].Sub(began); len(dials) != n || len(seen) != n || took > tc.took+time.Second {
					t.Errorf("%d dials of %d agents, the last after %v, want %v", len(dials), len(seen), took, tc.took)
				}
				for i := range len(dials) - maxOpening {
					if d := dials[i+maxOpening].Sub(dials[i]); d < tc.window {
						t.Fatalf("%d dials within %v", maxOpening+1, d)
					}
				}
			})
		})
	}
}

// With net/http, two questions at a time to an agent begin a second connection. If the first
// comes free before it is open, it is opened all the same, and not begun and
// broken off each time.
func TestDialsOfAnsweredRequestsGoOn(t *testing.T) {
	f := newFleet(t)
	f.serve(f.agentTLS(node), frames(node, "x"))
	dialing, dial := make(chan struct{}, 2), make(chan struct{})
	opened := make(chan error, 2)
	c := f.client(Config{NetHTTP: true, Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		dialing <- struct{}{}
		if f.dials.Add(1) == 2 {
			select {
			case <-dial:
			case <-ctx.Done():
			}
			opened <- ctx.Err()
		}
		return new(net.Dialer).DialContext(ctx, network, addr)
	}})
	first, err := c.transport.Get(t.Context(), f.target(node), "/peer/v1/chunks", "from=1&to=2")
	if err != nil {
		t.Fatal(err)
	}
	<-dialing
	second := make(chan error)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		_, err := c.Ask(ctx, node, model.Query{}, nil)
		second <- err
	}()
	<-dialing
	_, _ = io.Copy(io.Discard, first.Body)
	_ = first.Body.Close()
	if err := <-second; err != nil {
		t.Fatal(err)
	}
	cancel() // as whoever asked does in the end
	close(dial)
	if err := <-opened; err != nil {
		t.Errorf("the second connection was given up: %v", err)
	}
}

// A dial whose request was given up ends with it, and so do all when the client is closed.
func TestDialsEnd(t *testing.T) {
	f := newFleet(t)
	f.put(node, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}, roster.Alive)
	dialing, ended := make(chan struct{}), make(chan error)
	c := f.client(Config{Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		dialing <- struct{}{}
		<-ctx.Done()
		ended <- ctx.Err()
		return nil, ctx.Err()
	}})
	ctx, cancel := context.WithCancel(t.Context())
	answered := make(chan error, 2)
	ask := func() { _, err := c.Ask(ctx, node, model.Query{}, nil); answered <- err }
	go ask()
	<-dialing
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the dial ended with %v", err)
	}
	if err := <-answered; !errors.Is(err, context.Canceled) {
		t.Errorf("the question ended with %v", err)
	}
	ctx = context.WithoutCancel(ctx)
	go ask()
	<-dialing
	go c.Close()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the dial ended with %v", err)
	}
	if err := <-answered; err == nil {
		t.Error("the question was answered")
	}
	if _, err := c.Ask(ctx, node, model.Query{}, nil); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after the end: %v", err)
	}
}

// Of several connections to one agent, those that have not been used for long
// are closed, but one.
func TestSpareConnectionsAreClosed(t *testing.T) {
	f := newFleet(t)
	f.serve(f.agentTLS(node), frames(node, "x"))
	c := f.client(Config{})
	to := f.target(node)
	var conns []*conn
	for range 3 {
		opened, err := c.dialer.connect(t.Context(), to)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = opened.Close() }()
		conns = append(conns, opened)
	}
	now := time.Now()
	for i, ago := range []time.Duration{2 * spareIdle, spareIdle + time.Minute, 3 * spareIdle} {
		conns[i].used.Store(now.Add(-ago).UnixNano())
	}
	open := func() (open []int) {
		c.dialer.mu.Lock()
		defer c.dialer.mu.Unlock()
		for i := range conns {
			if _, ok := c.dialer.conns[conns[i]]; ok {
				open = append(open, i)
			}
		}
		return open
	}
	c.dialer.sweep(c.here, now.Add(-4*spareIdle))
	if got := open(); len(got) != 3 {
		t.Errorf("all were used, but %d are open", got)
	}
	c.dialer.sweep(c.here, now.Add(-spareIdle))
	if got := open(); !slices.Equal(got, []int{1}) {
		t.Errorf("%d are open, want the one that was used last", got)
	}
}
