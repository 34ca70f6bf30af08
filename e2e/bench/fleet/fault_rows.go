package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rollcall-metrics/rollcall/e2e/bench/report"
)

// faultRounds is how often a fleet is asked before and after the first question
// that meets its faults.
const faultRounds = 5

// faults makes three of a hundred nodes fail, each hundredth in another way.
func (b *bench) faults(ctx context.Context) (err error) {
	a, err := b.theAggregator(ctx)
	if err != nil {
		return err
	}
	slot := b.cfg.ended()
	path := fmt.Sprintf("/api/v1/node?start=%d&end=%d", slot, slot)
	var healthy, again []time.Duration
	for range faultRounds {
		r, err := a.complete(ctx, path)
		if err != nil {
			return err
		}
		healthy = append(healthy, r.Wall)
	}
	var faulty []string
	each := max(1, b.cfg.Nodes/100)
	for i, fault := range []string{"blackhole", "slow:3s", "garbage"} {
		var nodes []string
		for n := range each {
			nodes = append(nodes, b.fleet.Nodes[n*b.cfg.Nodes/each+i].Name)
		}
		if err := b.fleet.fail(nodes, fault); err != nil {
			return err
		}
		faulty = append(faulty, nodes...)
	}
	defer func() { err = errors.Join(err, b.fleet.fail(faulty, "none")) }()
	r, err := a.ask(ctx, path)
	if err != nil {
		return err
	}
	named, outcomes, err := judge(r.Coverage, faulty)
	if err != nil {
		return err
	}
	for range faultRounds {
		r, err := a.ask(ctx, path)
		if err != nil {
			return err
		}
		again = append(again, r.Wall)
	}
	b.Set("faults/wall", millis(r.Wall), "%d nodes fail, which all had connections; the per-node timeout is %v", len(faulty), nodeTimeout)
	b.Set("faults/ok", 100*float64(r.Coverage.Answered)/float64(r.Coverage.Expected), "%d of %d", r.Coverage.Answered, r.Coverage.Expected)
	b.Set("faults/named", 100*float64(named)/float64(len(faulty)), "of %d, the first 100 by name and the others counted: %v", len(faulty), outcomes)
	b.Set("faults/again", ratio(median(again), median(healthy)), "medians of %d questions right after the first, and of as many before it: %s and %s ms", faultRounds, report.Number(millis(median(again))), report.Number(millis(median(healthy))))
	return nil
}

// judge counts the faulty nodes that a coverage accounts for, and says how they
// ended. Others must not be missing.
func judge(c covered, faulty []string) (named int, outcomes map[string]int, err error) {
	outcomes = map[string]int{}
	for _, m := range c.Missing {
		if !slices.Contains(faulty, m.Node) {
			return 0, nil, fmt.Errorf("node %s is missing (%s), but does not fail", m.Node, m.Outcome)
		}
		if m.Outcome != "" {
			named++
			outcomes[m.Outcome]++
		}
	}
	for outcome, n := range c.NotListed {
		named += n
		outcomes[outcome] += n
	}
	if named > len(faulty) {
		return 0, nil, fmt.Errorf("%d nodes are missing, %d fail", named, len(faulty))
	}
	return named, outcomes, nil
}
