package virtual

import (
	"github.com/rollcall-metrics/rollcall/e2e/fleet/standin"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// Truth is what a node measured in the slots from from to to, both included, in
// Unix seconds, as far as it keeps them. It comes from the samples of which the
// chunks were made, and is the same whatever fault the agent has.
func (f *Fleet) Truth(node string, from, to int64) (standin.Truth, error) {
	a, err := f.agent(node)
	if err != nil {
		return standin.Truth{}, err
	}
	return a.ring.truth(from, to), nil
}

// playing is a block of a life.
type playing struct {
	life *life
	age  int
}

func (r *ring) truth(from, to int64) standin.Truth {
	t := standin.Truth{Node: nodeName(r.node), Resolution: r.seconds(), Slots: []standin.TruthSlot{}}
	for block, last := range r.blocks(&model.Query{From: from, To: to}) {
		actors := append(r.cast.host(r.node, block), r.cast.scene(r.node, block, &model.Query{})...)
		played := map[playing][][]model.Sample{}
		for _, a := range actors {
			played[playing{a.life, a.age}] = a.life.samples(a.age)
		}
		for i := range last + 1 {
			slot := block + int64(i)*r.seconds()
			if slot < from || slot > to {
				continue
			}
			s := standin.TruthSlot{Slot: slot, Form: "light"}
			if full(i) {
				s.Form = "full"
			}
			for _, a := range actors {
				shift := block - epoch - int64(a.age)*model.BlockSeconds
				for _, sample := range played[playing{a.life, a.age}][i] {
					s.Entities = append(s.Entities, entity(a.ref, &sample, shift))
				}
			}
			t.Slots = append(t.Slots, s)
		}
	}
	return t
}

// entity is a sample of a template, moved by so many seconds.
func entity(ref model.PodRef, s *model.Sample, shift int64) standin.TruthEntity {
	e := standin.TruthEntity{
		Namespace: ref.Namespace, Pod: ref.Name, UID: ref.UID, Container: s.Name,
		Start: s.Start + shift, Values: map[string]uint64{},
	}
	for m := range model.NumMetrics {
		if v, ok := s.Get(m); ok {
			if m == model.Measured {
				v += uint64(shift)
			}
			e.Values[m.String()] = v
		}
	}
	return e
}
