package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-metrics/rollcall/e2e/bench/child"
	"github.com/rollcall-metrics/rollcall/e2e/bench/fullnode"
	"github.com/rollcall-metrics/rollcall/e2e/bench/job"
	"github.com/rollcall-metrics/rollcall/pkg/identity"
	"github.com/rollcall-metrics/rollcall/pkg/identity/identitytest"
	"github.com/rollcall-metrics/rollcall/pkg/model"
	"github.com/rollcall-metrics/rollcall/pkg/roster"
)

// label is that of gossip.
const label = "bench"

// A site is what agents need around them. Its kubelets and other members run
// in this process, the agents in their own.
type site struct {
	bench     *bench
	recording *fullnode.Recording
	authority *identitytest.Authority
	token     string // file
	key       string // file
	server    tls.Certificate
	// Agent has what an agent is told, but for ports.
	agent identity.Files
}

func newSite(b *bench) (*site, error) {
	dir := b.path("tls")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	s := &site{bench: b, token: filepath.Join(dir, "token"), key: filepath.Join(dir, "gossip.key")}
	var err error
	if s.recording, err = fullnode.LoadRecording(); err != nil {
		return nil, err
	}
	if s.authority, err = identitytest.New(dir); err != nil {
		return nil, err
	}
	if s.agent, err = s.authority.Issue(identity.Peer{Role: identity.Agent, Name: job.NodeName}); err != nil {
		return nil, err
	}
	files, err := s.authority.IssueServer(job.NodeName, job.Loopback.AsSlice())
	if err != nil {
		return nil, err
	}
	if s.server, err = tls.LoadX509KeyPair(files.Cert, files.Key); err != nil {
		return nil, err
	}
	return s, errors.Join(os.WriteFile(s.token, []byte(rand.Text()), 0o600), identitytest.WriteGossipKey(s.key))
}

// A standIn is a kubelet that serves.
type standIn struct {
	*fullnode.Server
	node *fullnode.Node
	port int
	http *http.Server
	done chan error
}

// atSpeed yields one slot after the other, one for each request.
func atSpeed(begin int64) func() int64 {
	next := begin - job.SlotSeconds
	return func() int64 { next += job.SlotSeconds; return next }
}

// byClock yields the slot that it is.
func byClock() int64 { return model.SlotOf(time.Now(), job.Resolution) }

// kubelet serves a full node over TLS until it is closed.
func (s *site) kubelet(begin int64, slot func() int64) (*standIn, error) {
	node, err := fullnode.New(s.recording, fullnode.Recorded, s.bench.cfg.Seed, begin)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", netip.AddrPortFrom(job.Loopback, 0).String())
	if err != nil {
		return nil, err
	}
	k := &standIn{Server: fullnode.NewServer(node, slot), node: node, port: l.Addr().(*net.TCPAddr).Port, done: make(chan error, 1)}
	k.http = &http.Server{
		Handler: k.Server, ReadHeaderTimeout: time.Minute,
		// The kubelet speaks HTTP/2 to who asks for it; the agent does not.
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{s.server}, MinVersion: tls.VersionTLS12},
	}
	go func() { k.done <- k.http.ServeTLS(l, "", "") }()
	return k, nil
}

func (k *standIn) close() error {
	err := k.http.Close()
	if served := <-k.done; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// freePorts finds ports that nobody has. Somebody may take one before it is
// used, but the kernel hands out others first.
func freePorts() (p job.Ports, err error) {
	for _, port := range []*uint16{&p.Peer, &p.Local, &p.Metrics, &p.Gossip} {
		l, err := net.Listen("tcp", netip.AddrPortFrom(job.Loopback, 0).String())
		if err != nil {
			return p, err
		}
		defer l.Close()
		*port = uint16(l.Addr().(*net.TCPAddr).Port)
	}
	return p, nil
}

// others are two more members, so that there is gossip.
type others struct {
	members []*roster.Roster
	seeds   []string
	agent   atomic.Pointer[string] // its gossip address; nil: not known yet
}

func (s *site) others(ctx context.Context) (*others, error) {
	o := &others{}
	// They join the agent, which by itself waits up to 30 s before it joins.
	timing := job.PromptTiming()
	timing.Heal = 500 * time.Millisecond
	for i := range 2 {
		p, err := freePorts()
		if err != nil {
			return nil, errors.Join(err, o.close())
		}
		r, err := roster.Start(ctx, roster.Config{
			Name: fmt.Sprintf("other-%d", i), Role: identity.Aggregator, Bind: job.Loopback, Port: int(p.Gossip),
			Join: o.seeds, Label: label, KeyFile: s.key, Timing: timing,
			Missing: func() []string {
				if a := o.agent.Load(); a != nil {
					return []string{*a}
				}
				return nil
			},
		}, s.bench.log, prometheus.NewRegistry())
		if err != nil {
			return nil, errors.Join(err, o.close())
		}
		o.members = append(o.members, r)
		o.seeds = append(o.seeds, job.At(p.Gossip))
	}
	return o, nil
}

// await waits until the agent, whose ports these are, has joined.
func (o *others) await(ctx context.Context, p job.Ports) error {
	addr := job.At(p.Gossip)
	o.agent.Store(&addr)
	defer o.agent.Store(nil)
	ctx, cancel := context.WithTimeoutCause(ctx, 2*time.Minute, errors.New("the agent has not joined the roster"))
	defer cancel()
	for {
		if _, state := o.members[0].Snapshot().Lookup(identity.Agent, job.NodeName); state == roster.Alive {
			return nil
		}
		if err := child.Wait(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
}

func (o *others) close() error {
	var errs []error
	for _, r := range o.members {
		errs = append(errs, r.Kill())
	}
	return errors.Join(errs...)
}

// gossipKey is the site's key in bytes.
func (s *site) gossipKey() ([]byte, error) {
	keys, err := identity.GossipKeys(s.key)
	if err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("no key in %s", s.key)
	}
	return keys[0], nil
}

// request is what an agent of the site is told.
func (s *site) request(name, dir string, k *standIn) (job.AgentRequest, error) {
	p, err := freePorts()
	return job.AgentRequest{
		Name: name, Dir: dir, Resolution: job.Resolution, Slots: s.bench.cfg.Slots, Kubelet: k.port,
		CA: s.authority.CA(), Token: s.token, Files: s.agent, Ports: p, Label: label, Key: s.key,
	}, err
}
