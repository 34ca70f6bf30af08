package authority

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-metrics/rollcall/pkg/identity"
)

const (
	// every is how often the objects are read: three small answers of the API
	// server, and how long a rotation of gossip keys waits for aggregators.
	every = 10 * time.Second
	// readTimeout bounds reading and changing one of them.
	readTimeout = 10 * time.Second
	// maxSkew is how wrong this machine's clock may be: certificates begin an hour
	// before they are made, for those who are behind.
	maxSkew = 10 * time.Minute
	// conflicts is how often an update may lose against others' in one look.
	conflicts = 5
	// logEvery is how often the same trouble is logged.
	logEvery = time.Minute
)

// A Keeper keeps the authority, this aggregator's own certificate, and what it
// knows of the gossip keys. It is safe for concurrent use.
type Keeper struct {
	cfg  Config
	name string
	id   *identity.Source
	log  *slog.Logger

	known  atomic.Pointer[known]
	public atomic.Pointer[public]
	ready  chan struct{}
	err    atomic.Pointer[error]
	logged time.Time

	own     *x509.Certificate // nil: none yet
	trusted string            // the CAs that were installed in id with it, PEM
	renew   time.Time         // when to install another one
}

// known is what was found last, each part for itself: what cannot be read today
// is as it was. It never changes.
type known struct {
	authorities []*identity.Authority // published; none: not read yet
	gossip      []identity.GossipKey  // none: not read yet
}

// public is what was published last.
type public struct {
	bundle string
	next   chan struct{} // closed when it is something else
}

// A Config is what a [Keeper] keeps, and where. All but DNSNames is required.
type Config struct {
	// Secrets and ConfigMaps are those of the aggregators' namespace.
	Secrets    Secrets
	ConfigMaps ConfigMaps
	// Skew is how much this machine's clock is ahead of the API server's, as far as
	// that is known.
	Skew func() time.Duration
	// DNSNames are in this aggregator's own certificate, beside its URI: those of
	// Services by which it is asked by others than members, who know nothing of
	// URIs. No other certificate has any.
	DNSNames []string
}

// New returns a keeper that has not looked yet. id is the aggregator's own,
// which the keeper gives its certificates. The metrics are registered with reg.
func New(cfg Config, id *identity.Source, log *slog.Logger, reg prometheus.Registerer) *Keeper {
	k := &Keeper{cfg: cfg, name: "rollcall", id: id, log: log, ready: make(chan struct{})}
	k.known.Store(&known{})
	k.public.Store(&public{next: make(chan struct{})})
	k.err.Store(new(errors.New("the certificate authority was not read yet")))
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "rollcall_authority_expiry_timestamp_seconds",
		Help: "When the newest CA of the fleet expires, in Unix seconds; 0 if it was not read yet.",
	}, k.expiry))
	return k
}

// Ready is closed once there are a certificate and gossip keys.
func (k *Keeper) Ready() <-chan struct{} { return k.ready }

// Published are the CAs that all should trust, PEM, empty if none were published
// yet; changed is closed when they are others.
func (k *Keeper) Published() (bundle string, changed <-chan struct{}) {
	p := k.public.Load()
	return p.bundle, p.next
}

func (k *Keeper) expiry() float64 {
	authorities := k.known.Load().authorities
	if len(authorities) == 0 {
		return 0
	}
	return float64(authorities[len(authorities)-1].Cert.NotAfter.Unix())
}

// Run looks after the authority until ctx ends, every 10 s. What fails is tried
// again, and logged when it begins and each minute; what is known stays in use.
func (k *Keeper) Run(ctx context.Context) {
	for {
		err := k.look(ctx, time.Now())
		if ctx.Err() != nil {
			return
		}
		k.tell(err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(every):
		}
	}
}

// Err is what was wrong at the last look, nil if nothing.
func (k *Keeper) Err() error { return *k.err.Load() }

// published notes what was published.
func (k *Keeper) published(bundle string) {
	if was := k.public.Load(); was.bundle != bundle {
		k.public.Store(&public{bundle, make(chan struct{})})
		close(was.next)
	}
}

