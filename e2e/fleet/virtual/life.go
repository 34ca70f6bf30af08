package virtual

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rollcall-metrics/rollcall/agent/sampler"
	"github.com/rollcall-metrics/rollcall/e2e/bench/fullnode"
	"github.com/rollcall-metrics/rollcall/pkg/chunk"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

const (
	// epoch is when every template begins, in Unix seconds, a block's start. Lives
	// are shifted from there to where they are played.
	epoch = 1_000_000 * model.BlockSeconds
	// markEvery is how many blocks there are from one mark to the next: to find
	// the samples of a block, at most so many are played again, in 0.1 ms.
	markEvery = 4
	// fullEvery is how many slots there are for one full answer, as in
	// agent/sampler.
	fullEvery = 4
)

// fullOnly are the metrics that a light answer of a kubelet does not have.
var fullOnly = model.MetricsOf(model.NetworkRx, model.NetworkTx, model.RootFS, model.Logs, model.Ephemeral, model.PSIIOSome, model.PSIIOFull)

// A life is the template of a pod with its containers, or of a node: what it
// shows in each slot from its start to its end. The first slot of a life lies
// within its first block, and the last one before the same slot of its last
// block, so that one life can follow another without a gap. It is safe for
// concurrent use.
type life struct {
	resolution int64 // seconds
	blocks     int   // how long it lasts; it touches one more
	first      int   // its first slot, as an index in its first block
	phase      int   // in which block of each wave it begins
	containers int
	restarts   int // slots after which a container restarts, 0 for never
	begin      func(start int64) *fullnode.Track
	names      []string // of containers; for a census

	once   sync.Once
	failed error
	pages  []page // one for each block, by age
	marks  []*fullnode.Track
}

// A page is one block of a life.
type page struct {
	body []byte   // the tuples of its chunk
	ends []uint32 // by slot: where the tuples up to that slot end
	// frames are the samples of the newest slot that was asked for, and the one
	// before: agents have different phases.
	frames [2]atomic.Pointer[frame]
}

// A frame is what a life shows in one slot.
type frame struct {
	slot    int64
	samples []model.Sample
}

func (l *life) slots() int { return int(model.BlockSeconds / l.resolution) }

// start is when it starts, in seconds after the beginning of its first block: one
// second into the slot before its first one, so that all that the first answer
// measured is its own.
func (l *life) start() int64 { return int64(l.first-1)*l.resolution + 1 }

// has tells whether the life has samples in a slot.
func (l *life) has(age, index int) bool {
	switch age {
	case 0:
		return index >= l.first
	case l.blocks:
		return index < l.first
	}
	return age > 0 && age < l.blocks
}

// play makes the template; the first call takes 20 ms or so.
func (l *life) play() error {
	l.once.Do(func() { l.failed = l.make() })
	return l.failed
}

func (l *life) make() error {
	track := l.begin(epoch + l.start())
	l.pages = make([]page, l.blocks+1)
	var b chunk.Builder
	for age := range l.pages {
		if age%markEvery == 0 {
			l.marks = append(l.marks, track.Clone())
		}
		p := &l.pages[age]
		block := epoch + int64(age)*model.BlockSeconds
		b.Reset(chunk.Header{Block: block, Resolution: time.Duration(l.resolution) * time.Second})
		p.ends = make([]uint32, l.slots())
		for i := range p.ends {
			if samples := l.step(track, age, i); samples != nil {
				if err := b.Append(block+int64(i)*l.resolution, samples); err != nil {
					return fmt.Errorf("play block %d: %w", age, err)
				}
			}
			p.ends[i] = uint32(len(b.Body()))
		}
		p.body = append([]byte(nil), b.Body()...)
	}
	return nil
}

// step goes on to a slot, and returns what the agent stores of the kubelet's
// answer, nil if there is nothing. It is valid until the next step.
func (l *life) step(track *fullnode.Track, age, index int) []model.Sample {
	if !l.has(age, index) {
		return nil
	}
	slot := epoch + int64(age)*model.BlockSeconds + int64(index)*l.resolution
	if since := age*l.slots() + index - l.first; l.restarts > 0 && since > 0 && since%l.restarts == 0 {
		track.Restart(0, slot-(l.resolution-1)/3)
	}
	samples := track.Next(slot)
	for i := range samples {
		// Whether a 0 is to be believed is for the agent's sampler to say.
		if cpu, ok := samples[i].Get(model.CPU); ok && cpu == 0 {
			samples[i].Set(model.CPU, 1)
		}
		if !full(index) {
			samples[i].Keep(model.AllMetrics &^ fullOnly)
		}
	}
	return samples
}

// full tells whether the answer of that slot of a block is a full one.
func full(index int) bool { return index%fullEvery == 0 }

// body is the tuples of a block up to a slot.
func (l *life) body(age, index int) []byte {
	if age < 0 || age >= len(l.pages) {
		return nil
	}
	p := &l.pages[age]
	return p.body[:p.ends[index]]
}

// samples plays a block again and returns what it shows in each slot, nil where
// it shows nothing. The times are those of the template.
func (l *life) samples(age int) [][]model.Sample {
	track := l.marks[age/markEvery].Clone()
	all := make([][]model.Sample, l.slots())
	for a := age / markEvery * markEvery; a <= age; a++ {
		for i := range all {
			if s := l.step(track, a, i); s != nil && a == age {
				all[i] = append([]model.Sample(nil), s...)
			}
		}
	}
	return all
}

// seenBefore is how many slots before the newest one a stopwatch should have seen, so
// that it knows the measurement before: kubelets measure every 10 to 30 s.
const seenBefore = 8

// newest returns what the life shows in one slot of a block that is the newest,
// nil if nothing, as agents say it: with the time over which CPU was measured. It
// must not be changed.
func (l *life) newest(age, index int, block int64) ([]model.Sample, error) {
	slot := block + int64(index)*l.resolution
	place := &l.pages[age].frames[index&1]
	if f := place.Load(); f != nil && f.slot == slot {
		return f.samples, nil
	}
	f := &frame{slot: slot}
	if l.has(age, index) {
		watch := sampler.Stopwatch{}
		if index < seenBefore && age > 0 {
			if err := l.rows(age-1, l.slots()-1, block-model.BlockSeconds, func(r *chunk.Row) { watch.See(model.PodRef{}, r.Sample) }); err != nil {
				return nil, err
			}
		}
		err := l.rows(age, index, block, func(r *chunk.Row) {
			s := *r.Sample
			watch.See(model.PodRef{}, &s)
			if r.Slot == slot {
				f.samples = append(f.samples, s)
			}
		})
		if err != nil {
			return nil, err
		}
	}
	place.Store(f)
	return f.samples, nil
}

// rows calls use with what the life shows in a block, up to a slot.
func (l *life) rows(age, index int, block int64, use func(*chunk.Row)) error {
	h := chunk.Header{Block: block, Resolution: time.Duration(l.resolution) * time.Second}
	c, err := chunk.Parse(append(appendHeader(nil, h), l.body(age, index)...))
	if err != nil {
		return err
	}
	var d chunk.Decoder
	for d.Reset(c); d.Next(); {
		use(d.Row())
	}
	return d.Err()
}

// appendHeader appends the header of a chunk, to which a body may be added.
func appendHeader(dst []byte, h chunk.Header) []byte {
	var b chunk.Builder
	b.Reset(h)
	return b.AppendChunk(dst)
}
