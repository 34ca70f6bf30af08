package model

import "cmp"

// MaxName is the length of the longest name of a Kubernetes object in bytes:
// that of a DNS subdomain (RFC 1123).
const MaxName = 253

// Values are the metrics of one entity in one slot. A metric that the
// kubelet did not report is absent, which is not the same as 0. The zero
// Values is empty and ready to use.
type Values struct {
	present uint32
	v       [NumMetrics]uint64
}

// Set records the value of m.
func (v *Values) Set(m Metric, x uint64) {
	v.present |= 1 << m
	v.v[m] = x
}

// Unset makes m absent.
func (v *Values) Unset(m Metric) {
	v.present &^= 1 << m
	v.v[m] = 0
}

// Keep makes all metrics absent that are not in the set.
func (v *Values) Keep(s Metrics) { v.present &= uint32(s) }

// Get returns the value of m, and whether it is present.
func (v *Values) Get(m Metric) (uint64, bool) {
	return v.v[m], v.present&(1<<m) != 0
}

// Has tells whether m is present.
func (v *Values) Has(m Metric) bool { return v.present&(1<<m) != 0 }

// Present has bit m set for every metric m that is present.
func (v *Values) Present() uint32 { return v.present }

// A Sample is all metrics of one entity in one slot.
type Sample struct {
	// Name is the container's name; "" is the node or the pod itself.
	Name string
	// Start is when the entity started, in Unix seconds; 0 is unknown.
	// A container with a new Start is a new entity.
	Start int64
	Values
}

// A PodRef names a pod. The zero PodRef stands for the node itself.
type PodRef struct {
	Namespace, Name, UID string
}

// Compare orders by namespace, name and UID.
func (r PodRef) Compare(o PodRef) int {
	return cmp.Or(cmp.Compare(r.Namespace, o.Namespace), cmp.Compare(r.Name, o.Name), cmp.Compare(r.UID, o.UID))
}

// A Group is what is stored and sent together: the node itself (the zero
// PodRef, one sample), or one pod with its containers.
type Group struct {
	Pod PodRef
	// Samples holds at most one sample per entity: first, if the kubelet
	// reported it, the node or pod itself, then the containers by name.
	Samples []Sample
}

// A Scrape is one answer of the kubelet: all samples of one node in one slot,
// with groups ordered by PodRef, so that the node comes first.
type Scrape struct {
	Groups []Group
}

// Entities counts the samples in the scrape.
func (s *Scrape) Entities() int {
	n := 0
	for i := range s.Groups {
		n += len(s.Groups[i].Samples)
	}
	return n
}
