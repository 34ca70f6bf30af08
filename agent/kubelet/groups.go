package kubelet

import (
	"slices"
	"strings"
	"unicode"

	"github.com/rollcall-metrics/rollcall/pkg/model"
)

const (
	// maxPods is how many pods of one answer are kept. Kubernetes plans with
	// 110 a node, the largest installations run about 500.
	maxPods = 2048
	// maxContainers is how many containers of one pod are kept.
	maxContainers = 512
	// maxName is the longest name in bytes: that of a DNS subdomain, which
	// bounds all names in Kubernetes.
	maxName = 253
)

// A podEntry is one pod of the document, before duplicates are sorted out.
type podEntry struct {
	group model.Group
	start int64
}

// reset makes p ready for another document. encoding/json does not clear the
// elements of a slice that it uses again.
func (p *podStats) reset() {
	containers, interfaces := p.Containers[:cap(p.Containers)], p.Network.Interfaces[:cap(p.Network.Interfaces)]
	clear(containers)
	clear(interfaces)
	*p = podStats{Containers: containers[:0]}
	p.Network.Interfaces = interfaces[:0]
}

// entry turns a pod into its group of samples; ok is false if the pod has no
// usable name.
func (p *podStats) entry(notes *notes) (e podEntry, ok bool) {
	where := place{namespace: p.Ref.Namespace, pod: p.Ref.Name}
	for _, part := range [...]struct{ what, name string }{
		{"namespace", p.Ref.Namespace}, {"name", p.Ref.Name}, {"uid", p.Ref.UID},
	} {
		if flaw := nameFlaw(part.name); flaw != "" {
			where.whole = p.Ref.Name == "" && p.Ref.Namespace == ""
			notes.add(where, "pod skipped: podRef.%s %s", part.what, flaw)
			return podEntry{}, false
		}
	}
	e.group.Pod = model.PodRef{Namespace: p.Ref.Namespace, Name: p.Ref.Name, UID: p.Ref.UID}
	e.start = p.StartTime.seconds

	own := p.sample(notes, where)
	e.group.Samples = make([]model.Sample, 0, 1+len(p.Containers))
	if measured(&own) {
		e.group.Samples = append(e.group.Samples, own)
	}
	e.group.Samples = p.appendContainers(e.group.Samples, notes, where)
	return e, true
}

// appendContainers appends a sample of each container, by name.
func (p *podStats) appendContainers(samples []model.Sample, notes *notes, where place) []model.Sample {
	own := len(samples)
	for i := range p.Containers {
		c := &p.Containers[i]
		if flaw := nameFlaw(c.Name); flaw != "" {
			notes.add(where, "container skipped: name %s", flaw)
			continue
		}
		where.container = c.Name
		samples = append(samples, c.sample(notes, where))
		where.container = ""
	}
	containers := samples[own:]
	slices.SortStableFunc(containers, func(a, b model.Sample) int { return strings.Compare(a.Name, b.Name) })
	// A container that has just restarted may be listed with the one it
	// replaces. That is no fault, and not noted.
	containers = newest(containers,
		func(a, b *model.Sample) bool { return a.Name == b.Name },
		func(s *model.Sample) int64 { return s.Start }, nil)
	containers = slices.DeleteFunc(containers, func(s model.Sample) bool { return !measured(&s) })
	if extra := len(containers) - maxContainers; extra > 0 {
		notes.add(where, "%d containers beyond %d skipped", extra, maxContainers)
		containers = containers[:maxContainers]
	}
	return samples[:own+len(containers)]
}

// finish orders what was read. Duplicates and limits are settled on the
// sorted pods: the document's order changes from answer to answer, and with
// it which pods would be kept.
func (d *decoder) finish() model.Scrape {
	slices.SortStableFunc(d.pods, func(a, b podEntry) int { return a.group.Pod.Compare(b.group.Pod) })
	pods := newest(d.pods,
		func(a, b *podEntry) bool { return a.group.Pod == b.group.Pod },
		func(e *podEntry) int64 { return e.start },
		func(e *podEntry) {
			d.notes.add(place{namespace: e.group.Pod.Namespace, pod: e.group.Pod.Name},
				"listed more than once: the entry with the latest startTime is kept")
		})
	pods = slices.DeleteFunc(pods, func(e podEntry) bool { return len(e.group.Samples) == 0 })
	if extra := len(pods) - maxPods; extra > 0 {
		d.notes.add(place{whole: true}, "%d pods beyond %d skipped", extra, maxPods)
		pods = pods[:maxPods]
	}

	scrape := model.Scrape{Groups: make([]model.Group, 0, 1+len(pods))}
	if measured(d.node) {
		scrape.Groups = append(scrape.Groups, model.Group{Samples: []model.Sample{*d.node}})
	}
	for i := range pods {
		scrape.Groups = append(scrape.Groups, pods[i].group)
	}
	return scrape
}

// newest keeps, in place, the latest started of each run of equal elements,
// and the first of those that started together. An unknown start, 0, is
// earlier than any other. onDuplicate, if any, hears of each one dropped.
func newest[T any](sorted []T, equal func(a, b *T) bool, start func(*T) int64, onDuplicate func(*T)) []T {
	kept := sorted[:0]
	for i := range sorted {
		if len(kept) == 0 || !equal(&kept[len(kept)-1], &sorted[i]) {
			kept = append(kept, sorted[i])
			continue
		}
		if onDuplicate != nil {
			onDuplicate(&sorted[i])
		}
		if last := &kept[len(kept)-1]; start(&sorted[i]) > start(last) {
			*last = sorted[i]
		}
	}
	return kept
}

// measured tells whether there is anything but a time in the sample.
func measured(s *model.Sample) bool {
	return s.Present()&^(1<<model.Measured) != 0
}

// nameFlaw says what is wrong with a namespace, name or UID, or "". A slash
// or a control character in one could pass for another entity in a key, a
// path or a log.
func nameFlaw(name string) string {
	switch {
	case name == "":
		return "is empty"
	case len(name) > maxName:
		return "is too long"
	case strings.ContainsFunc(name, func(r rune) bool { return r == '/' || unicode.IsControl(r) }):
		return "has a slash or a control character: " + clean(name)
	}
	return ""
}
