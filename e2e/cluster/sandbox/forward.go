package sandbox

import (
	"context"
	"io"
	"net"
	"sync"
)

// A Forward is a port of this machine that leads into the sandbox. Unix sockets
// have names in the file system, which both sides see; networks they share none.
type Forward struct {
	listener net.Listener
	stop     context.CancelFunc
	served   sync.WaitGroup
}

// Listen listens on an address outside; see [Outside.Forward].
func Listen(address string) (*Forward, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	return &Forward{listener: l, stop: func() {}}, nil
}

// Port is where it listens.
func (f *Forward) Port() int { return f.listener.Addr().(*net.TCPAddr).Port }

// Close ends it and its connections.
func (f *Forward) Close() error {
	f.stop()
	err := f.listener.Close()
	f.served.Wait()
	return err
}

func (f *Forward) start(socket string) {
	ctx, stop := context.WithCancel(context.Background())
	f.stop = stop
	f.served.Go(func() { Pipe(ctx, f.listener, "unix", socket) })
}

// Pipe connects each connection that l accepts with one to address, until ctx
// ends, and with it l and all of them.
func Pipe(ctx context.Context, l net.Listener, network, address string) {
	defer context.AfterFunc(ctx, func() { l.Close() })()
	var open sync.WaitGroup
	defer open.Wait()
	for {
		from, err := l.Accept()
		if err != nil {
			return
		}
		open.Go(func() {
			defer from.Close()
			to, err := (&net.Dialer{}).DialContext(ctx, network, address)
			if err != nil {
				return // the client sees its connection closed
			}
			defer to.Close()
			defer context.AfterFunc(ctx, func() { from.Close(); to.Close() })()
			var halves sync.WaitGroup
			halves.Go(func() { passOn(to, from) })
			halves.Go(func() { passOn(from, to) })
			halves.Wait()
		})
	}
}

// passOn copies until the source ends, and tells the other side.
func passOn(to, from net.Conn) {
	_, err := io.Copy(to, from)
	if half, ok := to.(interface{ CloseWrite() error }); ok && err == nil {
		_ = half.CloseWrite() // the other side may be gone
		return
	}
	to.Close()
	from.Close()
}
