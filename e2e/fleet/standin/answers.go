package standin

import (
	"errors"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	stats "k8s.io/kubelet/pkg/apis/stats/v1alpha1"
)

// A sample is what the kubelet measures of any entity, CPU and memory at once.
// Where the entity's kind has no such field it is 0 and never shown.
type sample struct {
	taken       moment
	cpuNow      uint64 // usageNanoCores
	cpuTotal    uint64 // usageCoreNanoSeconds
	available   uint64
	usage       uint64
	workingSet  uint64
	rss         uint64
	faults      uint64
	majorFaults uint64
	io, swap    moment
}

// A disk is a file system's numbers.
type disk struct {
	taken                          moment
	available, capacity, used      uint64
	inodesFree, inodes, inodesUsed uint64
}

// A traffic is one interface's counters, in bytes.
type traffic struct{ rx, tx uint64 }

type containerAnswer struct {
	sample
	rootfs, logs disk
}

type podAnswer struct {
	sample
	volume, ephemeral disk
}

type nodeAnswer struct {
	sample
	pods                     sample // the system container "pods"
	fs, imageFs, containerFs disk
	network                  moment
	traffic                  []traffic // in the order of nodeTrace.interfaces
	rlimit                   moment
	maxPID, processes        int64
}

// An answerReader turns parts of an answer into records and keeps the first
// thing that is wrong with them.
type answerReader struct {
	asked timeline          // of the answers so far, this one last
	shown map[string]moment // by the answer before, by what it is the time of
	err   error
}

func (r *answerReader) fail(what string, err error) {
	if r.err == nil {
		r.err = fmt.Errorf("%s: %w", what, err)
	}
}

func (r *answerReader) moment(what string, t metav1.Time) moment {
	var last *moment
	if m, ok := r.shown[what]; ok {
		last = &m
	}
	m := r.asked.moment(t.Unix(), last)
	r.shown[what] = m
	return m
}

// number is a field that must be there.
func (r *answerReader) number(what string, v *uint64) uint64 {
	if v == nil {
		r.fail(what, errors.New("is missing"))
		return 0
	}
	return *v
}

func (r *answerReader) sample(what string, cpu *stats.CPUStats, memory *stats.MemoryStats, io *stats.IOStats, swap *stats.SwapStats) sample {
	if cpu == nil || memory == nil || io == nil || swap == nil {
		r.fail(what, errors.New("cpu, memory, io or swap is missing"))
		return sample{}
	}
	if cpu.Time != memory.Time {
		r.fail(what, errors.New("cpu and memory were measured at different times"))
	}
	return sample{
		taken:       r.moment(what+" cpu", cpu.Time),
		cpuNow:      r.number(what+" usageNanoCores", cpu.UsageNanoCores),
		cpuTotal:    r.number(what+" usageCoreNanoSeconds", cpu.UsageCoreNanoSeconds),
		available:   orZero(memory.AvailableBytes), // pods have none
		usage:       r.number(what+" usageBytes", memory.UsageBytes),
		workingSet:  r.number(what+" workingSetBytes", memory.WorkingSetBytes),
		rss:         r.number(what+" rssBytes", memory.RSSBytes),
		faults:      r.number(what+" pageFaults", memory.PageFaults),
		majorFaults: r.number(what+" majorPageFaults", memory.MajorPageFaults),
		io:          r.moment(what+" io", io.Time),
		swap:        r.moment(what+" swap", swap.Time),
	}
}

func (r *answerReader) disk(what string, fs *stats.FsStats) disk {
	if fs == nil {
		r.fail(what, errors.New("is missing"))
		return disk{}
	}
	return disk{
		taken:      r.moment(what, fs.Time),
		available:  r.number(what+" availableBytes", fs.AvailableBytes),
		capacity:   r.number(what+" capacityBytes", fs.CapacityBytes),
		used:       r.number(what+" usedBytes", fs.UsedBytes),
		inodesFree: r.number(what+" inodesFree", fs.InodesFree),
		inodes:     r.number(what+" inodes", fs.Inodes),
		inodesUsed: r.number(what+" inodesUsed", fs.InodesUsed),
	}
}

func (r *answerReader) container(pod string, c *stats.ContainerStats) containerAnswer {
	what := "container " + pod + "/" + c.Name
	return containerAnswer{
		sample: r.sample(what, c.CPU, c.Memory, c.IO, c.Swap),
		rootfs: r.disk("rootfs of "+what, c.Rootfs),
		logs:   r.disk("logs of "+what, c.Logs),
	}
}

func (r *answerReader) pod(p *stats.PodStats) podAnswer {
	what := "pod " + p.PodRef.Name
	if len(p.VolumeStats) != 1 {
		r.fail(what, fmt.Errorf("has %d volumes, not 1", len(p.VolumeStats)))
		return podAnswer{}
	}
	return podAnswer{
		sample:    r.sample(what, p.CPU, p.Memory, p.IO, p.Swap),
		volume:    r.disk("volume of "+what, &p.VolumeStats[0].FsStats),
		ephemeral: r.disk("ephemeral-storage of "+what, p.EphemeralStorage),
	}
}

func (r *answerReader) node(n *stats.NodeStats) nodeAnswer {
	if len(n.SystemContainers) != 1 || n.Network == nil || n.Runtime == nil || n.Rlimit == nil ||
		n.Rlimit.MaxPID == nil || n.Rlimit.NumOfRunningProcesses == nil {
		r.fail("node", errors.New("systemContainers, network, runtime or rlimit are not as expected"))
		return nodeAnswer{}
	}
	pods := &n.SystemContainers[0]
	a := nodeAnswer{
		sample:      r.sample("node", n.CPU, n.Memory, n.IO, n.Swap),
		pods:        r.sample("system container "+pods.Name, pods.CPU, pods.Memory, pods.IO, pods.Swap),
		fs:          r.disk("node fs", n.Fs),
		imageFs:     r.disk("imageFs", n.Runtime.ImageFs),
		containerFs: r.disk("containerFs", n.Runtime.ContainerFs),
		network:     r.moment("node network", n.Network.Time),
		rlimit:      r.moment("rlimit", n.Rlimit.Time),
		maxPID:      *n.Rlimit.MaxPID,
		processes:   *n.Rlimit.NumOfRunningProcesses,
	}
	for _, i := range n.Network.Interfaces {
		a.traffic = append(a.traffic, traffic{
			rx: r.number(i.Name+" rxBytes", i.RxBytes),
			tx: r.number(i.Name+" txBytes", i.TxBytes),
		})
	}
	return a
}

func orZero(v *uint64) uint64 {
	if v == nil {
		return 0
	}
	return *v
}
