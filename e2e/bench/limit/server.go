package limit

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-metrics/rollcall/e2e/bench/child"
	"github.com/rollcall-metrics/rollcall/pkg/identity"
)

const (
	prefix = 4 // bytes of a length
	// maxQuestion bounds a question, in bytes: a query with long names is shorter.
	maxQuestion = 4 << 10
	// readBuffer of a server's connection, in bytes: room for any question.
	readBuffer = 512
)

// A ServerRequest is what the job of [ServerJob] is told.
type ServerRequest struct {
	Files      identity.Files // an agent's
	Recordings []string       // files, one for each kind of question; see [WriteRecording]
}

// A ServerResult is where the server is.
type ServerResult struct{ Addr string }

// ServerJob serves recorded bodies until ctx ends.
func ServerJob(ctx context.Context, p *child.Parent) error {
	var q ServerRequest
	if err := p.Next(&q); err != nil {
		return err
	}
	s := &server{}
	for _, path := range q.Recordings {
		bodies, err := readRecording(path)
		if err != nil {
			return err
		}
		s.answers = append(s.answers, bodies)
	}
	id, err := identity.Load(q.Files, child.ErrorsOnly(), prometheus.NewRegistry())
	if err != nil {
		return err
	}
	lc := net.ListenConfig{KeepAlive: noKeepAlive}
	plain, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	l := tls.NewListener(plain, id.ServerConfig(identity.Aggregator))
	if err := p.Result(ServerResult{l.Addr().String()}); err != nil {
		return errors.Join(err, l.Close())
	}
	return s.serve(ctx, l)
}

// A server answers with what it was given.
type server struct {
	answers [][][]byte // by kind and node, each with its length before it
}

// serve answers until ctx ends, and returns when all connections are closed.
func (s *server) serve(ctx context.Context, l net.Listener) error {
	var conns sync.WaitGroup
	defer conns.Wait()
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	for {
		conn, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		conns.Go(func() {
			hangUp := context.AfterFunc(ctx, func() { _ = conn.Close() })
			defer hangUp()
			defer conn.Close()
			// The client may hang up at any time; it is the client that counts answers.
			_ = s.answer(conn)
		})
	}
}

func (s *server) answer(conn net.Conn) error {
	r := bufio.NewReaderSize(conn, readBuffer)
	var head [prefix]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err
	}
	node := int(binary.BigEndian.Uint32(head[:]))
	question := make([]byte, 0, readBuffer)
	for {
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return err
		}
		n := binary.BigEndian.Uint32(head[:])
		if n == 0 || n > maxQuestion {
			return fmt.Errorf("question of %d bytes", n)
		}
		if cap(question) < int(n) {
			question = make([]byte, n)
		}
		question = question[:n]
		if _, err := io.ReadFull(r, question); err != nil {
			return err
		}
		kind := int(question[0])
		if kind >= len(s.answers) || node >= len(s.answers[kind]) {
			return fmt.Errorf("no answer %d of node %d", kind, node)
		}
		if _, err := conn.Write(s.answers[kind][node]); err != nil {
			return err
		}
	}
}
