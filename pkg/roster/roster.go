package roster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-metrics/rollcall/pkg/identity"
	"github.com/rollcall-metrics/rollcall/pkg/obs"
)

// A Roster takes part in gossip. It is safe for concurrent use.
type Roster struct {
	cfg      Config
	timing   Timing
	list     *memberlist.Memberlist
	table    *table
	delegate *delegate
	joiner   *joiner
	keys     *keyring // nil without encryption
	log      *slog.Logger

	stopWork    context.CancelFunc // joins, keys, dials
	stopPublish context.CancelFunc
	work        sync.WaitGroup
	published   sync.WaitGroup

	mu     sync.Mutex // held while closing
	closed bool
}

// Start listens and begins to join, in the background: see [Roster.Joined]. It
// fails if the Config is invalid, the key file unusable or the port taken. When
// ctx ends, no more joins are begun; the member stays until Close or Kill, one
// of which must be called. The metrics are registered with reg, once per
// registry.
func Start(ctx context.Context, cfg Config, log *slog.Logger, reg prometheus.Registerer) (*Roster, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	timing := cfg.timing()
	// One line a minute for each kind, ten for memberlist's own.
	logTo := &memberlistLog{log: log, rarely: obs.NewRarely(10, time.Minute)}
	self := lifeOf(cfg.Role, cfg.Name, time.Now())
	conf := cfg.memberlist(self, logTo)
	r := &Roster{cfg: cfg, timing: timing, log: log}
	read := cfg.Keys
	if read == nil && cfg.KeyFile != "" {
		read = func() ([][]byte, error) { return identity.GossipKeys(cfg.KeyFile) }
	}
	if read == nil {
		log.Warn("gossip is not encrypted: anyone who can send packets can take part")
	} else {
		var err error
		if r.keys, err = openKeyring(read, log); err != nil {
			return nil, fmt.Errorf("roster: %w", err)
		}
		conf.Keyring = r.keys.ring
	}

	m := newMetrics(reg)
	mistaken := make(chan netip.Addr, 1)
	logTo.mistaken = func(from netip.Addr) {
		select {
		case mistaken <- from:
		default: // one at a time: it knows all others
		}
	}
	logTo.refused = func(reason string) { m.refused.WithLabelValues(reason).Inc() }
	r.table = newTable(self.Peer, m)
	r.delegate = &delegate{
		self:    self,
		addr:    cfg.self(),
		meta:    meta{role: cfg.Role, peerPort: cfg.PeerPort, start: time.UnixMilli(int64(self.start)), version: cfg.Version},
		metrics: m,
		log:     log,
		rarely:  obs.NewRarely(1, time.Minute),
	}
	conf.Delegate, conf.Alive, conf.Conflict = r.delegate, r.delegate, r.delegate
	conf.Events = r.table

	// Not of ctx: while the process drains, it is still a member.
	life, stopLife := context.WithCancel(context.WithoutCancel(ctx))
	list, err := create(life, cfg, conf)
	if err != nil {
		stopLife()
		return nil, fmt.Errorf("roster: %w", err)
	}
	r.list = list
	r.table.swap() // we are in it from the start

	joinCtx, stopJoins := context.WithCancel(ctx)
	r.stopWork = func() { stopJoins(); stopLife() }
	r.joiner = &joiner{
		cfg:     cfg,
		timing:  timing,
		join:    func(addr string) (int, error) { return list.Join([]string{addr}) },
		table:   r.table,
		metrics: m,
		log:     log,

		mistaken: mistaken,
	}
	r.work.Go(func() { r.joiner.run(joinCtx) })
	if cfg.Role == identity.Aggregator {
		r.work.Go(func() { r.joiner.greet(joinCtx) })
	}
	if r.keys != nil {
		r.work.Go(func() { r.keys.follow(life, timing.KeyPoll) })
	}
	publishCtx, stopPublish := context.WithCancel(context.WithoutCancel(ctx))
	r.stopPublish = stopPublish
	r.published.Go(func() { r.table.publish(publishCtx, timing) })
	return r, nil
}

