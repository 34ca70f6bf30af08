package network

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// maxWrite is how many bytes are written between two looks at the link, so that
// someone who is not of this process gets no more than that after a cut.
const maxWrite = 64 << 10

// conn is one end of a connection, the one on host.
type conn struct {
	net.Conn
	network *Network
	host    netip.Addr
	ends    ends

	// peer is the host of the other end: by its address until both ends know
	// each other (paired). Both need the network's mu.
	peer   netip.Addr
	paired bool

	closed  chan struct{}
	closing sync.Once

	// setting keeps our deadlines and those of Conn the same.
	setting         sync.Mutex
	readBy, writeBy *deadline

	reading sync.Mutex
	// withheld has arrived while the link was cut, and is not read yet. At most
	// as long as the longest p of a Read. Needs reading, as does withheldErr,
	// which came after it.
	withheld    []byte
	withheldErr error

	writing sync.Mutex
	// reset is set when a Write was told of a reset that cannot have come across;
	// the kernel tells it only once.
	reset atomic.Pointer[error]
}

func newConn(h *Host, c net.Conn) *conn {
	e := ends{local: addrPort(c.LocalAddr()), remote: addrPort(c.RemoteAddr())}
	return &conn{
		Conn:    c,
		network: h.network,
		host:    h.addr,
		ends:    e,
		peer:    e.remote.Addr(),
		closed:  make(chan struct{}),
		readBy:  newDeadline(),
		writeBy: newDeadline(),
	}
}

// addrPort is the zero AddrPort for addresses that are not of TCP or UDP.
func addrPort(a net.Addr) netip.AddrPort {
	if ip, ok := a.(interface{ AddrPort() netip.AddrPort }); ok {
		ap := ip.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	return netip.AddrPort{}
}

// Read returns only what arrived over a link that is there. It cannot stop the
// kernel from receiving, so it keeps what comes during a cut until after it.
func (c *conn) Read(p []byte) (int, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	if err := c.await(c.readBy, false); err != nil {
		return 0, c.failed("read", err)
	}
	if len(c.withheld) > 0 || c.withheldErr != nil {
		return c.readWithheld(p)
	}
	n, err := c.Conn.Read(p)
	if err != nil && c.ours(err) {
		return n, err
	}
	if reset := c.reset.Load(); reset != nil && errors.Is(err, io.EOF) {
		err = *reset
	}
	if cut := c.await(c.readBy, false); cut != nil {
		c.withheld, c.withheldErr = append(c.withheld, p[:n]...), err
		return 0, c.failed("read", cut)
	}
	return n, err
}

// readWithheld reads as from the real connection, which fails if it is closed
// or the deadline has passed, whether there is something to read or not.
func (c *conn) readWithheld(p []byte) (int, error) {
	select {
	case <-c.closed:
		return 0, c.failed("read", net.ErrClosed)
	case <-c.readBy.passed():
		return 0, c.failed("read", os.ErrDeadlineExceeded)
	default:
	}
	if len(c.withheld) == 0 {
		err := c.withheldErr
		c.withheldErr = nil
		return 0, err
	}
	n := copy(p, c.withheld)
	if c.withheld = c.withheld[n:]; len(c.withheld) == 0 {
		c.withheld = nil
	}
	return n, nil
}

// Write leaves it to the other end to withhold what is written, if that is one
// of ours: see the package's comment.
func (c *conn) Write(p []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	for n := 0; ; {
		if err := c.await(c.writeBy, true); err != nil {
			return n, c.failed("write", err)
		}
		m, err := c.Conn.Write(p[n:min(len(p), n+maxWrite)])
		n += m
		switch {
		case err == nil && n < len(p):
		case err == nil || c.ours(err) || c.open():
			return n, err
		default:
			// The other end is gone, but its host could not tell us. Packets sent to
			// it would just never be acknowledged.
			if errors.Is(err, syscall.ECONNRESET) {
				c.reset.CompareAndSwap(nil, &err)
			}
			return len(p), nil
		}
	}
}

// ours tells whether an error comes from this end.
func (c *conn) ours(err error) bool {
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, net.ErrClosed)
}

// open tells whether the link is there.
func (c *conn) open() bool {
	open, _, _ := c.network.linkOf(c)
	return open
}

// await waits until one may read, or write, the deadline has passed, or the
// connection is closed. If one may, it does not look at the other two.
func (c *conn) await(by *deadline, write bool) error {
	for {
		open, paired, changed := c.network.linkOf(c)
		if open || write && paired {
			return nil
		}
		select {
		case <-changed:
		case <-by.passed():
			return os.ErrDeadlineExceeded
		case <-c.closed:
			return net.ErrClosed
		}
	}
}

// failed makes an error like those of package net.
func (c *conn) failed(op string, err error) error {
	return &net.OpError{Op: op, Net: c.RemoteAddr().Network(), Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}

func (c *conn) Close() error {
	c.closing.Do(func() {
		c.network.leave(c)
		close(c.closed)
	})
	return c.Conn.Close()
}

func (c *conn) SetDeadline(t time.Time) error {
	return c.setDeadline(t, c.Conn.SetDeadline, c.readBy, c.writeBy)
}

func (c *conn) SetReadDeadline(t time.Time) error {
	return c.setDeadline(t, c.Conn.SetReadDeadline, c.readBy)
}

func (c *conn) SetWriteDeadline(t time.Time) error {
	return c.setDeadline(t, c.Conn.SetWriteDeadline, c.writeBy)
}

func (c *conn) setDeadline(t time.Time, set func(time.Time) error, ours ...*deadline) error {
	c.setting.Lock()
	defer c.setting.Unlock()
	if err := set(t); err != nil {
		return err
	}
	for _, d := range ours {
		d.set(t)
	}
	return nil
}
