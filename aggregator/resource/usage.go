package resource

import (
	"fmt"
	"math"
	"time"

	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/rollcall-metrics/rollcall/pkg/chunk"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// Swap is the name of swap among a node's or a container's usage; it is what
// kubectl top --show-swap looks for.
const Swap core.ResourceName = "swap"

// longestWindow is over how long a time a kubelet measures a rate, at most: it
// measures every 10 to 30 s. It is the window of a rate whose own is not known, as
// an agent has only just started: better too long, then autoscalers wait for the
// next one where the pod may not have been ready all the time.
const longestWindow = 30 * time.Second

// usage is what the node or a container uses.
type usage struct {
	cpu, memory, swap uint64 // nanocores, bytes
	hasSwap           bool
	// CPU was measured from begin to end, in Unix milliseconds; memory at its end.
	begin, end int64
}

// usageOf reads a sample. The error says what it lacks.
func usageOf(s *model.Sample) (u usage, err error) {
	measured, ok := s.Get(model.Measured)
	if !ok || measured > math.MaxInt64/1000 {
		return u, fmt.Errorf("the kubelet does not say when it was measured")
	}
	u.end = int64(measured) * 1000
	window := int64(longestWindow / time.Millisecond)
	if w, ok := s.Get(model.CPUWindow); ok && w > 0 && int64(min(w, math.MaxInt64)) < u.end {
		window = int64(w)
	} else if age := u.end - s.Start*1000; s.Start > 0 && age > 0 {
		window = min(window, age)
	}
	u.begin = u.end - window
	if u.cpu, ok = s.Get(model.CPUMean); !ok {
		u.cpu, ok = s.Get(model.CPU)
	}
	if !ok || u.cpu > math.MaxInt64 {
		return u, fmt.Errorf("its CPU was measured only once so far")
	}
	if u.memory, ok = s.Get(model.WorkingSet); !ok || u.memory > math.MaxInt64 {
		return u, fmt.Errorf("the kubelet does not say how much memory it uses")
	}
	u.swap, u.hasSwap = s.Get(model.Swap)
	u.hasSwap = u.hasSwap && u.swap <= math.MaxInt64
	return u, nil
}

// list is the usage as the API has it: CPU in nanocores, the rest in bytes.
func (u *usage) list() core.ResourceList {
	l := make(core.ResourceList, 3)
	l[core.ResourceCPU] = *resource.NewScaledQuantity(int64(u.cpu), resource.Nano)
	l[core.ResourceMemory] = *resource.NewQuantity(int64(u.memory), resource.BinarySI)
	if u.hasSwap {
		l[Swap] = *resource.NewQuantity(int64(u.swap), resource.BinarySI)
	}
	return l
}

// A reader reads chunks of one slot. It reuses its memory, and is not safe for
// concurrent use.
type reader struct {
	decoder    chunk.Decoder
	containers []container
}

// container is what a container uses.
type container struct {
	name  string
	start int64
	usage
}

// node reads the usage of a node.
func (r *reader) node(b []byte) (usage, error) {
	c, err := chunk.ParseOf(b, "", "")
	if err != nil {
		return usage{}, err
	}
	if r.decoder.Reset(c); r.decoder.Next() {
		return usageOf(r.decoder.Row().Sample)
	}
	return usage{}, fmt.Errorf("its answer has no sample: %w", r.decoder.Err())
}

// pod reads the usage of a pod's containers, which are the reader's, by name. The
// error says what one of them lacks.
func (r *reader) pod(b []byte, namespace, name string) ([]container, error) {
	c, err := chunk.ParseOf(b, namespace, name)
	if err != nil {
		return nil, err
	}
	r.containers = r.containers[:0]
	for r.decoder.Reset(c); r.decoder.Next(); {
		s := r.decoder.Row().Sample
		if s.Name == "" { // the pod itself
			continue
		}
		u, err := usageOf(s)
		if err != nil {
			return nil, fmt.Errorf("container %s: %w", s.Name, err)
		}
		r.add(container{s.Name, s.Start, u})
	}
	if err := r.decoder.Err(); err != nil {
		return nil, err
	}
	if len(r.containers) == 0 {
		return nil, fmt.Errorf("none of its containers was measured yet")
	}
	return r.containers, nil
}

// add keeps a container at its place by name; they mostly come in that order. Of
// two of the same name, the one that started last counts.
func (r *reader) add(c container) {
	i := len(r.containers)
	for i > 0 && r.containers[i-1].name > c.name {
		i--
	}
	if i > 0 && r.containers[i-1].name == c.name {
		if r.containers[i-1].start < c.start {
			r.containers[i-1] = c
		}
		return
	}
	r.containers = append(r.containers, container{})
	copy(r.containers[i+1:], r.containers[i:])
	r.containers[i] = c
}
