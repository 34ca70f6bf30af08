package kubelet

import (
	"math"

	"github.com/rollcall-metrics/rollcall/pkg/model"
)

const (
	// maxBytes is the largest number of bytes in memory or storage that is
	// believed: 1 EiB. The kubelet subtracts without looking, so what should
	// be slightly negative arrives as almost 16 EiB.
	maxBytes = 1 << 60
	// maxNanoCores is the largest instant CPU usage that is believed: a
	// million cores, of 1e9 nanocores each.
	maxNanoCores = 1_000_000 * 1_000_000_000
	// anyNumber lets a counter be what it is: it may have wrapped, and only
	// its differences are used.
	anyNumber = math.MaxUint64
)

// An entity is what the document says of the node, a pod or a container.
type entity struct {
	sample  model.Sample // its numbers; the rest comes at the end
	invalid uint32       // bit m: the number of metric m was unusable
	times   [numTimes]instant
	texts   [numTexts][]byte
	rx, tx  sum // over the network interfaces
}

// unset makes a number absent.
func (e *entity) unset(m model.Metric) {
	e.sample.Unset(m)
	e.invalid &^= 1 << m
}

// An instant is a time in whole Unix seconds, if it is known.
type instant struct {
	seconds int64
	known   bool
}

// A sum is absent as long as nothing was added. If something unusable was, or
// it overflows, it is invalid: part of a sum would be a made-up number.
type sum struct {
	value            uint64
	present, invalid bool
}

// add adds a metric of e. An absent one adds nothing.
func (s *sum) add(e *entity, m model.Metric) {
	v, ok := e.sample.Get(m)
	s.invalid = s.invalid || e.invalid&(1<<m) != 0 || v > math.MaxUint64-s.value
	s.present = s.present || ok
	s.value += v
}

// sample is the sample of an entity that was read to its end. It has no name yet.
func (d *decoder) sample(e *entity) model.Sample {
	s := e.sample
	s.Start = e.times[startedAt].seconds
	// One sample has one time. It is the CPU's, whose rates depend on it;
	// memory is measured in the same breath and stands in for it.
	for _, t := range [...]instant{e.times[cpuAt], e.times[memoryAt]} {
		if t.known {
			s.Set(model.Measured, uint64(t.seconds))
			break
		}
	}
	d.network(&s, e)
	return s
}

// network puts the bytes received and sent into the sample: those of the
// default interface if the kubelet found one (it only ever finds one named
// eth0), and otherwise the sum over all interfaces but the loopback. That sum
// counts a packet once for each interface it passes, a bridge and its veth
// included; a direction in which one of the counters is unusable is absent.
func (d *decoder) network(s *model.Sample, e *entity) {
	const either = 1<<model.NetworkRx | 1<<model.NetworkTx
	if (s.Present()|e.invalid)&either != 0 {
		return // they are in the sample
	}
	for _, direction := range [...]struct {
		sum
		metric model.Metric
		path   string
	}{
		{e.rx, model.NetworkRx, "network.interfaces[].rxBytes"},
		{e.tx, model.NetworkTx, "network.interfaces[].txBytes"},
	} {
		switch {
		case direction.invalid:
			d.flaw("%s is no unsigned integer", direction.path)
		case direction.present:
			s.Set(direction.metric, direction.value)
		}
	}
}
