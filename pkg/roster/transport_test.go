package roster

import (
	"errors"
	"io"
	"log"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
)

// listening is a transport, and dial connects to it.
func listening(t *testing.T, patience time.Duration) (_ *transport, dial func() net.Conn) {
	t.Helper()
	addr := newFleet(t).address()
	inner, err := memberlist.NewNetTransport(&memberlist.NetTransportConfig{
		BindAddrs: []string{addr.String()}, BindPort: port, Logger: log.New(io.Discard, "", 0),
	})
	if err != nil {
		t.Fatal(err)
	}
	tr := newTransport(t.Context(), inner, patience)
	stopped := make(chan struct{})
	go func() { // memberlist takes packets
		for {
			select {
			case <-tr.PacketCh():
			case <-stopped:
				return
			}
		}
	}()
	t.Cleanup(func() {
		if err := tr.Shutdown(); err != nil {
			t.Error(err)
		}
		close(stopped)
	})
	return tr, func() net.Conn {
		c, err := net.Dial("tcp", netip.AddrPortFrom(addr, port).String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
}

// next is the next stream, nil if none comes for a moment.
func next(tr *transport, moment time.Duration) net.Conn {
	select {
	case c := <-tr.StreamCh():
		return c
	case <-time.After(moment):
		return nil
	}
}

func TestFewStreamsAtATime(t *testing.T) {
	t.Parallel()
	tr, dial := listening(t, time.Hour)
	var served []net.Conn
	for range maxStreams + 2 {
		dial()
	}
	for range maxStreams {
		c := next(tr, patience)
		if c == nil {
			t.Fatalf("%d streams are served", len(served))
		}
		served = append(served, c)
	}
	if c := next(tr, 50*time.Millisecond); c != nil {
		t.Fatal("more are served at a time")
	}
	for i := range 2 {
		if err := served[i].Close(); err != nil {
			t.Error(err)
		}
		_ = served[i].Close() // is no second place
		if next(tr, patience) == nil {
			t.Fatal("the next did not get the place")
		}
	}
	if c := next(tr, 50*time.Millisecond); c != nil {
		t.Fatal("one place was given twice")
	}
}

func TestStreamsThatWaitTooLong(t *testing.T) {
	t.Parallel()
	tr, dial := listening(t, 10*time.Millisecond)
	for range maxStreams {
		dial()
		if next(tr, patience) == nil {
			t.Fatal("not served")
		}
	}
	closed(t, dial())
}

func TestTooManyStreamsAreRefused(t *testing.T) {
	t.Parallel()
	tr, dial := listening(t, time.Hour)
	for range maxStreams {
		dial()
		if next(tr, patience) == nil {
			t.Fatal("not served")
		}
	}
	for range maxWaiting {
		tr.waiting <- struct{}{}
	}
	closed(t, dial())
	for range maxWaiting {
		<-tr.waiting
	}
}

// closed waits until the other side closes the connection.
func closed(t *testing.T, c net.Conn) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	var timeout net.Error
	if _, err := c.Read(make([]byte, 1)); errors.As(err, &timeout) && timeout.Timeout() {
		t.Error("it is still open")
	}
}
