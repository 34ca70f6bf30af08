package main

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/rollcall-metrics/rollcall/aggregator/app"
	"github.com/rollcall-metrics/rollcall/e2e/dashboard"
	"github.com/rollcall-metrics/rollcall/e2e/fleet/standin"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// dashboardWindow is how much an aggregator tells the Dashboard if it is not told
// otherwise.
const dashboardWindow = 15 * time.Minute

// boardPods is how many pods are asked about: each takes its time with the race
// detector.
const boardPods = 24

// A boardTruth is what nodes measured, as the Dashboard should be told it.
type boardTruth struct {
	nodes map[string]truthFunc
	lead  int64 // seconds before a slot that tell whether a cpu of 0 is believed
}

// each calls use with what each node measured from from to to.
func (b boardTruth) each(from, to int64, use func(node string, own series, pods map[string]series)) {
	for name, truth := range b.nodes {
		own, pods := truthOf(truth, from, to, b.lead)
		use(name, own, pods)
	}
}

// boardColumns are the metrics of /api/v1 in which the two of the Dashboard are.
var boardColumns = map[dashboard.Metric]string{dashboard.CPU: model.CPU.String(), dashboard.Memory: model.WorkingSet.String()}

// Pods implements [dashboard.Truth]. A pod is its containers.
func (b boardTruth) Pods(_ context.Context, namespace string, m dashboard.Metric, from, to int64) (map[string]dashboard.Parts, error) {
	all := map[string]dashboard.Parts{}
	b.each(from, to, func(_ string, _ series, pods map[string]series) {
		for key, s := range pods {
			parts := strings.SplitN(key, "/", 3)
			if parts[0] != namespace || parts[2] == "" {
				continue
			}
			of := all[parts[1]]
			if of == nil {
				of = dashboard.Parts{}
				all[parts[1]] = of
			}
			if of[parts[2]] == nil {
				of[parts[2]] = map[int64]uint64{}
			}
			maps.Copy(of[parts[2]], column(s, boardColumns[m])) // a pod that moves has two nodes
		}
	})
	return all, nil
}

// Nodes implements [dashboard.Truth].
func (b boardTruth) Nodes(_ context.Context, m dashboard.Metric, from, to int64) (map[string]dashboard.Parts, error) {
	all := map[string]dashboard.Parts{}
	b.each(from, to, func(node string, own series, _ map[string]series) {
		all[node] = dashboard.Parts{"": column(own, boardColumns[m])}
	})
	return all, nil
}

// column is one metric of a series.
func column(s series, metric string) map[int64]uint64 {
	values := map[int64]uint64{}
	for slot, p := range s {
		if v, ok := p[metric]; ok {
			values[slot] = v
		}
	}
	return values
}

// podsOf are the pods of a namespace that were measured in all slots of the last
// minutes, by name, and their nodes.
func (b boardTruth) podsOf(namespace string, resolution time.Duration) map[string]string {
	to := model.SlotOf(time.Now(), resolution) - 2*int64(resolution/time.Second)
	from := to - 4*int64(resolution/time.Second)
	of := map[string]string{}
	b.each(from, to, func(node string, _ series, pods map[string]series) {
		for key, s := range pods {
			parts := strings.SplitN(key, "/", 3)
			if parts[0] == namespace && parts[2] != "" && len(s) == 5 {
				of[parts[1]] = node
			}
		}
	})
	return of
}

// forwarder is one in front of an aggregator, as somebody whom the Dashboard asks. It
// runs until the test ends.
func (r *running) forwarder(a *aggregator) *dashboard.Client {
	r.t.Helper()
	listen := netip.AddrPortFrom(r.cfg.Listen.Addr(), 8080).String()
	command := app.ForwardDashboard("test")
	flags := pflag.NewFlagSet(command.Name, pflag.ContinueOnError)
	command.Config.AddFlags(flags)
	if err := errors.Join(flags.Parse([]string{"--to", a.url(), "--listen", listen}), command.Config.Validate()); err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- command.Run(ctx, slog.New(slog.DiscardHandler)) }()
	r.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			r.t.Error(err)
		}
	})
	c, err := dashboard.Direct("http://" + listen)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(c.Close)
	r.eventually("the forwarder is there", func() bool { return c.Healthy(ctx) == nil })
	return c
}

// boardOf is an aggregator as somebody whom the Dashboard asks.
func boardOf(t *testing.T, a *aggregator) *dashboard.Client {
	t.Helper()
	c, err := dashboard.Direct(a.url())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// aBoard is what the contract is tested with: some pods of a namespace, on several
// nodes.
func (f *Fleet) aBoard(t *testing.T, truth boardTruth, namespace string) dashboard.Target {
	t.Helper()
	nodes := truth.podsOf(namespace, f.cfg.Resolution)
	pods := slices.Sorted(maps.Keys(nodes))
	pods = pods[:min(boardPods, len(pods))]
	hosts := map[string]bool{}
	for _, name := range pods {
		hosts[nodes[name]] = true
	}
	if len(pods) < 3 || len(hosts) < 3 {
		t.Fatalf("%d pods of %s on %d nodes are too few", len(pods), namespace, len(hosts))
	}
	return dashboard.Target{
		Resolution: f.cfg.Resolution, Window: dashboardWindow, Namespace: namespace,
		Pods: pods, Nodes: slices.Sorted(maps.Keys(truth.nodes)), Names: 45_000, Truth: truth,
	}
}

// Of real agents, whose stand-in kubelets have restarts and gaps, both aggregators keep
// the contract, and a forwarder; of virtual ones the only aggregator.
func TestDashboardContract(t *testing.T) {
	t.Run("real agents", func(t *testing.T) {
		r := startFleet(t, 46, Config{Nodes: 3, Aggregators: 2, Pods: 20, Resolution: 15 * time.Second, Backfill: 20 * time.Minute})
		truth := boardTruth{map[string]truthFunc{}, 30}
		for _, n := range r.nodes {
			truth.nodes[n.name] = n.kubelet.Truth
		}
		target := r.aBoard(t, truth, "shop")
		for _, a := range r.aggregators {
			t.Run(a.name, func(t *testing.T) {
				target.Client = boardOf(t, a)
				dashboard.TestContract(t, target)
			})
		}
		t.Run("through a forwarder", func(t *testing.T) {
			target.Client = r.forwarder(r.aggregators[0])
			dashboard.TestContract(t, target)
		})
	})
	t.Run("virtual nodes", func(t *testing.T) {
		f, truth := startVirtual(t, virtualConfig(47, 20, 1), nil)
		target := f.aBoard(t, truth, "checkout")
		target.Client = boardOf(t, f.aggregators[0])
		dashboard.TestContract(t, target)
	})
}

// startVirtual starts virtual nodes, until the test ends.
func startVirtual(t *testing.T, cfg Config, prepare func(*Fleet)) (*running, boardTruth) {
	t.Helper()
	cfg.Data = t.TempDir()
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	f, err := NewFleet(cfg, "test", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if prepare != nil {
		prepare(f)
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() {
		cancel()
		if err := f.Stop(); err != nil {
			t.Error(err)
		}
	})
	if err := f.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if err := f.awaitComplete(ctx); err != nil {
		t.Fatal(err)
	}
	truth := boardTruth{nodes: map[string]truthFunc{}}
	for _, name := range f.virtual.Nodes() {
		truth.nodes[name] = func(from, to int64) standin.Truth {
			measured, err := f.virtual.Truth(name, from, to)
			if err != nil {
				t.Error(err)
			}
			return measured
		}
	}
	return &running{Fleet: f, t: t}, truth
}
