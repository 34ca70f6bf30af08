package main

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// checkLatest checks the newest values of all nodes. Nodes that are out may be
// stale: then they are shown, for a while, with what they had.
func (f *fire) checkLatest(t *testing.T, a *aggregator, out bad) error {
	t.Helper()
	before := f.lastSampled()
	r := f.ask(t, a, "/api/v1/node?latest=true")
	slot := f.newestSlot(t, before, r)
	absent := f.all()
	for _, n := range r.Nodes {
		if f.newest(t, n.Name, n.Name, n.Metrics, slot, func() series {
			node, _, err := f.measured(n.Name, int64(n.Metrics[0]["timestamp"]), slot)
			if err != nil {
				t.Error(err)
			}
			return node
		}) {
			delete(absent, n.Name)
		}
	}
	return f.missing(t, "newest values of nodes", r.Coverage, absent, orStale(out))
}

// checkLatestPods checks the newest values of the pods of the ledger's namespace.
func (f *fire) checkLatestPods(t *testing.T, a *aggregator, out bad, sized []string) error {
	t.Helper()
	before := f.lastSampled()
	r := f.ask(t, a, "/api/v1/pod/"+ledgerNamespace+"?latest=true")
	slot := f.newestSlot(t, before, r)
	absent := f.all()
	truths := map[string]map[string]series{} // of watched nodes, by node
	owner, err := f.ownersNow(r, slot)
	if err != nil {
		t.Error(err)
	}
	f.eachSeries(t, r, owner, sized, func(node, key string, got []pointJSON) {
		if len(got) == 0 {
			return // a pod itself has nothing where only containers are asked for
		}
		if f.newest(t, node, key, got, slot, func() series {
			if truths[node] == nil {
				_, pods, err := f.measured(node, slot-f.stale(), slot)
				if err != nil {
					t.Error(err)
				}
				truths[node] = pods
			}
			return truths[node][key]
		}) {
			delete(absent, node)
		}
	})
	return f.missing(t, "newest values of pods", r.Coverage, absent, orStale(out))
}

// stale is how much older than the slot newest values may be, in seconds.
func (f *fire) stale() int64 { return model.StaleSlots * int64(f.cfg.Resolution/time.Second) }

// ownersNow are the nodes of pods: those of the ledger, or if there are others in
// an answer, as pods are replaced, those of now.
func (f *fire) ownersNow(r fireAnswer, slot int64) (map[string]string, error) {
	known := func(name string) bool {
		copied := ofSize.FindStringSubmatch(name)
		return f.ledger.owner[name] != "" || copied != nil && f.ledger.owner[copied[1]] != ""
	}
	strange := false
	for _, p := range r.Pods {
		strange = strange || !known(p.Namespace+"/"+p.Name)
	}
	if !strange {
		return f.ledger.owner, nil
	}
	now, err := f.openLedger(slot-f.stale(), slot)
	if err == nil {
		maps.Copy(f.ledger.owner, now.owner)
	}
	return f.ledger.owner, err
}

// newest checks the newest values of one thing, and tells whether they are of
// the slot. truth is asked for what nodes measured that are watched.
func (f *fire) newest(t *testing.T, node, key string, got []pointJSON, slot int64, truth func() series) bool {
	t.Helper()
	at := int64(got[0]["timestamp"])
	if stale := slot - at; len(got) != 1 || stale < 0 || stale > f.stale() {
		t.Errorf("%s, newest of slot %d: %v", key, slot, got)
	}
	if slices.Contains(f.ledger.watched, node) {
		f.compare(t, key, got, truth())
	}
	return at == slot
}

// newestSlot is the slot that an answer is of, which was asked for after before
// was the last one that was sampled.
func (f *fire) newestSlot(t *testing.T, before int64, r fireAnswer) int64 {
	t.Helper()
	newest, empty := uint64(0), ""
	look := func(name string, points []pointJSON) {
		if len(points) == 0 {
			empty = name
			return
		}
		newest = max(newest, points[0]["timestamp"])
	}
	for _, n := range r.Nodes {
		look(n.Name, n.Metrics)
	}
	for _, p := range r.Pods {
		for _, c := range p.Containers {
			look(p.Name, c.Metrics)
		}
	}
	after, slot := f.lastSampled(), int64(newest)
	if empty != "" {
		t.Errorf("%s is shown without a point", empty)
	}
	if slot > after || slot < before && r.Coverage.Answered > 0 {
		t.Errorf("the newest slot is %d, when %d was the last", slot, before)
	}
	return slot
}

// orStale are the bad nodes, each of which may be stale, too.
func orStale(out bad) bad {
	stale := bad{}
	for node, outcomes := range out {
		stale[node] = append([]string{"stale"}, outcomes...)
	}
	return stale
}
