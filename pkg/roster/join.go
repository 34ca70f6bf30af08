package roster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strconv"
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
	// resolveTimeout bounds one DNS lookup; the next round is seconds away.
	resolveTimeout = 5 * time.Second
)

// joiner decides when to join whom.
type joiner struct {
	cfg       Config
	timing    Timing
	join      func(addr string) (int, error) // memberlist's Join
	table     *table
	contested *atomic.Bool
	metrics   *metrics
	log       *slog.Logger
	reached   atomic.Bool // anyone, or there is nobody
	failing   bool
	joined    bool // and logged
}

// run joins until ctx ends.
func (j *joiner) run(ctx context.Context) {
	if !j.jitter(ctx) {
		return
	}
	j.joinSeeds(ctx, nil)
	first := time.Now()
	for _, at := range j.timing.Rejoin {
		if !wait(ctx, at-time.Since(first)) {
			return
		}
		if j.cfg.Role == identity.Aggregator {
			j.heal(ctx)
		} else if !j.settled() {
			j.joinSeeds(ctx, nil)
		}
	}
	if j.cfg.Role == identity.Aggregator {
		for wait(ctx, j.timing.Heal) {
			j.heal(ctx)
		}
		return
	}
	j.watch(ctx)
}

// watch joins again when there has been no aggregator for too long.
func (j *joiner) watch(ctx context.Context) {
	calm := time.Now()
	// A quarter, so that it is noticed soon enough and costs nothing.
	for wait(ctx, j.timing.RejoinAfter/4) {
		if j.settled() {
			calm = time.Now()
			continue
		}
		// All agents lose the last aggregator in the same second.
		if time.Since(calm) >= j.timing.RejoinAfter && j.jitter(ctx) && !j.settled() {
			j.joinSeeds(ctx, nil)
			calm = time.Now()
		}
	}
}

// settled tells whether there is no need to join: we see an aggregator, and no
// seed has taken us for someone else. Joining regardless, as often as Rejoin
// says, would make six joins out of one when 5000 agents start at once.
func (j *joiner) settled() bool {
	_, aggregator := j.table.alive()
	return aggregator && !j.contested.Load()
}

// jitter spreads the agents, which start together. It tells whether ctx goes on.
func (j *joiner) jitter(ctx context.Context) bool {
	if j.cfg.Role == identity.Aggregator || j.timing.JoinJitter <= 0 {
		return ctx.Err() == nil
	}
	return wait(ctx, rand.N(j.timing.JoinJitter))
}

// heal joins aggregators and missing members that are not in the roster. After
// a partition in which the dead were reaped, the two sides would otherwise not
// find each other.
func (j *joiner) heal(ctx context.Context) {
	known, _ := j.table.alive()
	if j.contested.Load() {
		known = nil // they are in our roster, but we may not be in theirs
	}
	j.joinSeeds(ctx, known)
	if j.cfg.Missing == nil {
		return
	}
	missing := slices.Clone(j.cfg.Missing())
	rand.Shuffle(len(missing), func(a, b int) { missing[a], missing[b] = missing[b], missing[a] })
	addrs, _ := j.resolve(ctx, missing[:min(len(missing), maxMissing)])
	known, _ = j.table.alive()
	// They should be here and are not: that joins fail is no news.
	_, _ = j.joinAll(ctx, without(addrs, known))
}

// joinSeeds makes one round through the Join list, but for the known, and logs
// when joins begin to fail or to work.
func (j *joiner) joinSeeds(ctx context.Context, known map[netip.AddrPort]bool) {
	if len(j.cfg.Join) == 0 {
		return
	}
	j.contested.Store(false)
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

// resolve finds the addresses of all targets, each once and never our own.
// What cannot be resolved is in the error; the rest is still good.
func (j *joiner) resolve(ctx context.Context, targets []string) ([]netip.AddrPort, error) {
	var found []netip.AddrPort
	var errs []error
	own := map[netip.AddrPort]bool{
		j.cfg.self(): true,
		netip.AddrPortFrom(j.cfg.Bind, uint16(j.cfg.Port)): true,
	}
	for _, target := range targets {
		host, port, err := splitTarget(target, j.cfg.Port)
		if err == nil {
			var addrs []netip.Addr
			addrs, err = j.lookup(ctx, host)
			for _, addr := range addrs {
				if a := netip.AddrPortFrom(addr.Unmap(), port); !own[a] && !slices.Contains(found, a) {
					found = append(found, a)
				}
			}
		}
		if err != nil {
			j.metrics.joins.WithLabelValues("unresolved").Inc()
			errs = append(errs, err)
		}
	}
	return found, errors.Join(errs...)
}

func (j *joiner) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	if j.cfg.Resolve != nil {
		return j.cfg.Resolve(ctx, host)
	}
	// Not memberlist's own lookup: that joins every address it finds, in order.
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}

// splitTarget reads "host", "host:port", an address, or an address with port.
func splitTarget(target string, port int) (host string, _ uint16, _ error) {
	if _, err := netip.ParseAddr(target); err == nil {
		return target, uint16(port), nil
	}
	host, text, err := net.SplitHostPort(target)
	if err != nil {
		host, text = target, strconv.Itoa(port)
	}
	p, err := strconv.ParseUint(text, 10, 16)
	if _, ipErr := netip.ParseAddr(host); err != nil || p == 0 || ipErr != nil && !identity.ValidName(trimDot(host)) {
		return "", 0, fmt.Errorf("join %q: not a host or host:port", target)
	}
	return host, uint16(p), nil
}

// trimDot takes away the dot that keeps a resolver from its search list.
func trimDot(host string) string {
	if n := len(host); n > 0 && host[n-1] == '.' {
		return host[:n-1]
	}
	return host
}

func without(addrs []netip.AddrPort, known map[netip.AddrPort]bool) []netip.AddrPort {
	return slices.DeleteFunc(addrs, func(a netip.AddrPort) bool { return known[a] })
}
