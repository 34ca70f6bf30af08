package network

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"syscall"
)

// A Host is the way to the network for all that runs on one host. It is safe
// for concurrent use.
type Host struct {
	network *Network
	addr    netip.Addr
}

// DialContext connects by TCP from the host's address, so that the other side
// sees who it is. While the link is cut it waits, at most until ctx ends; the
// error is ctx's then. It fits [net/http.Transport.DialContext].
func (h *Host) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := h.dial(ctx, network, address)
	if err != nil {
		return nil, err // and not a net.Conn that is a nil *conn
	}
	return c, nil
}

func (h *Host) dial(ctx context.Context, network, address string) (*conn, error) {
	dialer := net.Dialer{
		LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(h.addr, 0)),
		// Called for every address that a name stands for, before a packet is sent.
		ControlContext: func(ctx context.Context, _, address string, _ syscall.RawConn) error {
			remote, err := netip.ParseAddrPort(address)
			if err != nil {
				return fmt.Errorf("host %s: %w", h.addr, err)
			}
			return h.network.await(ctx, h.addr, remote.Addr().Unmap())
		},
	}
	c, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return h.wrapConn(c), nil
}

// Listen listens as [net.ListenConfig.Listen] does, on TCP. The address need
// not be the host's: an aggregator may answer curl at 127.0.0.1, and can be
// paused and partitioned all the same.
func (h *Host) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return h.Wrap(l), nil
}

// Wrap makes a TCP listener one of this host. The result owns l; it must be
// closed, since it accepts from l in the background.
func (h *Host) Wrap(l net.Listener) net.Listener { return newListener(h, l) }

func (h *Host) wrapConn(c net.Conn) *conn {
	w := newConn(h, c)
	h.network.enter(w)
	return w
}

// deliver hands a connection that has come in to whoever receives from ready,
// but not while the link to its other end is cut. When stop is closed, it closes
// the connection and returns. The connection is c, as its receiver shall see it.
func (h *Host) deliver(c *conn, as net.Conn, ready chan<- net.Conn, stop <-chan struct{}) {
	for {
		open, _, changed := h.network.linkOf(c)
		to := ready
		if !open {
			to = nil
		}
		select {
		case to <- as:
			return
		case <-changed:
		case <-stop:
			_ = as.Close()
			return
		}
	}
}
