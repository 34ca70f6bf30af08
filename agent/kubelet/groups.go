package kubelet

import (
	"cmp"
	"slices"
	"strings"

	"github.com/rollcall-metrics/rollcall/pkg/model"
)

const (
	// maxPods is how many pods of one answer are kept. Kubernetes plans with
	// 110 a node, the largest installations run about 500.
	maxPods = 2048
	// maxContainers is how many containers of one pod are kept.
	maxContainers = 512
)

// A podEntry is one pod of the document, before duplicates are sorted out.
type podEntry struct {
	group model.Group
	start int64
}

// addContainer keeps the container that was just read, with these flaws.
func (d *decoder) addContainer(flaws []flaw) {
	containerName := d.container.texts[nameText]
	if wrong := nameFlaw(containerName); wrong != "" {
		d.flaws = d.flaws[:len(d.flaws)-len(flaws)]
		d.flaw("container skipped: name %s", wrong)
		return
	}
	s := d.sample(&d.container)
	s.Name = d.names.keep(containerName)
	for i := range flaws {
		flaws[i].container = s.Name
	}
	d.containers = append(d.containers, s)
	if len(d.containers) == 2*maxContainers {
		d.settleContainers()
	}
}

// settleContainers leaves of the pod's containers those that are kept. One
// that has just restarted may be listed with the one it replaces: that is no
// fault, and not noted.
func (d *decoder) settleContainers() {
	kept, more := settle(d.containers, maxContainers, func(a, b model.Sample) (int, int) {
		return strings.Compare(a.Name, b.Name), cmp.Compare(b.Start, a.Start)
	}, nil)
	d.containers, d.moreContainers = kept, d.moreContainers+more
}

// addPod keeps the pod that was just read, unless it has no usable name.
func (d *decoder) addPod() {
	ref := &d.pod.texts
	for i, what := range [numTexts]string{namespaceText: "namespace", nameText: "name", uidText: "uid"} {
		if wrong := nameFlaw(ref[i]); wrong != "" {
			d.flaw("pod skipped: podRef.%s %s", what, wrong)
			return
		}
	}
	own := d.sample(&d.pod)
	d.settleContainers()
	if d.moreContainers > 0 {
		d.flaw("%d containers beyond %d skipped", d.moreContainers, maxContainers)
	}

	e := podEntry{start: own.Start}
	e.group.Pod = model.PodRef{
		Namespace: d.names.keep(ref[namespaceText]), Name: d.names.keep(ref[nameText]), UID: d.names.keep(ref[uidText]),
	}
	if d.containers = slices.DeleteFunc(d.containers, unmeasured); measured(&own) || len(d.containers) > 0 {
		e.group.Samples = make([]model.Sample, 0, 1+len(d.containers))
	}
	if measured(&own) {
		e.group.Samples = append(e.group.Samples, own)
	}
	e.group.Samples = append(e.group.Samples, d.containers...)
	d.pods = append(d.pods, e)
}

// settlePods leaves of the document's pods those that are kept.
func (d *decoder) settlePods() {
	kept, more := settle(d.pods, maxPods, func(a, b podEntry) (int, int) {
		return a.group.Pod.Compare(b.group.Pod), cmp.Compare(b.start, a.start)
	}, func(e *podEntry) {
		d.flaw("listed more than once: the entry with the latest startTime is kept")
		d.tell(place{namespace: []byte(e.group.Pod.Namespace), pod: []byte(e.group.Pod.Name)})
	})
	d.pods, d.morePods = kept, d.morePods+more
}

// finish orders what was read.
func (d *decoder) finish() model.Scrape {
	d.settlePods()
	if d.morePods > 0 {
		d.flaw("%d pods beyond %d skipped", d.morePods, maxPods)
		d.tell(place{whole: true})
	}
	scrape := model.Scrape{Groups: make([]model.Group, 0, 1+len(d.pods))}
	if measured(&d.nodeSample) {
		scrape.Groups = append(scrape.Groups, model.Group{Samples: []model.Sample{d.nodeSample}})
	}
	for i := range d.pods {
		if group := &d.pods[i].group; len(group.Samples) > 0 {
			scrape.Groups = append(scrape.Groups, *group)
		}
	}
	return scrape
}

// settle sorts entries in place, keeps the first of equal ones and the first
// limit of these, and returns them and how many more there were. compare
// orders by name and by what puts the entry to keep, the latest started,
// before its equals: an unknown start, 0, comes last. onDuplicate, if any,
// hears of each entry dropped for an equal.
//
// What is kept does not depend on the order of the entries, which changes
// from answer to answer, nor on whether settle was called in between. So it
// is called whenever there are twice as many as are kept, which bounds the
// memory they take.
func settle[T any](entries []T, limit int, compare func(a, b T) (name, start int), onDuplicate func(*T)) (kept []T, more int) {
	slices.SortStableFunc(entries, func(a, b T) int { return cmp.Or(compare(a, b)) })
	kept = entries[:0]
	for i := range entries {
		if len(kept) > 0 {
			if name, _ := compare(kept[len(kept)-1], entries[i]); name == 0 {
				if onDuplicate != nil {
					onDuplicate(&entries[i])
				}
				continue
			}
		}
		kept = append(kept, entries[i])
	}
	more = max(0, len(kept)-limit)
	kept = kept[:len(kept)-more]
	clear(entries[len(kept):]) // lets go of what they point to
	return kept, more
}

// measured tells whether there is anything but a time in the sample.
func measured(s *model.Sample) bool {
	return s.Present()&^(1<<model.Measured) != 0
}

func unmeasured(s model.Sample) bool { return !measured(&s) }

// nameFlaw says what is wrong with a namespace, name or UID, or "". A slash
// or a control character in one could pass for another entity in a key, a
// path or a log.
func nameFlaw(name []byte) string {
	switch {
	case len(name) == 0:
		return "is empty"
	case len(name) > model.MaxName:
		return "is too long"
	}
	for i, c := range name {
		// Of the control characters U+0080 to U+009F begin with 0xc2 in UTF-8.
		if c == '/' || c < ' ' || c == 0x7f || c == 0xc2 && name[i+1] < 0xa0 {
			return "has a slash or a control character: " + clean(name)
		}
	}
	return ""
}
