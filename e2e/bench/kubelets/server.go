package kubelets

import (
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rollcall-metrics/rollcall/e2e/bench/child"
	"github.com/rollcall-metrics/rollcall/pkg/identity"
)

// patience is how long a handshake may take: all nodes have theirs at once.
const patience = 10 * time.Minute

// path is what a scraper asks for.
const path = "/metrics/resource"

// Name is the DNS name that the kubelets' certificate must carry.
const Name = "kubelet"

// A Request is what the job of [Job] is told.
type Request struct {
	Nodes int
	Files identity.Files // a server's certificate
}

// A Result is where the kubelets are: one port, an address each; see [URL].
type Result struct{ Port int }

// URL is where a node's answer is.
func URL(node, port int) string {
	node++ // 127.64.0.0 looks like a network
	host := fmt.Sprintf("127.64.%d.%d", node>>8, node&0xff)
	return "https://" + net.JoinHostPort(host, strconv.Itoa(port)) + path
}

// nodeAt is the inverse: whose address that is.
func nodeAt(addr net.Addr) int {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return -1
	}
	ip := tcp.IP.To4()
	return int(ip[2])<<8 + int(ip[3]) - 1
}

// Job serves until ctx ends.
func Job(ctx context.Context, p *child.Parent) error {
	var q Request
	if err := p.Next(&q); err != nil {
		return err
	}
	cert, err := tls.LoadX509KeyPair(q.Files.Cert, q.Files.Key)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp4", ":0") // all addresses of 127.64.0.0/16
	if err != nil {
		return err
	}
	s := &http.Server{
		Handler: newHandler(q.Nodes), ReadHeaderTimeout: patience,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12},
		ErrorLog:  log.New(io.Discard, "", 0), // clients that hang up
	}
	stop := context.AfterFunc(ctx, func() { _ = s.Close() })
	defer stop()
	if err := p.Result(Result{l.Addr().(*net.TCPAddr).Port}); err != nil {
		return errors.Join(err, l.Close())
	}
	if err := s.ServeTLS(l, "", ""); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// A handler answers for all nodes.
type handler struct {
	documents []*document
	buffers   sync.Pool // of *[]byte
	packers   sync.Pool // of *gzip.Writer
}

func newHandler(nodes int) *handler {
	h := &handler{
		buffers: sync.Pool{New: func() any { return new([]byte) }},
		packers: sync.Pool{New: func() any { return gzip.NewWriter(io.Discard) }},
	}
	now := time.Now()
	for i := range nodes {
		h.documents = append(h.documents, newDocument(i, now))
	}
	return h
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	node := nodeAt(local)
	if r.URL.Path != path || node < 0 || node >= len(h.documents) {
		http.NotFound(w, r)
		return
	}
	buf := h.buffers.Get().(*[]byte)
	defer h.buffers.Put(buf)
	*buf = h.documents[node].append((*buf)[:0], time.Now())
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8; escaping=underscores")
	if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		w.Header().Set("Content-Length", strconv.Itoa(len(*buf)))
		_, _ = w.Write(*buf) // the scraper counts
		return
	}
	w.Header().Set("Content-Encoding", "gzip")
	z := h.packers.Get().(*gzip.Writer)
	defer h.packers.Put(z)
	z.Reset(w)
	_, _ = z.Write(*buf)
	_ = z.Close()
}
