package apiv1

import (
	"errors"
	"fmt"

	"github.com/rollcall-metrics/rollcall/pkg/chunk"
	"github.com/rollcall-metrics/rollcall/pkg/model"
	"github.com/rollcall-metrics/rollcall/pkg/series"
)

// An entity is what there is of one entity name: slots or, if steps are asked
// for, steps.
type entity struct {
	name string
	// slots are, if steps are asked for, those of one node that are not in steps
	// yet: only within a node do two samples of one slot stand for the same.
	slots series.Series
	steps series.Bins
}

// len is how many points there are.
func (e *entity) len() int { return max(e.slots.Len(), e.steps.Len()) }

// entities are the entities of one node or pod. Their memory is used again for
// the next one.
type entities struct {
	params     *params
	used, free []*entity
	last       int // of the row before
	byName     map[string]*entity
}

// fewNames is how many names are looked through one by one; beyond, a map is
// faster.
const fewNames = 8

// maxNames is how many containers of one name each a pod can have, or a chunk.
// Whoever sends more makes them up, and each is memory.
const maxNames = 4096

var errNames = fmt.Errorf("more than %d containers in a pod", maxNames)

// begin makes room for the next node or pod.
func (x *entities) begin() {
	x.free = append(x.free, x.used...)
	x.used, x.last = x.used[:0], 0
	if len(x.byName) > 0 {
		clear(x.byName)
	}
}

// entity returns the entity of that name, a new one if there is none, or nil if
// there are too many. Mostly it is the one after the last: rows of each slot come
// in the same order.
func (x *entities) entity(name string) *entity {
	if next := x.last + 1; next < len(x.used) && x.used[next].name == name {
		x.last = next
		return x.used[next]
	}
	if len(x.used) <= fewNames {
		for i, e := range x.used {
			if e.name == name {
				x.last = i
				return e
			}
		}
	} else if e := x.byName[name]; e != nil {
		return e
	}
	if len(x.used) >= maxNames {
		return nil
	}
	return x.make(name)
}

// make makes an entity.
func (x *entities) make(name string) *entity {
	var e *entity
	if n := len(x.free); n > 0 {
		e, x.free = x.free[n-1], x.free[:n-1]
	} else {
		e = new(entity)
	}
	e.name = name
	e.slots.Reset(name, x.params.metrics)
	if x.params.step > 0 {
		e.steps.Reset(name, x.params.step, x.params.agg, x.params.metrics)
	}
	x.last = len(x.used)
	x.used = append(x.used, e)
	if len(x.used) > fewNames {
		if x.byName == nil {
			x.byName = map[string]*entity{}
		}
		for _, e := range x.used[len(x.byName):] {
			x.byName[e.name] = e
		}
	}
	return e
}

// errNoSteps says that a node sent steps although slots were asked for.
var errNoSteps = errors.New("steps where slots were asked for")

// add adds a row that lies in the window to its entity: with weights it is a
// part of a step.
func (x *entities) add(row *chunk.Row, weights *model.Values) error {
	// Also without points in the window a name is known.
	e := x.entity(row.Name)
	if e == nil {
		return errNames
	}
	if row.Slot < x.params.from || row.Slot > x.params.to {
		return nil
	}
	if weights == nil {
		e.slots.Add(row.Slot, row.Start, &row.Values)
		return nil
	}
	if x.params.step == 0 {
		return errNoSteps
	}
	return e.steps.AddPart(row, weights)
}

// settle ends the slots of a node: they are in order, and become steps if
// steps are asked for.
func (x *entities) settle() {
	for _, e := range x.used {
		e.slots.Finish()
		if x.params.step > 0 {
			e.steps.AddSeries(&e.slots)
			e.slots.Reset(e.name, x.params.metrics)
		}
	}
}
