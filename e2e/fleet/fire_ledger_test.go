package main

import (
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rollcall-metrics/rollcall/e2e/fleet/standin"
)

const (
	// ledgerNamespace has two pods with three containers on every node, under
	// names of their own.
	ledgerNamespace = "kube-system"
	ledgerMetrics   = "metrics=cpu,memory,networkRx,measured"
	// stepSlots is how many slots a step has; the ledger has two steps.
	stepSlots = 3
	// ledgerLead is how far before its slots a truth begins: whether a cpu of 0
	// is believed depends on the measurement before.
	ledgerLead = 30
	// maxWatched is of how many nodes the newest values are compared.
	maxWatched = 12
)

// A ledger is what the nodes measured in a few slots that have been, by
// /truth: worked out once, it does not change.
type ledger struct {
	from, to int64
	step     int64 // seconds
	nodes    map[string]series
	pods     map[string]series // by "namespace/pod/container", or "namespace/pod/"
	owner    map[string]string // node, by "namespace/pod"
	count    map[string]int    // series of pods, by node
	watched  []string          // nodes whose newest values are compared
}

// openLedger writes down what was measured in the slots from..to.
func (f *fire) openLedger(from, to int64) (*ledger, error) {
	l := &ledger{
		from: from, to: to, step: f.step(),
		nodes: map[string]series{}, pods: map[string]series{}, owner: map[string]string{}, count: map[string]int{},
	}
	nodes := f.virtual.Nodes()
	for i := range maxWatched {
		l.watched = append(l.watched, nodes[i*len(nodes)/maxWatched])
	}
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	var mu sync.Mutex
	for _, name := range nodes {
		g.Go(func() error {
			node, pods, err := f.measured(name, l.from, l.to)
			mu.Lock()
			defer mu.Unlock()
			l.nodes[name], l.count[name] = node, len(pods)
			maps.Copy(l.pods, pods)
			for key := range pods {
				l.owner[key[:strings.LastIndex(key, "/")]] = name
			}
			return err
		})
	}
	return l, g.Wait()
}

// step is how long a step is, in seconds.
func (f *fire) step() int64 { return stepSlots * int64(f.cfg.Resolution/time.Second) }

// measured is what a node and its pods of the ledger's namespace measured, in
// the ledger's columns.
func (f *fire) measured(name string, from, to int64) (node series, pods map[string]series, err error) {
	node, pods = truthOf(func(from, to int64) standin.Truth {
		var truth standin.Truth
		truth, err = f.virtual.Truth(name, from, to)
		for i := range truth.Slots {
			s := &truth.Slots[i]
			s.Entities = slices.DeleteFunc(s.Entities, func(e standin.TruthEntity) bool {
				return e.Pod != "" && e.Namespace != ledgerNamespace
			})
		}
		return truth
	}, from, to, ledgerLead)
	node = columns(node)
	for key, s := range pods {
		if pods[key] = columns(s); len(pods[key]) == 0 {
			delete(pods, key)
		}
	}
	return node, pods, err
}

// columns leaves of the points what questions ask for.
func columns(s series) series {
	_, names, _ := strings.Cut(ledgerMetrics, "=")
	kept := series{}
	for slot, p := range s {
		shown := pointJSON{"timestamp": p["timestamp"]}
		for name := range strings.SplitSeq(names, ",") {
			if v, ok := p[name]; ok {
				shown[name] = v
			}
		}
		if len(shown) > 1 {
			kept[slot] = shown
		}
	}
	return kept
}

// stepped is the largest value of each column and step.
func (l *ledger) stepped(s series) series {
	steps := series{}
	for slot, p := range s {
		at := slot / l.step * l.step
		if steps[at] == nil {
			steps[at] = pointJSON{"timestamp": uint64(at)}
		}
		for name, v := range p {
			if name != "timestamp" {
				steps[at][name] = max(steps[at][name], v)
			}
		}
	}
	return steps
}

// aContainer is any container of a node, as "namespace/pod/container".
func (l *ledger) aContainer(node string) string {
	var keys []string
	for key := range l.pods {
		if !strings.HasSuffix(key, "/") && l.owner[key[:strings.LastIndex(key, "/")]] == node {
			keys = append(keys, key)
		}
	}
	return keys[rand.IntN(len(keys))]
}
