package network

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"
)

func TestDialComesFromTheHost(t *testing.T) {
	n := New()
	client, server := connect(t, n)
	if got := addrPort(server.RemoteAddr()).Addr(); got != one {
		t.Errorf("the server sees %s", got)
	}
	if client.LocalAddr().String() != server.RemoteAddr().String() {
		t.Errorf("the client thinks it is %s, the server %s", client.LocalAddr(), server.RemoteAddr())
	}
}

func TestDialWaits(t *testing.T) {
	for _, way := range cuts {
		t.Run(way.name, func(t *testing.T) {
			n := New()
			l := listen(t, n, two, two)
			way.cut(n)
			dialing := begin(func() accepted {
				c, err := n.Host(one).DialContext(t.Context(), "tcp", l.Addr().String())
				return accepted{c, err}
			})
			blocked(t, "dial over a cut link", dialing)
			way.mend(n)
			got := ended(t, "dial", dialing)
			if got.err != nil {
				t.Fatal(got.err)
			}
			defer got.Close()
			write(t, got, "hello")
			expect(t, accept(t, l), "hello")
		})
	}
}

func TestDialFails(t *testing.T) {
	n := New()
	l := listen(t, n, two, two)
	expired, cancel := context.WithTimeout(t.Context(), moment)
	defer cancel()
	canceled, cancelNow := context.WithCancel(t.Context())
	cancelNow()
	for _, test := range []struct {
		name string
		cut  bool
		ctx  context.Context
		addr string
		want error
	}{
		{"cut until the deadline", true, expired, l.Addr().String(), context.DeadlineExceeded},
		{"cut and canceled", true, canceled, l.Addr().String(), context.Canceled},
		{"cut, so nobody says that nobody listens", true, expired, "127.10.0.2:1", context.DeadlineExceeded},
		{"nobody listens", false, t.Context(), "127.10.0.2:1", syscall.ECONNREFUSED},
	} {
		t.Run(test.name, func(t *testing.T) {
			if n.Heal(); test.cut {
				n.Partition(one)
			}
			c, err := n.Host(one).DialContext(test.ctx, "tcp", test.addr)
			if !errors.Is(err, test.want) || c != nil {
				t.Errorf("dial: %v, %v; want %v", c, err, test.want)
			}
		})
	}
}

// Whoever dials without a Host is connected by the kernel, and has to wait.
func TestAcceptWaits(t *testing.T) {
	n := New()
	l := listen(t, n, two, two)
	n.Partition(one, two)
	client := dialAsStranger(t, l)
	write(t, client, "held back")
	waiting := accepting(l)
	blocked(t, "accept of one who is cut off", waiting)

	// It does not stand in the way of others.
	friend := dial(t, n, one, l)
	got := ended(t, "accept", waiting)
	if got.err != nil {
		t.Fatal(got.err)
	}
	defer got.Close()
	if got.RemoteAddr().String() != friend.LocalAddr().String() {
		t.Fatalf("accepted %s", got.RemoteAddr())
	}

	n.Heal()
	expect(t, accept(t, l), "held back")

	n.Pause(two)
	_ = dialAsStranger(t, l)
	waiting = accepting(l)
	blocked(t, "accept of a paused host", waiting)
	n.Resume(two)
	if got := ended(t, "accept", waiting); got.err != nil {
		t.Error(got.err)
	} else {
		_ = got.Close()
	}
}

func TestListenerClose(t *testing.T) {
	n := New()
	l := listen(t, n, two, two)
	n.Pause(two)
	client := dialAsStranger(t, l)
	waiting := accepting(l)
	blocked(t, "accept of a paused host", waiting)
	first, second := l.Close(), l.Close()
	if first != nil || second != nil {
		t.Errorf("close: %v, %v", first, second)
	}
	if got := ended(t, "accept", waiting); !errors.Is(got.err, net.ErrClosed) {
		t.Errorf("accept while closed: %v", got.err)
	}
	if got := ended(t, "read", reading(client)); got.err == nil {
		t.Errorf("a connection that was never accepted is open, with %q", got.data)
	}
}

// broken fails to accept, as one does that has no more file descriptors.
type broken struct{ net.Listener }

func (broken) Accept() (net.Conn, error) { return nil, syscall.EMFILE }

func TestAcceptFails(t *testing.T) {
	n := New()
	inner, err := net.Listen("tcp", "127.10.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	l := n.Host(two).Wrap(broken{inner})
	for range 3 {
		if got := ended(t, "accept", accepting(l)); !errors.Is(got.err, syscall.EMFILE) {
			t.Errorf("accept: %v", got.err)
		}
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// A host may listen where curl looks for it. It is still that host.
func TestHostAtForeignAddress(t *testing.T) {
	n := New()
	l := listen(t, n, two, stranger)
	client := dial(t, n, one, l)
	server := accept(t, l)
	write(t, client, "hello")
	expect(t, server, "hello")
	n.Pause(two) // not 127.0.0.1
	write(t, server, "hello")
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	read := reading(client)
	blocked(t, "read from a paused host", read)
	n.Resume(two)
	if got := ended(t, "read", read); got.data != "hello" {
		t.Errorf("read %q, %v", got.data, got.err)
	}
}

// Everything changes while connections come, talk and go.
func TestChaos(t *testing.T) {
	n := New()
	hosts := []netip.Addr{one, two, three}
	var listeners []net.Listener
	var serving []<-chan error
	for _, host := range hosts {
		l := listen(t, n, host, host)
		listeners = append(listeners, l)
		serving = append(serving, begin(func() error { return echo(l) }))
	}
	stop := make(chan struct{})
	weather := begin(func() error {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			host := hosts[i%len(hosts)]
			switch i / 2 % 4 {
			case 0:
				n.Partition(host)
			case 1:
				n.Pause(host)
			case 2:
				n.Heal()
			case 3:
				for _, host := range hosts {
					n.Resume(host)
				}
			}
			select {
			case <-tick.C:
			case <-stop:
				n.Heal()
				return nil
			}
		}
	})
	var talking []<-chan error
	for i := range 12 {
		from, to := n.Host(hosts[i%3]), listeners[i/3%3]
		talking = append(talking, begin(func() error { return talk(t.Context(), from, to.Addr().String()) }))
	}
	for _, done := range talking {
		if err := ended(t, "talk", done); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	_ = ended(t, "weather", weather)
	for i, l := range listeners {
		_ = l.Close()
		if err := ended(t, "server", serving[i]); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	}
}

// echo answers every connection with what it sends, until the listener closes.
func echo(l net.Listener) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			_, _ = io.Copy(c, c)
			_ = c.Close()
		}()
	}
}

func talk(ctx context.Context, from *Host, to string) error {
	for i := range byte(10) {
		c, err := from.DialContext(ctx, "tcp", to)
		if err != nil {
			return err
		}
		for j := range byte(10) {
			p := []byte{i, j}
			if _, err := c.Write(p); err != nil {
				return errors.Join(err, c.Close())
			}
			var q [2]byte
			if _, err := io.ReadFull(c, q[:]); err != nil || q != [2]byte{i, j} {
				return errors.Join(err, c.Close(), errors.New("echo is not what was said"))
			}
		}
		if err := c.Close(); err != nil {
			return err
		}
	}
	return nil
}
