package resource

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rollcall-metrics/rollcall/agent/kubelet"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// A standIn is a kubelet. It measures each entity on a schedule, whoever asks, and
// answers with what it has measured last. It is safe for concurrent use.
type standIn struct {
	mu       sync.Mutex
	skew     int64 // by how many seconds its clock is ahead
	entities []*entity
	fails    error
	takes    time.Duration // how long an answer takes
}

// An entity is the node, a pod or a container as a kubelet has it.
type entity struct {
	kubelet *standIn
	pod     model.PodRef
	name    string
	usage
	schedule
	// start is its startTime and born when it really began, in Unix seconds.
	start, born int64
	// total is its counter at the second since.
	total uint64
	since int64
	// last is the last measurement, at the second measured, with the counter before; 0:
	// none yet.
	last     model.Sample
	measured int64
	before   uint64
	// says changes what it says of a measurement; nil: nothing.
	says func(*model.Sample)
	gone bool
}

// usage is what an entity uses: nanocores and bytes.
type usage struct{ cpu, memory uint64 }

const (
	milli = 1_000_000 // nanocores
	mebi  = 1 << 20
)

// usual is what entities use if a test does not say otherwise.
var usual = usage{100 * milli, 64 * mebi}

// A schedule is at which seconds something is measured: those that leave rest when
// divided by every. A kubelet's own are 10 to 30 s apart.
type schedule struct{ every, rest int64 }

// now is the kubelet's clock.
func (k *standIn) now() int64 { return time.Now().Unix() + k.skew }

// add has the kubelet run something from now on, of a pod "namespace/name/UID" or, if
// that is empty, the node itself.
func (k *standIn) add(pod, name string, s schedule) *entity {
	k.mu.Lock()
	defer k.mu.Unlock()
	e := &entity{kubelet: k, pod: refOf(pod), name: name, usage: usual, schedule: s}
	e.begin()
	k.entities = append(k.entities, e)
	return e
}

func refOf(pod string) (ref model.PodRef) {
	if pod != "" {
		parts := strings.SplitN(pod, "/", 3)
		ref = model.PodRef{Namespace: parts[0], Name: parts[1], UID: parts[2]}
	}
	return ref
}

// change does something to the kubelet, now.
func (k *standIn) change(do func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.measure()
	do()
}

// change does something to the entity, now.
func (e *entity) change(do func()) {
	e.kubelet.change(func() {
		e.count(e.kubelet.now())
		do()
	})
}

// begin begins it, now. The caller holds the kubelet's mu.
func (e *entity) begin() {
	now := e.kubelet.now()
	e.start, e.born, e.since, e.total, e.measured = now, now, now, 0, 0
}

// restart begins it anew.
func (e *entity) restart() { e.change(e.begin) }

// reset has its counter begin anew, which nothing but the counter tells.
func (e *entity) reset() { e.change(func() { e.total, e.before = 0, math.MaxUint64 }) }

// uses has it use that much from now on.
func (e *entity) uses(u usage) { e.change(func() { e.usage = u }) }

// saying has the kubelet say something else of it, from the next measurement on.
func (e *entity) saying(says func(*model.Sample)) { e.change(func() { e.says = says }) }

// saysNow is saying, for what is measured this very second, too.
func (e *entity) saysNow(says func(*model.Sample)) {
	e.kubelet.mu.Lock()
	defer e.kubelet.mu.Unlock()
	e.says = says
}

// end has the kubelet forget it.
func (e *entity) end() { e.change(func() { e.gone = true }) }

// count moves the counter on.
func (e *entity) count(to int64) {
	if to > e.since {
		e.total += uint64(to-e.since) * e.cpu
		e.since = to
	}
}

// measure does all measurements that are due. The caller holds k.mu.
func (k *standIn) measure() {
	for _, e := range k.entities {
		for at := max(e.measured+1, e.born); at <= k.now(); at++ {
			if at%e.every == e.rest {
				e.measureAt(at)
			}
		}
	}
	k.entities = slices.DeleteFunc(k.entities, func(e *entity) bool { return e.gone })
}

func (e *entity) measureAt(at int64) {
	e.count(at)
	s := model.Sample{Name: e.name, Start: e.start}
	s.Set(model.Measured, uint64(at))
	s.Set(model.CPUTotal, e.total)
	s.Set(model.WorkingSet, e.memory)
	if e.measured != 0 && e.before <= e.total { // of one measurement there is no rate
		s.Set(model.CPU, (e.total-e.before)/uint64(at-e.measured))
	}
	e.before, e.measured = e.total, at
	if e.says != nil {
		e.says(&s)
	}
	e.last = s
}

// Reuse implements [sampler.Kubelet].
func (*standIn) Reuse([]byte) {}

// Fetch implements [sampler.Kubelet].
func (k *standIn) Fetch(ctx context.Context, form kubelet.Form) (kubelet.Answer, error) {
	a := kubelet.Answer{Form: form, Status: 200, At: time.Now()}
	k.mu.Lock()
	k.measure()
	a.Scrape = k.scrape()
	fails, takes := k.fails, k.takes
	k.mu.Unlock()
	if takes > 0 {
		timer := time.NewTimer(takes)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return kubelet.Answer{Form: form}, &kubelet.Error{Kind: kubelet.Timeout, Err: fmt.Errorf("no answer: %w", ctx.Err())}
		}
	}
	if fails != nil {
		return kubelet.Answer{Form: form}, fails
	}
	return a, nil
}

// scrape is all that was measured, in the order of [model.Scrape]. The caller holds
// k.mu.
func (k *standIn) scrape() (s model.Scrape) {
	all := slices.Clone(k.entities)
	slices.SortStableFunc(all, func(a, b *entity) int {
		if d := a.pod.Compare(b.pod); d != 0 {
			return d
		}
		return strings.Compare(a.name, b.name)
	})
	for _, e := range all {
		if e.measured == 0 {
			continue
		}
		v := e.last
		if v.Present()&^(1<<model.Measured) == 0 {
			continue // what has no numbers the real one's client leaves out
		}
		if n := len(s.Groups); n == 0 || s.Groups[n-1].Pod != e.pod {
			s.Groups = append(s.Groups, model.Group{Pod: e.pod})
		}
		g := &s.Groups[len(s.Groups)-1]
		g.Samples = append(g.Samples, v)
	}
	return s
}
