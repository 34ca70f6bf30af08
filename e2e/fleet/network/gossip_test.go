package network

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
)

// gossipPort is the same on all hosts, as in a cluster.
const gossipPort = 17947

// gossipHost is an address for gossip; its port is fixed, so each process that
// runs these tests has hosts of its own.
func gossipHost(i byte) netip.Addr {
	return netip.AddrFrom4([4]byte{127, 10, 1 + byte(os.Getpid()%250), i})
}

func gossipAddr(host netip.Addr) string { return netip.AddrPortFrom(host, gossipPort).String() }

// newTransport is memberlist's own at that host.
func newTransport(t *testing.T, host netip.Addr) *memberlist.NetTransport {
	t.Helper()
	transport, err := memberlist.NewNetTransport(&memberlist.NetTransportConfig{
		BindAddrs: []string{host.String()},
		BindPort:  gossipPort,
		Logger:    log.New(io.Discard, "", 0),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = transport.Shutdown() })
	return transport
}

// gossipOn is a transport on a host of the network.
func gossipOn(t *testing.T, n *Network, host netip.Addr) memberlist.NodeAwareTransport {
	t.Helper()
	g := n.Host(host).Gossip(newTransport(t, host))
	t.Cleanup(func() { _ = g.Shutdown() })
	return g
}

func send(t *testing.T, from memberlist.NodeAwareTransport, to netip.Addr, what string) {
	t.Helper()
	at, err := from.WriteTo([]byte(what), gossipAddr(to))
	if err != nil || at.IsZero() {
		t.Fatalf("sent at %v: %v", at, err)
	}
}

func receive(t *testing.T, g memberlist.NodeAwareTransport, want string) {
	t.Helper()
	if got := ended(t, "receive", g.PacketCh()); string(got.Buf) != want {
		t.Errorf("received %q from %v, want %q", got.Buf, got.From, want)
	}
}

func TestPacketsAreDropped(t *testing.T) {
	for _, test := range []struct {
		name      string
		cut, mend func(n *Network, a, b netip.Addr)
	}{
		{"partition", func(n *Network, a, _ netip.Addr) { n.Partition(a) }, func(n *Network, _, _ netip.Addr) { n.Heal() }},
		{"sender paused", func(n *Network, a, _ netip.Addr) { n.Pause(a) }, func(n *Network, a, _ netip.Addr) { n.Resume(a) }},
		{"receiver paused", func(n *Network, _, b netip.Addr) { n.Pause(b) }, func(n *Network, _, b netip.Addr) { n.Resume(b) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			n := New()
			a, b := gossipHost(1), gossipHost(2)
			from, to := gossipOn(t, n, a), gossipOn(t, n, b)
			send(t, from, b, "before")
			receive(t, to, "before")
			test.cut(n, a, b)
			send(t, from, b, "during")
			test.mend(n, a, b)
			send(t, from, b, "after")
			receive(t, to, "after")
		})
	}
}

// What comes from elsewhere is dropped where it arrives.
func TestPacketsFromStrangersAreDropped(t *testing.T) {
	n := New()
	a, b, c := gossipHost(1), gossipHost(2), gossipHost(3)
	to := gossipOn(t, n, a)
	outsider, friend := newTransport(t, b), newTransport(t, c)
	n.Partition(a, c)
	send(t, outsider, a, "during")
	send(t, friend, a, "it has seen the other one by now")
	receive(t, to, "it has seen the other one by now")
	n.Heal()
	send(t, outsider, a, "after")
	receive(t, to, "after")
}

func TestPacketToNoAddress(t *testing.T) {
	g := gossipOn(t, New(), gossipHost(1))
	if _, err := g.WriteTo([]byte("hello"), "somewhere"); err == nil {
		t.Error("a packet to a name that is no address was sent")
	}
}

func dialing(g memberlist.NodeAwareTransport, to netip.Addr, timeout time.Duration) <-chan accepted {
	return begin(func() accepted {
		c, err := g.DialTimeout(gossipAddr(to), timeout)
		return accepted{c, err}
	})
}

