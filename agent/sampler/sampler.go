package sampler

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-metrics/rollcall/agent/kubelet"
	"github.com/rollcall-metrics/rollcall/pkg/model"
	"github.com/rollcall-metrics/rollcall/pkg/obs"
)

// fullEvery is how many slots there are for one full answer: storage and
// network change slowly, and cost the kubelet as much as all the rest.
const fullEvery = 4

// recallTimeout is for reading the last slot from the ring at the start, which is
// in memory but where a block has just begun.
const recallTimeout = 2 * time.Second

// A Kubelet is asked for a summary; *kubelet.Client is one.
type Kubelet interface {
	Fetch(ctx context.Context, form kubelet.Form) (kubelet.Answer, error)
	// Reuse takes back the body of an answer.
	Reuse(body []byte)
}

// A Ring takes samples; *ring.Ring is one.
type Ring interface {
	History
	Append(slot int64, s *model.Scrape) error
	Miss(slot int64, why string)
	Latest() (slot int64, s model.Scrape, ok bool)
	Empty() bool
}

// A Config says what is sampled.
type Config struct {
	// Node is the node's name; it decides the phase within the slot.
	Node string
	// Resolution is the distance of slots.
	Resolution time.Duration
	// Namespaces, if not empty, are the only ones whose pods are kept.
	Namespaces []string
}

// A Sampler samples one node. Run and Sample must not run at the same time;
// Status and Ready may be called at any time.
type Sampler struct {
	cfg     Config
	kubelet Kubelet
	ring    Ring
	log     *slog.Logger
	metrics *metrics
	change  *obs.Change

	cleaner  cleaner
	lastSlot int64 // the last one that was tried; slots are not tried twice
	tried    bool
	fullDone bool // the full form was tried since the start, and it did not time out

	mu     sync.Mutex
	status Status
}

// New returns a sampler. What the ring has of the last slot is where it goes on.
func New(cfg Config, k Kubelet, r Ring, log *slog.Logger, reg prometheus.Registerer) *Sampler {
	s := &Sampler{
		cfg: cfg, kubelet: k, ring: r, log: log,
		metrics: newMetrics(reg),
		change:  obs.NewChange(log, "kubelet"),
		cleaner: newCleaner(cfg),
	}
	s.goOn()
	return s
}

// goOn takes what the ring has of the last slot, so that it is not sampled again
// and the next is compared with it.
func (s *Sampler) goOn() {
	slot, _, ok := s.ring.Latest()
	if !ok {
		return
	}
	s.lastSlot, s.tried = slot, true
	ctx, cancel := context.WithTimeout(context.Background(), recallTimeout)
	defer cancel()
	_, groups, err := Recall(ctx, s.ring, slot, slot)
	if err != nil {
		s.log.Warn("the last samples cannot be read, the next have no window", "slot", slot, "err", err)
	}
	s.cleaner.remember(groups)
}

// Phase is how long after a slot's start the node is sampled: less than half
// a slot, the same at every start.
func Phase(node string, resolution time.Duration) time.Duration {
	h := fnv.New64a()
	_, _ = h.Write([]byte(node))
	return time.Duration(h.Sum64() % uint64(resolution/2))
}

// Run samples every slot until ctx ends. The first sample is taken at once if
// its slot has none yet: an agent that was just started should have something
// to say.
func (s *Sampler) Run(ctx context.Context) {
	for {
		slot := model.SlotOf(time.Now(), s.cfg.Resolution)
		if !s.tried || slot != s.lastSlot {
			_ = s.Sample(ctx, slot) // it is in Status and in the log
		}
		timer := time.NewTimer(time.Until(s.next(time.Now())))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// next is when to sample after now: in this slot if its time has not come,
// else in the next. It is worked out anew each time, so a clock that was set
// costs at most one slot.
func (s *Sampler) next(now time.Time) time.Time {
	at := time.Unix(model.SlotOf(now, s.cfg.Resolution), 0).Add(Phase(s.cfg.Node, s.cfg.Resolution))
	if !at.After(now) {
		at = at.Add(s.cfg.Resolution)
	}
	return at
}

// Sample reads the kubelet and puts the answer into the ring as that slot's.
// It returns once the sample is on disk, or nothing came of it; then the
// error says what.
func (s *Sampler) Sample(ctx context.Context, slot int64) error {
	s.lastSlot, s.tried = slot, true
	// Two requests at most, and done before the next slot.
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Resolution*9/10)
	defer cancel()

	form := kubelet.Light
	if !s.fullDone || (slot/int64(s.cfg.Resolution/time.Second))%fullEvery == 0 {
		form = kubelet.Full
	}
	answer, err := s.fetch(ctx, form)
	var failed *kubelet.Error
	if form == kubelet.Full && errors.As(err, &failed) && failed.Kind == kubelet.Failed {
		// One filesystem whose statistics fail costs the whole full form.
		s.fullDone = true
		full := err
		if answer, err = s.fetch(ctx, kubelet.Light); err == nil {
			err = s.clean(slot, &answer)
			s.keep(slot, &answer, errors.Join(fmt.Errorf("the full form fails, the light one is used: %w", full), err))
			return s.store(slot, &answer, err)
		}
		err = errors.Join(full, err)
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err() // the agent is stopping, the kubelet is not at fault
	}
	if err == nil {
		err = s.clean(slot, &answer)
	}
	s.keep(slot, &answer, err)
	return s.store(slot, &answer, err)
}

func (s *Sampler) fetch(ctx context.Context, form kubelet.Form) (kubelet.Answer, error) {
	answer, err := s.kubelet.Fetch(ctx, form)
	s.metrics.fetched(form, answer, err)
	if err == nil && form == kubelet.Full {
		s.fullDone = true
	}
	return answer, err
}

// clean takes out of a good answer what is not of this slot. An answer of which
// nothing is left is no good.
func (s *Sampler) clean(slot int64, a *kubelet.Answer) error {
	doubted, old := s.cleaner.clean(slot, a.Form, &a.Scrape)
	s.metrics.doubted.Add(float64(doubted))
	s.metrics.old.Add(float64(old))
	s.metrics.entities.Set(float64(a.Scrape.Entities()))
	if len(a.Scrape.Groups) == 0 {
		return errors.New("the kubelet's answer has only measurements that are minutes old, or of the future; see whether it still measures (its log, cAdvisor), and the node's clock")
	}
	return nil
}

// store puts a cleaned answer into the ring, or why there is none.
func (s *Sampler) store(slot int64, a *kubelet.Answer, failed error) error {
	if failed != nil {
		s.ring.Miss(slot, failed.Error())
		return failed
	}
	if err := s.ring.Append(slot, &a.Scrape); err != nil {
		return fmt.Errorf("slot %d: %w", slot, err)
	}
	s.metrics.newest.Set(float64(slot))
	s.log.Debug("slot stored", "slot", slot, "form", a.Form.String(), "entities", a.Scrape.Entities())
	return nil
}
