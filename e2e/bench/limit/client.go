package limit

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/rollcall-metrics/rollcall/e2e/bench/child"
	"github.com/rollcall-metrics/rollcall/pkg/identity"
)

// connecting is how many connections are opened at a time: on few cores more
// only wait for each other.
const connecting = 16

// noKeepAlive has no idle connection probed. Here all of them would be at once:
// more than the kernel's queue of the loopback interface holds, so that they
// would be taken for dead.
const noKeepAlive = -1

// A ClientRequest is what the job of [ClientJob] is told.
type ClientRequest struct {
	Files    identity.Files // an aggregator's
	Server   identity.Peer  // who the server is
	Addr     string
	Nodes    int // connections
	InFlight int // questions at a time
}

// An Order is to ask all nodes once.
type Order struct {
	Kind int // of question
	Size int // of the question in bytes
}

// A Round is how that went. After the connections are open there is one, too,
// that is empty.
type Round struct {
	Wall  time.Duration
	Bytes int64 // of the answers, without their lengths
}

// ClientJob opens the connections, and asks all nodes once for each order.
func ClientJob(ctx context.Context, p *child.Parent) error {
	var q ClientRequest
	if err := p.Next(&q); err != nil {
		return err
	}
	c := &client{inFlight: q.InFlight}
	defer c.close()
	if err := c.connect(ctx, q); err != nil {
		return err
	}
	if err := p.Result(Round{}); err != nil {
		return err
	}
	for {
		var o Order
		if err := p.Next(&o); err != nil {
			return err // io.EOF at the end
		}
		r, err := c.round(o)
		if err != nil {
			return err
		}
		if err := p.Result(r); err != nil {
			return err
		}
	}
}

// A client has one connection for each node.
type client struct {
	conns    []net.Conn
	inFlight int
}

func (c *client) connect(ctx context.Context, q ClientRequest) error {
	id, err := identity.Load(q.Files, child.ErrorsOnly(), prometheus.NewRegistry())
	if err != nil {
		return err
	}
	c.conns = make([]net.Conn, q.Nodes)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(connecting)
	for i := range c.conns {
		g.Go(func() error {
			dialer := tls.Dialer{NetDialer: &net.Dialer{KeepAlive: noKeepAlive}, Config: id.ClientConfig(q.Server)}
			conn, err := dialer.DialContext(ctx, "tcp", q.Addr)
			if err != nil {
				return fmt.Errorf("connection %d: %w", i, err)
			}
			c.conns[i] = conn
			_, err = conn.Write(binary.BigEndian.AppendUint32(nil, uint32(i)))
			return err
		})
	}
	return g.Wait()
}

// round asks all nodes once.
func (c *client) round(o Order) (Round, error) {
	question := binary.BigEndian.AppendUint32(nil, uint32(o.Size))
	question = append(question, make([]byte, o.Size)...)
	question[prefix] = byte(o.Kind)
	began := time.Now()
	var next, bytes atomic.Int64
	var workers sync.WaitGroup
	errs := make([]error, min(c.inFlight, len(c.conns)))
	for w := range errs {
		workers.Go(func() {
			var buf []byte
			for {
				i := int(next.Add(1)) - 1
				if i >= len(c.conns) {
					return
				}
				n, err := ask(c.conns[i], question, &buf)
				if err != nil {
					errs[w] = fmt.Errorf("node %d: %w", i, err)
					return
				}
				bytes.Add(int64(n))
			}
		})
	}
	workers.Wait()
	return Round{Wall: time.Since(began), Bytes: bytes.Load()}, errors.Join(errs...)
}

// firstBuffer is how much is read of an answer at first, in bytes: most are
// smaller.
const firstBuffer = 4 << 10

// ask writes the question and reads the answer into buf, which grows as needed.
func ask(conn net.Conn, question []byte, buf *[]byte) (int, error) {
	if _, err := conn.Write(question); err != nil {
		return 0, err
	}
	if *buf == nil {
		*buf = make([]byte, firstBuffer)
	}
	have := 0
	for have < prefix {
		n, err := conn.Read((*buf)[have:])
		if err != nil {
			return 0, err
		}
		have += n
	}
	size := int(binary.BigEndian.Uint32(*buf))
	if prefix+size > len(*buf) {
		*buf = append(*buf, make([]byte, prefix+size-len(*buf))...)
	}
	if have > prefix+size {
		return 0, fmt.Errorf("%d bytes more than the answer", have-prefix-size)
	}
	_, err := io.ReadFull(conn, (*buf)[have:prefix+size])
	return size, err
}

func (c *client) close() {
	for _, conn := range c.conns {
		if conn != nil {
			_ = conn.Close() // the server may have gone
		}
	}
}
