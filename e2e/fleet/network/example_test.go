package network_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"github.com/rollcall-metrics/rollcall/e2e/fleet/network"
)

func Example() {
	ctx := context.Background()
	n := network.New()
	agent, aggregator := netip.MustParseAddr("127.10.0.1"), netip.MustParseAddr("127.10.0.2")

	listener, err := n.Host(agent).Listen(ctx, "tcp", "127.10.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	served := make(chan error)
	server := &http.Server{Handler: http.NotFoundHandler()}
	go func() { served <- server.Serve(listener) }()

	transport := &http.Transport{DialContext: n.Host(aggregator).DialContext}
	ask := func() {
		ctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+listener.Addr().String(), nil)
		if err != nil {
			fmt.Println(err)
			return
		}
		res, err := transport.RoundTrip(req)
		if err != nil {
			fmt.Println("timeout:", errors.Is(err, context.DeadlineExceeded))
			return
		}
		fmt.Println(res.Status)
		_ = res.Body.Close()
	}

	ask()
	n.Pause(agent)
	ask()
	n.Resume(agent)
	ask()

	transport.CloseIdleConnections()
	_ = server.Close()
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		fmt.Println(err)
	}
	// Output:
	// 404 Not Found
	// timeout: true
	// 404 Not Found
}