func (k *Keeper) tell(err error) {
	was := k.Err()
	k.err.Store(&err)
	switch {
	case err == nil && was != nil:
		k.log.Info("certificate authority is well")
		k.logged = time.Time{}
	case err != nil && time.Since(k.logged) >= logEvery:
		k.log.Warn("certificate authority not looked after, trying again", "err", err)
		k.logged = time.Now()
	}
}

// GossipKeys are the newest gossip keys, the primary first; an error if they are
// not known yet.
func (k *Keeper) GossipKeys() ([][]byte, error) {
	gossip := k.known.Load().gossip
	if len(gossip) == 0 {
		return nil, fmt.Errorf("gossip keys: %w", k.Err())
	}
	keys := make([][]byte, len(gossip))
	for i, g := range gossip {
		keys[i] = g.Key
	}
	return keys, nil
}

// look does all that is to be done at one time. What fails does not keep it from
// the rest.
func (k *Keeper) look(ctx context.Context, now time.Time) error {
	next := *k.known.Load()
	authorities, err := k.authorities(ctx, now)
	switch {
	case err != nil:
		err = fmt.Errorf("look after Secret %s: %w", AuthoritySecret, err)
	default:
		// Nothing is signed with what is not published.
		if err = k.publish(ctx, bundle(authorities)); err == nil {
			next.authorities = authorities
			k.published(bundle(authorities))
		} else {
			err = fmt.Errorf("look after ConfigMap %s: %w", TrustConfigMap, err)
		}
	}
	gossip, gossipErr := k.gossip(ctx, now)
	if gossipErr != nil {
		gossipErr = fmt.Errorf("look after Secret %s: %w", GossipSecret, gossipErr)
	} else {
		next.gossip = gossip
	}
	k.known.Store(&next)
	certErr := k.clock()
	if certErr == nil && len(next.authorities) > 0 {
		certErr = k.certify(next.authorities, now)
	}
	if k.own != nil && len(next.gossip) > 0 {
		select {
		case <-k.ready:
		default:
			close(k.ready)
		}
	}
	return errors.Join(err, gossipErr, certErr)
}

// authorities reads the CAs, and changes them if it is time to.
func (k *Keeper) authorities(ctx context.Context, now time.Time) ([]*identity.Authority, error) {
	var found []*identity.Authority
	err := update(ctx, k.cfg.Secrets, AuthoritySecret, authoritiesKey, func(content []byte) ([]byte, error) {
		var err error
		if found, err = identity.ParseAuthorities(content); err != nil {
			return nil, fmt.Errorf("key %s: %w; remove the key: an aggregator that knows what was there puts it back, and if none does, a new CA begins, where all agents enrol again", authoritiesKey, err)
		}
		if err := k.clock(); err != nil {
			return nil, err
		}
		before := found
		if len(found) == 0 {
			// Perhaps somebody has emptied it. A new CA would cut off every agent.
			before = k.known.Load().authorities
		}
		next, changed, err := succeed(before, k.name, now)
		if err != nil {
			return nil, err
		}
		if !changed && len(found) > 0 {
			return content, nil
		}
		found = next
		return identity.EncodeAuthorities(next)
	}, k.log)
	return found, err
}

// gossip reads the gossip keys, and makes the first one if there is none.
func (k *Keeper) gossip(ctx context.Context, now time.Time) ([]identity.GossipKey, error) {
	var found []identity.GossipKey
	err := update(ctx, k.cfg.Secrets, GossipSecret, gossipKey, func(content []byte) ([]byte, error) {
		if len(content) == 0 {
			found = []identity.GossipKey{identity.NewGossipKey(now)}
			if known := k.known.Load().gossip; len(known) > 0 {
				found = known // as above
			}
			return identity.EncodeGossipKeys(found), nil
		}
		var err error
		found, err = identity.ParseGossipKeys("key "+gossipKey, content)
		return content, err
	}, k.log)
	return found, err
}
