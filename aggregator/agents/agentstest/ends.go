package agentstest

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/rollcall-metrics/rollcall/aggregator/agents"
)

// ends asks, ends ctx once asked, and wants to hear that at once, and the
// agent to see the connection go.
func (b *bench) ends(to agents.Target, asked, gone <-chan struct{}) {
	b.t.Helper()
	ctx, cancel := context.WithCancel(b.t.Context())
	defer cancel()
	go func() { <-asked; cancel() }()
	returned := make(chan struct{})
	go func() {
		defer close(returned)
		if _, err := b.get(ctx, to); !errors.Is(err, context.Canceled) {
			b.t.Errorf("got %v", err)
		}
	}()
	b.wait(returned, "it did not return")
	b.wait(gone, "the agent still has the connection")
}

func endsInDial(b *bench) {
	asked, gone := make(chan struct{}), make(chan struct{})
	b.connect = func(ctx context.Context, _ agents.Target) (net.Conn, error) {
		close(asked)
		<-ctx.Done()
		close(gone)
		return nil, ctx.Err()
	}
	b.ends(agents.Target{Node: node, At: netip.MustParseAddrPort("127.0.0.1:1")}, asked, gone)
}

func endsInHandshake(b *bench) {
	asked, gone := make(chan struct{}), make(chan struct{})
	to := b.listen(func(c net.Conn) {
		_, _ = c.Read(make([]byte, 1))
		close(asked)
		_, _ = io.Copy(io.Discard, c)
		close(gone)
	})
	b.ends(to, asked, gone)
}

func endsBeforeAnswer(b *bench) {
	asked, gone := make(chan struct{}), make(chan struct{})
	_, to := b.agent(func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done()
		close(gone)
	})
	b.ends(to, asked, gone)
}

func endsInAnswer(b *bench) {
	asked, gone := make(chan struct{}), make(chan struct{})
	_, to := b.agent(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "x")
		_ = http.NewResponseController(w).Flush()
		close(asked)
		<-r.Context().Done()
		close(gone)
		panic(http.ErrAbortHandler) // an end would come before the connection is closed
	})
	b.ends(to, asked, gone)
}

// An attempt ends at its deadline, which is not that of the requests after it.
func attempts(b *bench) {
	release := make(chan struct{})
	asked := 0
	_, to := b.agent(func(w http.ResponseWriter, r *http.Request) {
		if asked++; asked == 3 {
			select {
			case <-release:
			case <-r.Context().Done():
			}
		}
		_, _ = io.WriteString(w, "x")
	})
	soon := time.Now().Add(300 * time.Millisecond)
	for i := range 2 {
		a := agents.NewAttempt(b.t.Context(), time.Now().Add(patience))
		if got, err := b.get(a, to); err != nil || got.body != "x" {
			b.t.Errorf("attempt %d: %+v, %v", i, got, err)
		}
		a.End()
	}
	a := agents.NewAttempt(b.t.Context(), soon)
	defer a.End()
	if got, err := b.get(a, to); !errors.Is(err, context.DeadlineExceeded) || time.Now().Before(soon) {
		b.t.Errorf("at its deadline: %+v, %v", got, err)
	}
	close(release)
	b.want(to, "x")
	b.dialed(2, "the attempt that ended took one with it")
	a = agents.NewAttempt(b.t.Context(), time.Now().Add(200*time.Millisecond))
	defer a.End()
	if _, err := b.get(a, to); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		b.t.Error(err)
	}
	<-a.Done()
	b.want(to, "x") // over the connection that had that deadline
}