// create opens the network and starts memberlist on it.
func create(ctx context.Context, cfg Config, conf *memberlist.Config) (*memberlist.Memberlist, error) {
	network, err := memberlist.NewNetTransport(&memberlist.NetTransportConfig{
		BindAddrs: []string{conf.BindAddr},
		BindPort:  conf.BindPort,
		Logger:    conf.Logger,
	})
	if err != nil {
		return nil, err
	}
	// Half of what the other side waits for an answer.
	var t memberlist.NodeAwareTransport = newTransport(ctx, network, cfg.timing().TCPTimeout/2)
	if cfg.Wrap != nil {
		t = cfg.Wrap(t)
	}
	conf.Transport = t
	list, err := memberlist.Create(conf)
	if err != nil {
		return nil, errors.Join(err, t.Shutdown())
	}
	return list, nil
}

// Snapshot is the roster now, but for changes within the last Timing.Coalesce.
// It is never nil, and after Start always holds this process.
func (r *Roster) Snapshot() *Snapshot { return r.table.current.Load() }

// Changed is closed when the present snapshot is replaced. To miss nothing, get
// the channel before the snapshot.
func (r *Roster) Changed() <-chan struct{} { return r.table.current.Load().next }

// KeyIDs are the gossip keys in use, the primary first, by
// [identity.GossipKey.ID]; none without encryption.
func (r *Roster) KeyIDs() []string {
	if r.keys == nil {
		return nil
	}
	return r.keys.ids()
}

// Joined tells whether any other member was ever reached, or there was nobody
// to join.
func (r *Roster) Joined() bool {
	return len(r.cfg.Join) == 0 || r.joiner.reached.Load() || r.table.met.Load()
}

// Close leaves gracefully, so that others see Left and not Dead, and stops. It
// takes Timing.LeaveSpread and some rounds of gossip, or as long as ctx lets
// it: then it stops without. Further calls, and those after Kill, do nothing.
func (r *Roster) Close(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil
	}
	r.closed = true
	r.stopWork()
	if err := r.leave(ctx); err != nil {
		// To those who have not heard it, we are dead; nothing can be done
		// about that, and it is normal when all members stop at once.
		r.log.Info("not every member heard that this one leaves", "err", err)
	}
	return r.shutdown()
}

// Kill stops without a word, as a crash does. For tests of faults.
func (r *Roster) Kill() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil
	}
	r.closed = true
	r.stopWork()
	return r.shutdown()
}

// leave announces the leave in our meta, gives that time to spread, and leaves.
// If time runs out it still leaves: dead at once is better than after suspicion.
func (r *Roster) leave(ctx context.Context) error {
	r.delegate.leaving.Store(true)
	var errs []error
	if err := r.list.UpdateNode(r.remaining(ctx)); err != nil {
		errs = append(errs, fmt.Errorf("announce leave: %w", err))
	} else if r.list.NumMembers() > 1 && !wait(ctx, r.timing.LeaveSpread) {
		errs = append(errs, fmt.Errorf("announce leave: %w", ctx.Err()))
	}
	if err := r.list.Leave(r.remaining(ctx)); err != nil {
		errs = append(errs, fmt.Errorf("leave: %w", err))
	}
	return errors.Join(errs...)
}

// remaining is how long a broadcast may take: at least a moment, since
// memberlist takes 0 for ever.
func (r *Roster) remaining(ctx context.Context) time.Duration {
	d := r.timing.LeaveTimeout
	if deadline, ok := ctx.Deadline(); ok {
		d = min(d, time.Until(deadline))
	}
	if ctx.Err() != nil {
		d = 0
	}
	return max(d, time.Millisecond)
}

func (r *Roster) shutdown() error {
	err := r.list.Shutdown()
	r.work.Wait()
	r.stopPublish()
	r.published.Wait()
	return err
}
