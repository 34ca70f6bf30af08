package standin

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	stats "k8s.io/kubelet/pkg/apis/stats/v1alpha1"
)

// A usage is what the kubelet shows of any entity. All parts are nil before the
// first measurement.
type usage struct {
	cpu    *stats.CPUStats
	memory *stats.MemoryStats
	io     *stats.IOStats
	swap   *stats.SwapStats
}

// A firstCPU is what usageNanoCores shows of an entity's first measurement:
// the kubelet needs two to know. cAdvisor's path shows 0, others nothing.
type firstCPU bool

const (
	firstIsZero   firstCPU = false
	firstIsAbsent firstCPU = true
)

// An aspect is which fields an entity's kind has, beside those that all have.
type aspect struct {
	available bool // memory.availableBytes and swap.swapAvailableBytes
	psi       bool
	first     firstCPU
}

// usage is the entity's own measurement for the recorded one.
func (e *entity) usage(recorded func(answer int) *sample, has aspect) usage {
	s := recorded(e.now())
	age := e.age(s.taken)
	if age < 0 {
		return usage{}
	}
	spent := e.counter(func(answer int) uint64 { return recorded(answer).cpuTotal })
	u := usage{
		cpu: &stats.CPUStats{
			Time:                 e.time(s.taken),
			UsageNanoCores:       new(e.gauge(s.cpuNow)),
			UsageCoreNanoSeconds: new(spent),
		},
		memory: &stats.MemoryStats{
			Time:            e.time(s.taken),
			UsageBytes:      new(e.pages(s.usage)),
			WorkingSetBytes: new(e.pages(s.workingSet)),
			RSSBytes:        new(e.pages(s.rss)),
			PageFaults:      new(e.counter(func(answer int) uint64 { return recorded(answer).faults })),
			MajorPageFaults: new(e.counter(func(answer int) uint64 { return recorded(answer).majorFaults })),
		},
		io:   &stats.IOStats{Time: e.time(s.io)},
		swap: &stats.SwapStats{Time: e.time(s.swap), SwapUsageBytes: new(uint64(0))},
	}
	if age == 0 {
		u.cpu.UsageNanoCores = new(uint64(0))
		if has.first == firstIsAbsent {
			u.cpu.UsageNanoCores = nil
		}
	}
	if has.available {
		u.memory.AvailableBytes = new(left(s, *u.memory.WorkingSetBytes))
		u.swap.SwapAvailableBytes = new(uint64(0))
	}
	if has.psi {
		// Waiting is made up from what was spent, per mille: CPU 25 and 8 (some
		// and full), memory 3 and 1, I/O 7 and 2.
		u.cpu.PSI = pressure(spent, s.cpuNow, 25, 8)
		u.memory.PSI = pressure(spent, s.cpuNow, 3, 1)
		u.io.PSI = pressure(spent, s.cpuNow, 7, 2)
	}
	return u
}

// left is what of a limit remains beside the working set. Without a limit the
// recorded kubelet shows 0 for containers.
func left(s *sample, workingSet uint64) uint64 {
	limit := s.available + s.workingSet
	if s.available == 0 || workingSet >= limit {
		return 0
	}
	return limit - workingSet
}

// pressure is the time waited in microseconds, as on cAdvisor's path, and the
// share of time waited now in percent, in thousandths of the CPU time spent
// (nanoseconds) and of the usage now (nanocores).
func pressure(spent, now, some, full uint64) *stats.PSIStats {
	data := func(permille uint64) stats.PSIData {
		percent := float64(now*permille/100_000_000) / 100 // two decimals
		return stats.PSIData{Total: spent / 1_000_000 * permille, Avg10: percent, Avg60: percent, Avg300: percent}
	}
	return &stats.PSIStats{Full: data(full), Some: data(some)}
}

// network is made up from the CPU time that a pod spent, about 1 byte received
// for 40 ns and a third less sent.
func network(at metav1.Time, spent uint64, defaultInterface bool) *stats.NetworkStats {
	link := func(name string, share uint64) stats.InterfaceStats {
		return stats.InterfaceStats{
			Name:    name,
			RxBytes: new(spent / 40 * share / 4), RxErrors: new(uint64(0)),
			TxBytes: new(spent / 60 * share / 4), TxErrors: new(uint64(0)),
		}
	}
	if !defaultInterface {
		return &stats.NetworkStats{Time: at, Interfaces: []stats.InterfaceStats{link("net1", 3), link("net2", 1)}}
	}
	// A second interface, so that the default one is not the sum.
	return &stats.NetworkStats{
		Time:           at,
		InterfaceStats: link("eth0", 4),
		Interfaces:     []stats.InterfaceStats{link("eth0", 4), link("net1", 1)},
	}
}
