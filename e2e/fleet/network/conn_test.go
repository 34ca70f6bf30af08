package network

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/nettest"
)

// While nothing is cut, a connection is like any other.
func TestConn(t *testing.T) {
	nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
		n := New()
		l, err := n.Host(two).Listen(t.Context(), "tcp", "127.10.0.2:0")
		if err != nil {
			return nil, nil, nil, err
		}
		c1, err := n.Host(one).DialContext(t.Context(), "tcp", l.Addr().String())
		if err != nil {
			return nil, nil, nil, errors.Join(err, l.Close())
		}
		c2, err := l.Accept()
		stop := func() { _ = c1.Close(); _ = c2.Close(); _ = l.Close() }
		return c1, c2, stop, err
	})
}

// cuts are the ways to cut the link between hosts one and two, and to get it back.
var cuts = []struct {
	name      string
	cut, mend func(*Network)
}{
	{"partition", func(n *Network) { n.Partition(one) }, (*Network).Heal},
	{"partition of the other", func(n *Network) { n.Partition(two, three) }, func(n *Network) { n.Partition(three) }},
	{"client paused", func(n *Network) { n.Pause(one) }, func(n *Network) { n.Resume(one) }},
	{"server paused", func(n *Network) { n.Pause(two) }, func(n *Network) { n.Resume(two) }},
}

func TestReadWaits(t *testing.T) {
	for _, way := range cuts {
		t.Run(way.name, func(t *testing.T) {
			n := New()
			client, server := connect(t, n)
			write(t, client, "before the cut")
			expect(t, server, "before the cut")

			early := reading(server) // is in the kernel when the link is cut
			blocked(t, "read of nothing", early)
			way.cut(n)
			write(t, client, "during the cut")
			blocked(t, "read that began before the cut", early)
			write(t, server, "and back")
			late := reading(client)
			blocked(t, "read that began during the cut", late)

			way.mend(n)
			if got := ended(t, "read", early); got.data != "during the cut" || got.err != nil {
				t.Errorf("read %q, %v", got.data, got.err)
			}
			if got := ended(t, "read", late); got.data != "and back" || got.err != nil {
				t.Errorf("read %q, %v", got.data, got.err)
			}
		})
	}
}

// What had arrived when the deadline passed is still there after the cut.
func TestDeadlineWhileWithheld(t *testing.T) {
	n := New()
	client, server := connect(t, n)
	read := reading(server)
	blocked(t, "read of nothing", read)
	n.Partition(one)
	write(t, client, "abcdef")
	blocked(t, "read over a cut link", read)
	if err := server.SetReadDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	checkTimeout(t, ended(t, "read", read).err)

	n.Heal()
	checkTimeout(t, ended(t, "read after the deadline", reading(server)).err)
	if err := server.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"ab", "cd", "ef"} {
		p := make([]byte, 2)
		if n, err := server.Read(p); string(p[:n]) != want || err != nil {
			t.Errorf("read %q, %v; want %q", p[:n], err, want)
		}
	}
	write(t, client, "ghi")
	expect(t, server, "ghi")
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	if got := ended(t, "read", reading(server)); !errors.Is(got.err, net.ErrClosed) {
		t.Errorf("read after close: %v", got.err)
	}
}

func checkTimeout(t *testing.T, err error) {
	t.Helper()
	var asNet net.Error
	if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &asNet) || !asNet.Timeout() {
		t.Errorf("error %v, want a deadline exceeded", err)
	}
}

func TestDeadlines(t *testing.T) {
	soon := func() time.Time { return time.Now().Add(moment) }
	for _, test := range []struct {
		name   string
		before func(net.Conn) error
		during func(net.Conn) error
	}{
		{"set before", func(c net.Conn) error { return c.SetDeadline(soon()) }, nil},
		{"read deadline set before", func(c net.Conn) error { return c.SetReadDeadline(soon()) }, nil},
		{"long past", func(c net.Conn) error { return c.SetDeadline(time.Unix(1, 0)) }, nil},
		{"set while it waits", nil, func(c net.Conn) error { return c.SetDeadline(soon()) }},
		{"read deadline set while it waits", nil, func(c net.Conn) error { return c.SetReadDeadline(soon()) }},
		{"past while it waits", nil, func(c net.Conn) error { return c.SetReadDeadline(time.Unix(1, 0)) }},
		{
			"moved nearer",
			func(c net.Conn) error { return c.SetDeadline(time.Now().Add(time.Hour)) },
			func(c net.Conn) error { return c.SetDeadline(soon()) },
		},
		{
			"moved farther, then nearer",
			func(c net.Conn) error {
				return errors.Join(c.SetDeadline(time.Now().Add(time.Minute)), c.SetDeadline(time.Now().Add(time.Hour)))
			},
			func(c net.Conn) error { return c.SetReadDeadline(soon()) },
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			n := New()
			client, server := connect(t, n)
			n.Partition(one)
			if test.before != nil {
				if err := test.before(client); err != nil {
					t.Fatal(err)
				}
			}
			read := reading(client)
			if test.during != nil {
				blocked(t, "read over a cut link", read)
				if err := test.during(client); err != nil {
					t.Fatal(err)
				}
			}
			checkTimeout(t, ended(t, "read", read).err)

			// A timeout is not the end: as with any connection, one can go on.
			if err := client.SetDeadline(time.Time{}); err != nil {
				t.Fatal(err)
			}
			read = reading(client)
			blocked(t, "read without deadline", read)
			write(t, server, "hello")
			n.Heal()
			if got := ended(t, "read", read); got.data != "hello" || got.err != nil {
				t.Errorf("read %q, %v", got.data, got.err)
			}
		})
	}
}

