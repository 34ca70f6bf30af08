package network

import (
	"net"
	"sync"
)

// listener accepts a connection when the link to its other end is there. It
// takes all from the real listener at once and holds the others back itself:
// one client that is cut off must not stand in the way of those behind it.
type listener struct {
	net.Listener
	host   *Host
	ready  chan net.Conn
	errs   chan error
	closed chan struct{}
	close  func() error
}

func newListener(h *Host, inner net.Listener) *listener {
	l := &listener{
		Listener: inner,
		host:     h,
		ready:    make(chan net.Conn),
		errs:     make(chan error),
		closed:   make(chan struct{}),
	}
	var work sync.WaitGroup
	l.close = sync.OnceValue(func() error {
		close(l.closed)
		err := inner.Close()
		work.Wait()
		return err
	})
	work.Go(func() { l.run(&work) })
	return l
}

func (l *listener) run(work *sync.WaitGroup) {
	for {
		c, err := l.Listener.Accept()
		if err == nil {
			w := l.host.wrapConn(c)
			work.Go(func() { l.host.deliver(w, w, l.ready, l.closed) })
			continue
		}
		// One error for each Accept: whoever calls it knows whether to go on.
		select {
		case l.errs <- err:
		case <-l.closed:
			return
		}
	}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.ready:
		return c, nil
	case err := <-l.errs:
		return nil, err
	case <-l.closed:
		return nil, &net.OpError{Op: "accept", Net: l.Addr().Network(), Addr: l.Addr(), Err: net.ErrClosed}
	}
}

// Close also closes the connections that nobody has accepted.
func (l *listener) Close() error { return l.close() }
