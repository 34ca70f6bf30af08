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

// A field is one number of a document on its way to a metric.
type field struct {
	metric model.Metric
	name   string // in the document: for notes
	number number
	limit  uint64
}

// set puts the numbers that are there and can be true into the sample.
func set(s *model.Sample, n *notes, where place, fields ...field) {
	for i := range fields {
		f := &fields[i]
		switch {
		case f.number.state == invalid:
			n.add(where, "%s is no unsigned integer", f.name)
		case f.number.state == present && f.number.value > f.limit:
			n.add(where, "%s is absurd: %d", f.name, f.number.value)
		case f.number.state == present:
			s.Set(f.metric, f.number.value)
		}
	}
}

// sample is the node's own sample.
func (n *nodeStats) sample(notes *notes) model.Sample {
	s := n.stats.sample(notes, place{})
	n.Network.set(&s, notes, place{})
	set(&s, notes, place{}, field{model.RootFS, "fs.usedBytes", n.FS.UsedBytes, maxBytes})
	return s
}

// sample is the pod's own sample, without its containers.
func (p *podStats) sample(notes *notes, where place) model.Sample {
	s := p.stats.sample(notes, where)
	p.Network.set(&s, notes, where)
	set(&s, notes, where, field{model.Ephemeral, "ephemeral-storage.usedBytes", p.Ephemeral.UsedBytes, maxBytes})
	return s
}

func (c *containerStats) sample(notes *notes, where place) model.Sample {
	s := c.stats.sample(notes, where)
	s.Name = c.Name
	set(&s, notes, where,
		field{model.RootFS, "rootfs.usedBytes", c.RootFS.UsedBytes, maxBytes},
		field{model.Logs, "logs.usedBytes", c.Logs.UsedBytes, maxBytes})
	return s
}

// sample is what every entity has: its times, cpu, memory, io and swap.
func (s *stats) sample(notes *notes, where place) model.Sample {
	var out model.Sample
	out.Start = s.StartTime.seconds
	set(&out, notes, where,
		field{model.CPU, "cpu.usageNanoCores", s.CPU.UsageNanoCores, maxNanoCores},
		field{model.CPUTotal, "cpu.usageCoreNanoSeconds", s.CPU.UsageCoreNanoSeconds, anyNumber},
		field{model.WorkingSet, "memory.workingSetBytes", s.Memory.WorkingSetBytes, maxBytes},
		field{model.Usage, "memory.usageBytes", s.Memory.UsageBytes, maxBytes},
		field{model.RSS, "memory.rssBytes", s.Memory.RSSBytes, maxBytes},
		field{model.Swap, "swap.swapUsageBytes", s.Swap.UsageBytes, maxBytes},
		field{model.PSICPUSome, "cpu.psi.some.total", s.CPU.PSI.Some.Total, anyNumber},
		field{model.PSICPUFull, "cpu.psi.full.total", s.CPU.PSI.Full.Total, anyNumber},
		field{model.PSIMemorySome, "memory.psi.some.total", s.Memory.PSI.Some.Total, anyNumber},
		field{model.PSIMemoryFull, "memory.psi.full.total", s.Memory.PSI.Full.Total, anyNumber},
		field{model.PSIIOSome, "io.psi.some.total", s.IO.PSI.Some.Total, anyNumber},
		field{model.PSIIOFull, "io.psi.full.total", s.IO.PSI.Full.Total, anyNumber})

	for _, t := range [...]struct {
		name string
		instant
	}{
		{"startTime", s.StartTime}, {"cpu.time", s.CPU.Time}, {"memory.time", s.Memory.Time},
	} {
		if t.state == invalid {
			notes.add(where, "%s is no time", t.name)
		}
	}
	// One sample has one time. It is the CPU's, whose rates depend on it;
	// memory is measured in the same breath and stands in for it.
	switch {
	case s.CPU.Time.state == present:
		out.Set(model.Measured, uint64(s.CPU.Time.seconds))
	case s.Memory.Time.state == present:
		out.Set(model.Measured, uint64(s.Memory.Time.seconds))
	}
	return out
}

// set puts the bytes received and sent into the sample: those of the default
// interface if the kubelet found one (it only ever finds one named eth0), and
// otherwise the sum over all interfaces but the loopback. That sum counts a
// packet once for each interface it passes, a bridge and its veth included;
// a direction in which one of the counters is unusable is absent.
func (net *networkStats) set(s *model.Sample, notes *notes, where place) {
	rx, tx := net.RxBytes, net.TxBytes
	rxName, txName := "network.rxBytes", "network.txBytes"
	if rx.state == absent && tx.state == absent {
		rxName, txName = "network.interfaces[].rxBytes", "network.interfaces[].txBytes"
		for i := range net.Interfaces {
			if net.Interfaces[i].Name != "lo" {
				rx = rx.plus(net.Interfaces[i].RxBytes)
				tx = tx.plus(net.Interfaces[i].TxBytes)
			}
		}
	}
	set(s, notes, where,
		field{model.NetworkRx, rxName, rx, anyNumber},
		field{model.NetworkTx, txName, tx, anyNumber})
}

// plus adds two numbers. An absent one adds nothing, an invalid one or an
// overflow makes the sum invalid: part of a sum would be a made-up number.
func (n number) plus(o number) number {
	switch {
	case n.state == invalid || o.state == absent:
		return n
	case n.state == absent || o.state == invalid:
		return o
	case n.value > math.MaxUint64-o.value:
		return number{state: invalid}
	}
	return number{value: n.value + o.value, state: present}
}
