package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/rollcall-metrics/rollcall/agent/app"
	"github.com/rollcall-metrics/rollcall/agent/kubelet"
	"github.com/rollcall-metrics/rollcall/agent/ring"
	"github.com/rollcall-metrics/rollcall/agent/sampler"
	"github.com/rollcall-metrics/rollcall/e2e/fleet/network"
	"github.com/rollcall-metrics/rollcall/e2e/fleet/standin"
	"github.com/rollcall-metrics/rollcall/pkg/identity"
	"github.com/rollcall-metrics/rollcall/pkg/model"
	"github.com/rollcall-metrics/rollcall/pkg/obs"
	"github.com/rollcall-metrics/rollcall/pkg/roster"
)

// A node is one host with a stand-in kubelet and a real agent.
type node struct {
	process
	addr    netip.Addr
	kubelet *standin.Kubelet
	host    *network.Host
	network *network.Network
	cfg     app.Config
	log     *slog.Logger
}

// newNode makes the i-th node; its kubelet is served by serveKubelet.
func (f *Fleet) newNode(i int) (*node, error) {
	name := fmt.Sprintf("node-%d", i+1)
	addr := f.cfg.host(0, i)
	k, err := standin.New(standin.Config{
		Node: name, Seed: f.cfg.Seed, Pods: f.cfg.Pods, Resolution: f.cfg.Resolution,
		Token: f.token, Trace: f.trace,
	})
	if err != nil {
		return nil, err
	}
	files, err := f.authority.Issue(identity.Peer{Role: identity.Agent, Name: name})
	if err != nil {
		return nil, err
	}
	n := &node{process: process{name: name}, addr: addr, kubelet: k, host: f.network.Host(addr), network: f.network, log: f.log.With("node", name)}
	n.cfg = app.Config{
		Node: name, Resolution: f.cfg.Resolution, Duration: 24 * time.Hour,
		DataDir: filepath.Join(f.dir, name),
		MaxDisk: ring.DefaultMaxDisk,
		Kubelet: kubelet.Config{
			Address: addr.String(), Port: 10250, CAFile: f.authority.CA(),
			TokenFile: f.tokenFile, Timeout: 10 * time.Second,
		},
		PeerListen: at(addr, 9810), LocalListen: at(addr, 9811), MetricsListen: at(addr, 9812),
		Identity: files,
		Roster: roster.Config{
			Bind: addr, Port: gossipPort, Join: f.seeds(), Label: f.label, KeyFile: f.keyFile,
			Timing: roster.LocalTiming(), Wrap: n.host.Gossip,
		},
		WrapListener: n.host.Wrap,
	}
	return n, nil
}

func at(addr netip.Addr, port uint16) string { return netip.AddrPortFrom(addr, port).String() }

// serveKubelet serves the stand-in over TLS until ctx ends.
func (n *node) serveKubelet(ctx context.Context, f *Fleet) (wait func() error, err error) {
	files, err := f.authority.IssueServer(n.name, n.addr.AsSlice())
	if err != nil {
		return nil, err
	}
	cert, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		return nil, err
	}
	l, err := obs.Listen(ctx, "--network", at(n.addr, 10250))
	if err != nil {
		return nil, err
	}
	done := make(chan error, 1)
	go func() {
		done <- obs.Serve(ctx, n.log, obs.Server{
			Name: "kubelet", Listener: n.host.Wrap(l), Handler: n.kubelet,
			TLS: &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12},
		})
	}()
	context.AfterFunc(ctx, n.kubelet.Close)
	return func() error { return <-done }, nil
}

// backfill replays history into the agent's ring, through the agent's own
// kubelet client and sampler, by a clock that runs ahead.
func (n *node) backfill(ctx context.Context, a *app.Agent, f *Fleet) error {
	res := int64(f.cfg.Resolution / time.Second)
	slot := model.SlotOf(time.Now().Add(-f.cfg.Backfill), f.cfg.Resolution)
	var clock time.Time
	n.kubelet.SetClock(func() time.Time { return clock })
	defer n.kubelet.SetClock(time.Now)
	for ; slot < model.SlotOf(time.Now(), f.cfg.Resolution); slot += res {
		clock = time.Unix(slot, 0).Add(sampler.Phase(n.name, f.cfg.Resolution))
		if err := a.Sampler().Sample(ctx, slot); err != nil {
			return fmt.Errorf("%s: replay slot %d: %w", n.name, slot, err)
		}
		f.replayed.Add(1)
	}
	return nil
}

// start starts the agent, the first time with history.
func (n *node) start(ctx context.Context, f *Fleet) error {
	n.orders.Lock()
	defer n.orders.Unlock()
	if n.is(stateRunning, statePaused) {
		return fmt.Errorf("%s is %s", n.name, n.now())
	}
	a, err := app.New(ctx, n.cfg, f.version, n.log)
	if err != nil {
		return err
	}
	if n.is(stateNew) && f.cfg.Backfill > 0 {
		if err := n.backfill(ctx, a, f); err != nil {
			return errors.Join(err, a.Close())
		}
	}
	n.run(ctx, a.Run)
	return nil
}

// stop ends the agent and waits for it: gracefully, or as a crash would.
func (n *node) stop(kill bool) error {
	n.orders.Lock()
	defer n.orders.Unlock()
	n.network.Resume(n.addr)
	return n.process.stop(kill)
}

// act does what the admin API asks for.
func (n *node) act(ctx context.Context, f *Fleet, action string) error {
	switch action {
	case "kill":
		return n.stop(true)
	case "stop":
		return n.stop(false)
	case "start":
		return n.start(ctx, f)
	case "pause", "resume":
		return n.freeze(action == "pause")
	}
	return fmt.Errorf("action %q is none of kill, stop, start, pause, resume", action)
}

// freeze pauses or resumes the host, kubelet included: like SIGSTOP, nothing
// that is open is closed.
func (n *node) freeze(pause bool) error {
	n.orders.Lock()
	defer n.orders.Unlock()
	switch {
	case pause && n.is(stateRunning):
		n.network.Pause(n.addr)
		n.state.Store(statePaused)
	case !pause && n.is(statePaused):
		n.network.Resume(n.addr)
		n.state.Store(stateRunning)
	default:
		return fmt.Errorf("%s is %s", n.name, n.now())
	}
	return nil
}

// status is what the admin API shows.
func (n *node) status() nodeStatus {
	return nodeStatus{
		Name: n.name, Address: n.addr.String(), Agent: n.now(), Fault: n.kubelet.Fault().String(),
		Local: "http://" + n.cfg.LocalListen, Metrics: "http://" + n.cfg.MetricsListen + "/metrics",
	}
}

type nodeStatus struct {
	Name    string `json:"name"`
	Address string `json:"address"`
	Agent   string `json:"agent"`
	Fault   string `json:"fault"`
	Local   string `json:"local"`
	Metrics string `json:"metrics"`
}

// writeFile writes a small file that only we may read.
func writeFile(path, content string) error { return os.WriteFile(path, []byte(content), 0o600) }
