package roster

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

const (
	// maxStreams is how many streams of others are served at a time, most of them
	// joins. One costs 8 ms of CPU and, until it is done, 2 MB with 5000 members:
	// memberlist's own limit of 128 would be 250 MB, and no faster on few cores.
	maxStreams = 16
	// maxWaiting is how many more may wait for that: 4 s of work for one core,
	// soon enough for those who wait, who give up after TCPTimeout. Others are
	// refused at once, and come back when they have waited for their jitter.
	maxWaiting = 512
)

// transport is memberlist's own, but for two things: it serves few streams at a
// time; and connections are given up when the roster closes, since a join of an
// address that swallows packets would hold up the end of the process for 10 s.
type transport struct {
	*memberlist.NetTransport
	ctx      context.Context // of what is dialed
	patience time.Duration   // of streams that wait

	streams chan net.Conn
	places  chan struct{} // one for each stream that is served
	waiting chan struct{} // one for each that waits
	done    chan struct{} // closed when nothing comes any more
	work    sync.WaitGroup
}

// newTransport begins to admit streams; Shutdown must be called.
func newTransport(ctx context.Context, inner *memberlist.NetTransport, patience time.Duration) *transport {
	t := &transport{
		NetTransport: inner,
		ctx:          ctx,
		patience:     patience,
		streams:      make(chan net.Conn),
		places:       make(chan struct{}, maxStreams),
		waiting:      make(chan struct{}, maxWaiting),
		done:         make(chan struct{}),
	}
	t.work.Go(t.admit)
	return t
}

func (t *transport) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return t.DialAddressTimeout(memberlist.Address{Addr: addr}, timeout)
}

func (t *transport) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	dialer := net.Dialer{Timeout: timeout}
	return dialer.DialContext(t.ctx, "tcp", a.Addr)
}

// StreamCh has the streams that are to be served now.
func (t *transport) StreamCh() <-chan net.Conn { return t.streams }

// Shutdown goes on taking streams until the listener is closed, which waits for
// that.
func (t *transport) Shutdown() error {
	err := t.NetTransport.Shutdown()
	close(t.done)
	t.work.Wait()
	return err
}

// admit lets streams wait for a place, or refuses them.
func (t *transport) admit() {
	for {
		select {
		case c := <-t.NetTransport.StreamCh():
			select {
			case t.waiting <- struct{}{}:
				t.work.Go(func() { t.await(c) })
			default:
				_ = c.Close()
			}
		case <-t.done:
			return
		}
	}
}

// await hands over a stream when there is a place. If that takes too long, the
// other side has given up, or would before it is answered.
func (t *transport) await(c net.Conn) {
	defer func() { <-t.waiting }()
	timer := time.NewTimer(t.patience)
	defer timer.Stop()
	select {
	case t.places <- struct{}{}:
	case <-timer.C:
		_ = c.Close()
		return
	case <-t.done:
		_ = c.Close()
		return
	}
	s := &stream{Conn: c, leave: sync.OnceFunc(func() { <-t.places })}
	select {
	case t.streams <- s:
	case <-t.done:
		_ = s.Close()
	}
}

// stream has a place until it is closed.
type stream struct {
	net.Conn
	leave func()
}

func (s *stream) Close() error {
	defer s.leave()
	return s.Conn.Close()
}
