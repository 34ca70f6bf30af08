package roster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/identity"
)

const (
	// maxSeeds is how many addresses one round of joins tries: an agent until one
	// answers, an aggregator all of them. Every join moves the whole roster.
	maxSeeds = 3
	// maxMissing is how many missing members one round tries; most are just down.
	maxMissing = 5
)

// joiner decides when to join whom.
type joiner struct {
	cfg       Config
	timing    Timing
	join      func(addr string) (int, error) // memberlist's Join
	table     *table
	metrics   *metrics
	log       *slog.Logger
	reached   atomic.Bool // anyone, or there is nobody
	failing   bool
	joined    bool            // and logged
	mistaken  chan netip.Addr // who takes us for the process before this one
	exchanged uint64          // the table's changes when last exchanged
}

// run joins until ctx ends.
func (j *joiner) run(ctx context.Context) {
	if !j.jitter(ctx, j.timing.StartJitter) {
		return
	}
	j.joinSeeds(ctx, nil)
	// Most likely all agents start at once, and the aggregators are busy with
	// those that came first, or not there yet.
	if j.failing && j.timing.JoinJitter > 0 && j.cfg.Role == identity.Agent {
		if !j.jitter(ctx, j.timing.JoinJitter) {
			return
		}
		j.joinSeeds(ctx, nil)
	}
	first := time.Now()
	for _, at := range j.timing.Rejoin {
		if !wait(ctx, at-time.Since(first)) {
			return
		}
		if j.cfg.Role == identity.Aggregator {
			j.heal(ctx)
			j.exchange(ctx)
		} else if !j.settled() {
			j.joinSeeds(ctx, nil)
		}
	}
	if j.cfg.Role == identity.Agent {
		j.watch(ctx)
		return
	}
	for healed := time.Now(); wait(ctx, j.timing.Exchange); {
		if time.Since(healed) >= j.timing.Heal {
			healed = time.Now()
			j.heal(ctx)
		}
		j.exchange(ctx)
	}
}

// watch joins again when there has been no aggregator for too long. From then on
// it tries twice as often: a node that was cut off alone has nobody else who
// could find it within a minute.
func (j *joiner) watch(ctx context.Context) {
	calm, bear := time.Now(), j.timing.RejoinAfter
	// A quarter, so that it is noticed soon enough and costs nothing.
	for wait(ctx, j.timing.RejoinAfter/4) {
		if j.settled() {
			calm, bear = time.Now(), j.timing.RejoinAfter
			continue
		}
		if time.Since(calm) < bear {
			continue
		}
		// All agents lose the last aggregator in the same second; then they are
		// spread, and stay so.
		if bear == j.timing.RejoinAfter && !j.jitter(ctx, j.timing.JoinJitter) {
			return
		}
		if !j.settled() {
			j.joinSeeds(ctx, nil)
		}
		calm, bear = time.Now(), j.timing.RejoinAfter/2
	}
}

// settled tells whether there is no need to join: we see an aggregator. Joining
// regardless, as often as Rejoin says, would make six joins out of one when 5000
// agents start at once.
func (j *joiner) settled() bool {
	aggregators, _ := j.table.aggregators()
	return len(aggregators) > 0
}

// jitter waits up to most, to spread the agents, which start together. It tells
// whether ctx goes on.
func (j *joiner) jitter(ctx context.Context, most time.Duration) bool {
	if j.cfg.Role == identity.Aggregator || most <= 0 {
		return ctx.Err() == nil
	}
	return wait(ctx, rand.N(most))
}

// greet joins those who take us for the process before this one, until ctx ends.
// An aggregator that was killed and started again knows nobody who knows all:
// perhaps the others were killed, too. Agents would notice only when they have
// declared it dead, which takes minutes where they are thousands; but one of them
// probes it every two seconds.
func (j *joiner) greet(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case from := <-j.mistaken:
			addr := netip.AddrPortFrom(from, uint16(j.cfg.Port))
			if !j.table.alive()[addr] {
				_ = j.joinOne(ctx, addr) // it will ask again
			}
		}
	}
}

// exchange joins one of the aggregators in the roster, if anything has changed
// since the last time. An agent joins only one aggregator, and while thousands
// come and go the others hear of it late; and who joins in between may never
// hear of a leave that was passed on before. What one aggregator knows, so do
// all, within Timing.Exchange.
func (j *joiner) exchange(ctx context.Context) {
	others, changes := j.table.aggregators()
	if len(others) == 0 || changes == j.exchanged {
		return
	}
	if j.joinOne(ctx, others[rand.N(len(others))]) == nil {
		// Not what it brought: that is news for the next.
		j.exchanged = changes
	}
}

// heal joins aggregators and missing members that are not in the roster. After
// a partition in which the dead were reaped, the two sides would otherwise not
// find each other.
func (j *joiner) heal(ctx context.Context) {
	known := j.table.alive()
	j.joinSeeds(ctx, known)
	if j.cfg.Missing == nil {
		return
	}
	missing := slices.Clone(j.cfg.Missing())
	rand.Shuffle(len(missing), func(a, b int) { missing[a], missing[b] = missing[b], missing[a] })
	addrs, _ := j.resolve(ctx, missing[:min(len(missing), maxMissing)])
	known = j.table.alive()
	// They should be here and are not: that joins fail is no news.
	_, _ = j.joinAll(ctx, without(addrs, known))
}

// joinSeeds makes one round through the Join list, but for the known, and logs
// when joins begin to fail or to work.
func (j *joiner) joinSeeds(ctx context.Context, known map[netip.AddrPort]bool) {
	if len(j.cfg.Join) == 0 {
		return
	}
	addrs, err := j.resolve(ctx, j.cfg.Join)
	addrs = without(addrs, known)
	rand.Shuffle(len(addrs), func(a, b int) { addrs[a], addrs[b] = addrs[b], addrs[a] })
	addrs = addrs[:min(len(addrs), maxSeeds)]
	ok := 0
	if j.cfg.Role == identity.Aggregator {
		var joinErr error
		ok, joinErr = j.joinAll(ctx, addrs)
		err = errors.Join(err, joinErr)
	} else {
		for _, addr := range addrs {
			joinErr := j.joinOne(ctx, addr)
			if joinErr == nil {
				ok++
				break
			}
			err = errors.Join(err, joinErr)
		}
	}
	if ctx.Err() != nil {
		return
	}
	switch {
	case ok > 0:
		j.reached.Store(true)
		if !j.joined || j.failing {
			j.log.Info("roster joined")
		}
		j.joined, j.failing = true, false
	case err == nil:
		// Nobody else to join: we are the first, or know them all.
		j.reached.Store(true)
		j.failing = false
	default:
		if !j.failing {
			j.log.Warn("roster not joined, trying again", "error", err)
		}
		j.failing = true
	}
}

// joinAll joins several at once, and returns how many worked and all errors.
func (j *joiner) joinAll(ctx context.Context, addrs []netip.AddrPort) (int, error) {
	errs := make([]error, len(addrs))
	var wg sync.WaitGroup
	for i, addr := range addrs {
		wg.Go(func() { errs[i] = j.joinOne(ctx, addr) })
	}
	wg.Wait()
	ok := 0
	for _, err := range errs {
		if err == nil {
			ok++
		}
	}
	return ok, errors.Join(errs...)
}

func (j *joiner) joinOne(ctx context.Context, addr netip.AddrPort) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if _, err := j.join(addr.String()); err != nil {
		j.metrics.joins.WithLabelValues("failed").Inc()
		return fmt.Errorf("join %s: %w", addr, err)
	}
	j.metrics.joins.WithLabelValues("ok").Inc()
	return nil
}
