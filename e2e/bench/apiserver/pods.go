package apiserver

import (
	"cmp"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollcall-metrics/rollcall/e2e/fleet/virtual"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// A roll is the pods, as they come and go. Only who they are is kept.
type roll struct {
	*resource
	census     *virtual.Census
	resolution time.Duration
	looks      *looks

	// The rest belongs to whoever calls move.
	slot int64               // for which it holds
	all  []*virtual.Resident // by namespace and name
}

func newRoll(census *virtual.Census, q Request, now time.Time) *roll {
	r := &roll{
		resource: newResource(func() runtime.Object { return &corev1.PodList{} }, func() object { return &corev1.Pod{} }),
		census:   census, resolution: q.Resolution, looks: newLooks(q.Deployments), slot: model.SlotOf(now, q.Resolution),
	}
	for pod := range census.At(r.slot) {
		r.all = append(r.all, &pod)
	}
	slices.SortFunc(r.all, byName)
	r.set(len(r.all), r.objects())
	return r
}

func byName(a, b *virtual.Resident) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

// objects makes pods of who is there now.
func (r *roll) objects() func(i int) object {
	all := r.all
	return func(i int) object { return r.looks.pod(all[i]) }
}

// move replaces pods as the fleet does at the beginning of a slot.
func (r *roll) move(now time.Time) {
	slot := model.SlotOf(now, r.resolution)
	if slot <= r.slot {
		return
	}
	var events []event
	var came []*virtual.Resident
	gone := map[model.PodRef]bool{}
	for old, replacement := range r.census.Replaced(r.slot, slot) {
		gone[old.PodRef] = true
		came = append(came, &replacement)
		events = append(events,
			event{kind: watch.Deleted, object: func() object { return r.looks.pod(&old) }},
			event{kind: watch.Added, object: func() object { return r.looks.pod(&replacement) }})
	}
	r.slot = slot
	if len(events) == 0 {
		return
	}
	all := make([]*virtual.Resident, 0, len(r.all))
	for _, p := range r.all {
		if !gone[p.PodRef] {
			all = append(all, p)
		}
	}
	r.all = append(all, came...)
	slices.SortFunc(r.all, byName)
	r.tell(&state{n: len(r.all), object: r.objects()}, events)
}
