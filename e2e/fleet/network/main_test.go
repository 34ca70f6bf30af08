package network

import (
	"context"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	// patience is far more than anything takes, for machines that are busy.
	patience = 30 * time.Second
	// moment is how long we watch that something does not happen.
	moment = 50 * time.Millisecond
)

// Hosts of the tests, and someone who is none.
var (
	one      = netip.MustParseAddr("127.10.0.1")
	two      = netip.MustParseAddr("127.10.0.2")
	three    = netip.MustParseAddr("127.10.0.3")
	stranger = netip.MustParseAddr("127.0.0.1")
)

// begin calls f in the background.
func begin[T any](f func() T) <-chan T {
	done := make(chan T, 1)
	go func() { done <- f() }()
	return done
}

// blocked checks that what has begun does not end within a moment.
func blocked[T any](t *testing.T, what string, done <-chan T) {
	t.Helper()
	select {
	case v := <-done:
		t.Fatalf("%s did not wait: %v", what, v)
	case <-time.After(moment):
	}
}

// ended waits for what has begun.
func ended[T any](t *testing.T, what string, done <-chan T) T {
	t.Helper()
	select {
	case v := <-done:
		return v
	case <-time.After(patience):
		t.Fatalf("%s never ended", what)
		panic("unreachable")
	}
}

// listen listens on a host, at an address of its own.
func listen(t *testing.T, n *Network, host, at netip.Addr) net.Listener {
	t.Helper()
	l, err := n.Host(host).Listen(t.Context(), "tcp", netip.AddrPortFrom(at, 0).String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func dial(t *testing.T, n *Network, host netip.Addr, l net.Listener) net.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := n.Host(host).DialContext(ctx, "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// dialAsStranger connects without a Host.
func dialAsStranger(t *testing.T, l net.Listener) net.Conn {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: stranger.AsSlice()}}
	c, err := dialer.DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

type accepted struct {
	net.Conn
	err error
}

func accepting(l net.Listener) <-chan accepted {
	return begin(func() accepted {
		c, err := l.Accept()
		return accepted{c, err}
	})
}

func accept(t *testing.T, l net.Listener) net.Conn {
	t.Helper()
	got := ended(t, "accept", accepting(l))
	if got.err != nil {
		t.Fatal(got.err)
	}
	t.Cleanup(func() { _ = got.Close() })
	return got.Conn
}

// connect is a connection from host one to host two.
func connect(t *testing.T, n *Network) (client, server net.Conn) {
	t.Helper()
	l := listen(t, n, two, two)
	client = dial(t, n, one, l)
	return client, accept(t, l)
}

// transfer is what a Read or Write has returned, and the bytes of a Read.
type transfer struct {
	data string
	err  error
}

func reading(c net.Conn) <-chan transfer {
	return begin(func() transfer {
		p := make([]byte, 1024)
		n, err := c.Read(p)
		return transfer{string(p[:n]), err}
	})
}

func write(t *testing.T, c net.Conn, data string) {
	t.Helper()
	err := ended(t, "write", begin(func() error {
		_, err := io.WriteString(c, data)
		return err
	}))
	if err != nil {
		t.Fatal(err)
	}
}

// expect reads that from c.
func expect(t *testing.T, c net.Conn, data string) {
	t.Helper()
	if got := ended(t, "read", reading(c)); got.data != data || got.err != nil {
		t.Fatalf("read %q, %v; want %q", got.data, got.err, data)
	}
}