func TestOtherDeadlineDoesNotWake(t *testing.T) {
	n := New()
	client, _ := connect(t, n)
	n.Partition(one)
	read := reading(client)
	if err := client.SetWriteDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	blocked(t, "read with a write deadline", read)
}

// big is more than the kernel takes for one connection.
const big = 64 << 20

func TestWriteHangsWhenBuffersAreFull(t *testing.T) {
	n := New()
	client, server := connect(t, n)
	data := make([]byte, big)
	for i := range data {
		data[i] = byte(i * i >> 7)
	}
	n.Pause(two)
	if err := client.SetWriteDeadline(time.Now().Add(10 * moment)); err != nil {
		t.Fatal(err)
	}
	wrote, err := client.Write(data)
	checkTimeout(t, err)
	if wrote == 0 || wrote == len(data) {
		t.Fatalf("wrote %d bytes of %d", wrote, len(data))
	}

	if err := client.SetWriteDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	rest := begin(func() error {
		_, err := client.Write(data[wrote:])
		return errors.Join(err, client.Close())
	})
	blocked(t, "write into full buffers", rest)
	n.Resume(two)
	sum := sha256.New()
	if _, err := io.Copy(sum, server); err != nil {
		t.Fatal(err)
	}
	if err := ended(t, "write", rest); err != nil {
		t.Fatal(err)
	}
	if want := sha256.Sum256(data); !bytes.Equal(sum.Sum(nil), want[:]) {
		t.Error("what arrived is not what was sent")
	}
}

// Someone without a Host would read all that we write.
func TestWriteToStrangerWaits(t *testing.T) {
	n := New()
	l := listen(t, n, two, stranger)
	client := dialAsStranger(t, l)
	server := accept(t, l)
	read := reading(client)

	n.Pause(two)
	writing := begin(func() error { _, err := io.WriteString(server, "hello"); return err })
	blocked(t, "write of a paused host", writing)
	blocked(t, "read from a paused host", read)
	n.Resume(two)
	if err := ended(t, "write", writing); err != nil {
		t.Error(err)
	}
	if got := ended(t, "read", read); got.data != "hello" {
		t.Errorf("read %q, %v", got.data, got.err)
	}

	n.Partition(two)
	if err := server.SetWriteDeadline(time.Now().Add(moment)); err != nil {
		t.Fatal(err)
	}
	_, err := io.WriteString(server, "hello")
	checkTimeout(t, err)

	if err := server.SetWriteDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	writing = begin(func() error { _, err := io.WriteString(server, "hello"); return err })
	blocked(t, "write over a cut link", writing)
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	if err := ended(t, "write", writing); !errors.Is(err, net.ErrClosed) {
		t.Errorf("write while closed: %v", err)
	}
}

func TestCloseWakes(t *testing.T) {
	n := New()
	client, server := connect(t, n)
	inKernel := reading(server)
	blocked(t, "read of nothing", inKernel)
	n.Partition(one)
	atGate := reading(client)
	blocked(t, "read over a cut link", atGate)
	for _, c := range []net.Conn{client, server} {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	for name, read := range map[string]<-chan transfer{"before": inKernel, "during": atGate} {
		if got := ended(t, "read", read); !errors.Is(got.err, net.ErrClosed) {
			t.Errorf("read that began %s the cut: %q, %v", name, got.data, got.err)
		}
	}
	if len(n.conns) != 0 {
		t.Errorf("%d closed connections are kept", len(n.conns))
	}
}

// That the other end is gone is news that has to come over the link, too.
func TestEndIsWithheld(t *testing.T) {
	for _, test := range []struct {
		name   string
		unread string // makes the kernel send a reset instead of an end
		want   error
	}{
		{"closed", "", io.EOF},
		{"reset", "never read", syscall.ECONNRESET},
	} {
		t.Run(test.name, func(t *testing.T) {
			n := New()
			client, server := connect(t, n)
			write(t, client, test.unread+"!")
			p := make([]byte, 1)
			if _, err := server.Read(p); err != nil {
				t.Fatal(err)
			}
			read := reading(client)
			blocked(t, "read of nothing", read)
			n.Pause(two)
			if err := server.Close(); err != nil {
				t.Fatal(err)
			}
			blocked(t, "read over a cut link", read)
			n.Resume(two)
			if got := ended(t, "read", read); !errors.Is(got.err, test.want) {
				t.Errorf("read %q, %v; want %v", got.data, got.err, test.want)
			}
		})
	}
}

// A writer finds out about a reset no sooner than a reader.
func TestWriteAfterWithheldReset(t *testing.T) {
	n := New()
	client, server := connect(t, n)
	write(t, client, "never read")
	p := make([]byte, 1)
	if _, err := server.Read(p); err != nil {
		t.Fatal(err)
	}
	n.Partition(one)
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		write(t, client, "into the void")
	}
	n.Heal()
	if got := ended(t, "read", reading(client)); !errors.Is(got.err, syscall.ECONNRESET) {
		t.Errorf("read %q, %v; want a reset", got.data, got.err)
	}
	if _, err := client.Write(p); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("write: %v; want a broken pipe", err)
	}
}
