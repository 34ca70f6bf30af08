package agentstest

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"

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
