package resource

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"io"
	"log"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"

	"github.com/rollcall-metrics/rollcall/agent/api"
	"github.com/rollcall-metrics/rollcall/agent/ring"
	"github.com/rollcall-metrics/rollcall/agent/sampler"
	"github.com/rollcall-metrics/rollcall/pkg/identity"
	"github.com/rollcall-metrics/rollcall/pkg/model"
	"github.com/rollcall-metrics/rollcall/pkg/roster"
	"github.com/rollcall-metrics/rollcall/pkg/wire"
)

const (
	resolution = 15 * time.Second
	retention  = 24 * time.Hour
)

// A node is a kubelet and, beside it, an agent: a real one, but for what asks for
// its flags.
type node struct {
	*standIn
	fleet *fleet
	name  string
	at    netip.AddrPort
	// asks is whom the agent asks; the stand-in, if a test does not say otherwise.
	asks sampler.Kubelet
	disk vfs.FS
	// answers, if not nil, answers aggregators instead of the agent.
	answers atomic.Pointer[http.Handler]
	// delay is how long an answer to an aggregator takes, in nanoseconds.
	delay atomic.Int64

	*agent // nil: it does not run
}

// An agent is one run of an agent.
type agent struct {
	began    time.Time
	ring     *ring.Ring
	listener *listener
	server   *http.Server
	stop     context.CancelFunc
	running  sync.WaitGroup
}

// start starts the node's agent. A slot without a sample is sampled at once.
func (n *node) start() {
	reg := prometheus.NewRegistry()
	a := &agent{began: time.Now(), listener: listen(net.TCPAddrFromAddrPort(n.at))}
	a.ring = ring.Open(ring.Config{Dir: "ring", FS: n.disk, Resolution: resolution, Retention: retention}, silent, reg)
	s := sampler.New(sampler.Config{Node: n.name, Resolution: resolution}, n.asks, a.ring, silent, reg)
	peer := api.Peer(api.PeerConfig{Node: n.name, Resolution: resolution, Retention: retention}, a.ring, http.NotFoundHandler(), silent, reg)
	a.server = &http.Server{ErrorLog: nothing, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(time.Duration(n.delay.Load()))
		if h := n.answers.Load(); h != nil {
			(*h).ServeHTTP(w, r)
			return
		}
		if n.ahead() != 0 {
			n.shifted(peer, w, r)
			return
		}
		peer.ServeHTTP(w, r)
	})}
	id := n.fleet.identity(identity.Agent, n.name)
	ctx, stop := context.WithCancel(n.fleet.t.Context())
	a.stop = stop
	a.running.Go(func() { n.sample(ctx, s) })
	a.running.Go(func() { _ = a.server.Serve(tls.NewListener(a.listener, id.ServerConfig(identity.Aggregator))) })
	n.agent = a
	n.fleet.network.enter(roster.Member{Name: n.name, Role: identity.Agent, Addr: n.at.Addr(), PeerPort: n.at.Port(), Start: a.began}, a.listener)
	synctest.Wait() // what it does at once is done
}

// sample does what the sampler's Run does, by the node's clock.
func (n *node) sample(ctx context.Context, s *sampler.Sampler) {
	if n.ahead() == 0 {
		s.Run(ctx)
		return
	}
	for {
		slot := model.SlotOf(time.Now().Add(n.ahead()), resolution)
		_ = s.Sample(ctx, slot)
		next := time.Unix(slot, 0).Add(resolution + sampler.Phase(n.name, resolution) - n.ahead())
		select {
		case <-time.After(time.Until(next)):
		case <-ctx.Done():
			return
		}
	}
}

// shifted answers with the node's clock in the header.
func (n *node) shifted(peer http.Handler, w http.ResponseWriter, r *http.Request) {
	answer := httptest.NewRecorder()
	peer.ServeHTTP(answer, r)
	body := answer.Body.Bytes()
	size, used := binary.Uvarint(body)
	var first wire.Frame
	if err := proto.Unmarshal(body[used:used+int(size)], &first); err != nil {
		panic(err) // of net/http: the node does not answer
	}
	first.GetHeader().Time = uint64(time.Now().Add(n.ahead()).UnixMilli())
	head, err := proto.Marshal(&first)
	if err != nil {
		panic(err)
	}
	maps.Copy(w.Header(), answer.Header())
	w.Header().Del("Content-Length")
	w.WriteHeader(answer.Code)
	_, _ = w.Write(binary.AppendUvarint(nil, uint64(len(head))))
	_, _ = w.Write(head)
	_, _ = w.Write(body[used+int(size):])
}

// ahead is by how much the node's clock is.
func (n *node) ahead() time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	return time.Duration(n.skew) * time.Second
}

// kill ends the node's agent as a crash does.
func (n *node) kill() {
	if n.agent == nil {
		return
	}
	a := n.agent
	n.agent = nil
	n.fleet.network.leave(n.name)
	a.stop()
	_ = a.server.Close()
	a.running.Wait()
	_ = a.ring.Abandon()
}

// restart kills the agent and starts it anew, with its ring as it was or without.
func (n *node) restart(keep bool) {
	n.kill()
	if !keep {
		n.disk = vfs.NewMem()
	}
	n.start()
}

// answering has the agent answer aggregators like that; nil: as it should.
func (n *node) answering(h http.HandlerFunc) {
	if h == nil {
		n.answers.Store(nil)
		return
	}
	n.answers.Store(new(http.Handler(h)))
}

// failing has the kubelet fail; nil: not any more.
func (n *node) failing(err error) { n.change(func() { n.fails = err }) }

var (
	silent  = slog.New(slog.DiscardHandler)
	nothing = log.New(io.Discard, "", 0)
)
