package fullnode

import (
	"fmt"
	"math/rand/v2"

	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// A Track is one pod with its containers, or the node, from its first answer
// on: it moves as recorded, with other amounts. Times are relative, so the same
// track at another time differs from itself in its times alone. It is not safe
// for concurrent use.
type Track struct {
	pcg      rand.PCG
	entities []entity
	samples  []model.Sample
}

// Pods is how many pods were recorded.
func (r *Recording) Pods() int { return len(r.pods) }

// PodTrack begins a pod that goes as the i-th recorded one, with that many
// containers, more or fewer than recorded. It starts at a time in Unix seconds,
// its containers two seconds later. The same seed makes the same track.
func (r *Recording) PodTrack(i, containers int, seed uint64, start int64) *Track {
	t := &Track{pcg: *rand.NewPCG(seed, uint64(i))}
	rng := rand.New(&t.pcg)
	p := &r.pods[i]
	offset, factor := rng.IntN(len(p.own)), 0.9+0.2*rng.Float64()
	t.entities = append(t.entities, newEntity(aPod, "", start, p.own, offset, factor))
	for _, c := range p.containers[:min(containers, len(p.containers))] {
		t.entities = append(t.entities, newEntity(aContainer, c.name, start+2, c.readings, offset, factor))
	}
	for k := range containers - len(p.containers) {
		other := &r.pods[(i+7*(k+1))%len(r.pods)]
		t.entities = append(t.entities, newEntity(aContainer, fmt.Sprintf("sidecar-%d", k), start+2, other.containers[0].readings, offset, factor))
	}
	t.arrange()
	return t
}

// NodeTrack begins a node that starts at a time in Unix seconds; see
// [Recording.PodTrack].
func (r *Recording) NodeTrack(seed uint64, start int64) *Track {
	t := &Track{pcg: *rand.NewPCG(seed, ^uint64(0))}
	rng := rand.New(&t.pcg)
	t.entities = []entity{newEntity(theNode, "", start, r.node, rng.IntN(len(r.node)), 0.9+0.2*rng.Float64())}
	t.arrange()
	return t
}

// arrange orders the containers by name, as a scrape has them.
func (t *Track) arrange() {
	sortEntities(t.entities)
	t.samples = make([]model.Sample, len(t.entities))
}

// Restart gives the i-th container, by name, a new start in Unix seconds, and
// counters that begin anew.
func (t *Track) Restart(i int, start int64) { t.entities[1+i].restart(start) }

// Clone is a track that goes on from here by itself.
func (t *Track) Clone() *Track {
	return &Track{
		pcg:      t.pcg,
		entities: append([]entity(nil), t.entities...),
		samples:  make([]model.Sample, len(t.samples)),
	}
}

// Next goes on to a slot, in Unix seconds, which is after the one before, and
// returns what a full answer says: the pod or node, then the containers. The
// samples are valid until the next call.
func (t *Track) Next(slot int64) []model.Sample {
	rng := rand.New(&t.pcg)
	for i := range t.entities {
		t.entities[i].step(slot, false, rng)
		t.samples[i] = t.entities[i].sample
	}
	return t.samples
}