func TestStreams(t *testing.T) {
	n := New()
	a, b := gossipHost(1), gossipHost(2)
	from, to := gossipOn(t, n, a), gossipOn(t, n, b)
	n.Pause(b)
	if got := ended(t, "dial", dialing(from, b, moment)); !errors.Is(got.err, context.DeadlineExceeded) {
		t.Fatalf("dial: %v", got.err)
	}
	waiting := dialing(from, b, patience)
	blocked(t, "dial of a paused host", waiting)
	n.Resume(b)
	got := ended(t, "dial", waiting)
	if got.err != nil {
		t.Fatal(got.err)
	}
	defer got.Close()
	in := ended(t, "stream", to.StreamCh())
	defer in.Close()
	if from := addrPort(in.RemoteAddr()).Addr(); from != a {
		t.Errorf("the stream comes from %s, want %s", from, a)
	}

	n.Partition(a)
	write(t, got, "hello")
	read := reading(in)
	blocked(t, "read over a cut link", read)
	n.Heal()
	if got := ended(t, "read", read); got.data != "hello" || got.err != nil {
		t.Errorf("read %q, %v", got.data, got.err)
	}
}

// memberlist writes a label before it sets a deadline, and would wait for ever.
func TestStreamHasTheDeadlineOfItsDial(t *testing.T) {
	n := New()
	a, b := gossipHost(1), gossipHost(2)
	from, to := gossipOn(t, n, a), newTransport(t, b) // who withholds nothing
	waiting := dialing(from, b, 10*moment)
	in := ended(t, "stream", to.StreamCh())
	defer in.Close()
	got := ended(t, "dial", waiting)
	if got.err != nil {
		t.Fatal(got.err)
	}
	defer got.Close()
	n.Partition(a)
	_, err := io.WriteString(got, "label")
	checkTimeout(t, err)
}

// All that waits ends with Shutdown, whether its link is there or not.
func TestShutdown(t *testing.T) {
	n := New()
	a, b := gossipHost(1), gossipHost(2)
	g, other := gossipOn(t, n, a), newTransport(t, b)
	out := ended(t, "dial", dialing(g, b, patience))
	if out.err != nil {
		t.Fatal(out.err)
	}
	defer ended(t, "stream", other.StreamCh()).Close()
	in := ended(t, "dial", dialing(other, a, patience))
	if in.err != nil {
		t.Fatal(in.err)
	}
	defer in.Close()
	_ = ended(t, "stream", g.StreamCh())

	n.Pause(a)
	held := ended(t, "dial", dialing(other, a, patience)) // nobody will take it
	if held.err != nil {
		t.Fatal(held.err)
	}
	defer held.Close()
	send(t, other, a, "nobody will take this either")
	read := reading(out)
	blocked(t, "read over a cut link", read)
	waiting := dialing(g, b, patience)
	blocked(t, "dial over a cut link", waiting)

	if err := ended(t, "shutdown", begin(g.Shutdown)); err != nil {
		t.Error(err)
	}
	if got := ended(t, "read", read); !errors.Is(got.err, net.ErrClosed) {
		t.Errorf("read: %v", got.err)
	}
	if got := ended(t, "dial", waiting); !errors.Is(got.err, context.Canceled) {
		t.Errorf("dial: %v", got.err)
	}
	for _, c := range []net.Conn{in, held} {
		if got := ended(t, "read", reading(c)); got.err == nil {
			t.Errorf("an incoming stream is open, with %q", got.data)
		}
	}
	if len(n.conns) != 0 {
		t.Errorf("%d closed connections are kept", len(n.conns))
	}
	n.Resume(a)
	if got := ended(t, "dial", dialing(g, b, patience)); got.err == nil {
		t.Error("a dial after shutdown works")
	}
	if err := g.Shutdown(); err != nil {
		t.Error(err)
	}
	_, _ = g.PacketCh(), g.StreamCh() // begins nothing, as goleak would see
}
