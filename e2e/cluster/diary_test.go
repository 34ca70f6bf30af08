package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	stats "k8s.io/kubelet/pkg/apis/stats/v1alpha1"
)

const (
	// diaryEvery is short against the 10 s to 20 s between two of a kubelet's samples.
	diaryEvery = 2 * time.Second
	// apart is how many seconds the samples of a pod's containers lie apart, at most.
	apart = 25
)

// A diary takes down what kubelets say, and what metrics.k8s.io says, all the while;
// in the end the one is compared with the other.
type diary struct {
	*usage
	*book
	stop context.CancelFunc
	done sync.WaitGroup

	said map[who]map[int64]sample // by its time, in Unix seconds; the book's mu guards it too
}

// who is a container, or a node, without the rest.
type who struct{ node, namespace, pod, container string }

// A sample is what a kubelet says.
type sample struct {
	used    uint64 // CPU, in nanoseconds
	memory  int64
	started int64
}

// write begins a diary, whose book is strict, or is not.
func (u *usage) write(strict bool) *diary {
	ctx, stop := context.WithCancel(u.Context())
	d := &diary{usage: u, book: newBook(strict), stop: stop, said: map[who]map[int64]sample{}}
	d.done.Go(func() {
		t := time.NewTicker(diaryEvery)
		defer t.Stop()
		for {
			// What cannot be asked now is not in it; there has to be enough in the end.
			d.kubelets(ctx)
			_ = d.ask(ctx, u.metrics)
			select {
			case <-ctx.Done():
				return
			case <-t.C:
			}
		}
	})
	u.Cleanup(d.close)
	return d
}

func (d *diary) close() {
	d.stop()
	d.done.Wait()
}

func (d *diary) kubelets(ctx context.Context) {
	for _, n := range d.c.Nodes {
		_ = d.kubelet(ctx, n.Name)
	}
}

func (d *diary) kubelet(ctx context.Context, node string) error {
	body, err := d.c.Client.CoreV1().RESTClient().Get().AbsPath("/api/v1/nodes/"+node+"/proxy/stats/summary").Param("only_cpu_and_memory", "true").DoRaw(ctx)
	if err != nil {
		return err
	}
	var summary stats.Summary
	if err := json.Unmarshal(body, &summary); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.says(who{node: node}, summary.Node.CPU, summary.Node.Memory, summary.Node.StartTime)
	for _, p := range summary.Pods {
		for _, c := range p.Containers {
			d.says(who{"", p.PodRef.Namespace, p.PodRef.Name, c.Name}, c.CPU, c.Memory, c.StartTime)
		}
	}
	return nil
}

func (d *diary) says(w who, cpu *stats.CPUStats, memory *stats.MemoryStats, started metav1.Time) {
	if cpu == nil || cpu.UsageCoreNanoSeconds == nil || memory == nil || memory.WorkingSetBytes == nil {
		return
	}
	if d.said[w] == nil {
		d.said[w] = map[int64]sample{}
	}
	d.said[w][cpu.Time.Unix()] = sample{*cpu.UsageCoreNanoSeconds, int64(*memory.WorkingSetBytes), started.Unix()}
}

// errEarlier is for what happened before the diary was begun.
var errEarlier = errors.New("earlier than the diary")

// A tally is what has come of comparing.
type tally struct {
	compared, earlier int
	most              float64 // by what share CPU was off
	bad               []string
}

func (d *diary) tally() (t tally) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for w, answers := range d.answers {
		for at, a := range answers {
			off, err := d.compare(w, at, a)
			switch {
			case errors.Is(err, errEarlier):
				t.earlier++
			case err != nil:
				t.bad = append(t.bad, fmt.Sprintf("%v at %v: %v", w, at.Unix(), err))
			default:
				t.compared++
				t.most = max(t.most, off)
			}
		}
	}
	return t
}

// judge waits until so many answers agree with the kubelets, and ends the diary. If it
// is strict, all answers have to agree.
func (d *diary) judge(least int) {
	d.Helper()
	d.eventually(fmt.Sprintf("%d answers that agree with the kubelets", least), func(context.Context) error {
		if t := d.tally(); t.compared < least {
			return fmt.Errorf("%d do, %d are of times before, %d do not: %v", t.compared, t.earlier, len(t.bad), t.bad[:min(len(t.bad), 5)])
		}
		return nil
	})
	d.close()
	// What was measured between the last question to a kubelet and the last to
	// metrics.k8s.io.
	d.kubelets(d.Context())
	t := d.tally()
	d.Logf("%d answers agree with the kubelets, CPU within %.1f%% at worst; %d do not, %d are of times before", t.compared, t.most*100, len(t.bad), t.earlier)
	if slices.Sort(d.ages); len(d.ages) > 0 {
		d.Logf("values were %v old in the median, %v at most", d.ages[len(d.ages)/2].Round(time.Second), d.ages[len(d.ages)-1].Round(time.Second))
	}
	tell := d.Logf
	if d.strict {
		tell = d.Errorf
	}
	bad := slices.Concat(d.wrong, t.bad)
	for _, text := range bad[:min(len(bad), 10)] {
		tell("wrong: %s", text)
	}
}

// compare looks for the samples that an answer is made of, and tells by what share
// its CPU is off, where it is more than 10m.
func (d *diary) compare(w who, at time.Time, a answered) (off float64, err error) {
	// Those of a pod's containers lie apart, and the pod has only one timestamp, and
	// one window.
	slack := int64(1)
	if !a.alone {
		slack = apart
	}
	first := int64(math.MaxInt64)
	for t := range d.said[w] {
		first = min(first, t)
	}
	from := at.Add(-a.window).Unix() - slack - 1
	best := math.Inf(1)
	var seen []string
	for t, end := range d.said[w] {
		if t < at.Unix()-slack || t > at.Unix()+slack {
			continue
		}
		seen = append(seen, fmt.Sprintf("%d: %d bytes", t, end.memory))
		if end.memory != a.memory {
			continue
		}
		for since, used := range d.before(w, end) {
			window := float64(t - since)
			if a.alone {
				if math.Abs(window-a.window.Seconds()) > 1.5 {
					continue
				}
				window = a.window.Seconds()
			} else if window <= 0 {
				continue
			}
			cpu := float64(used) / 1e9 / window
			// Times are whole seconds there, and need not be here.
			if allowed := 0.001 + cpu*1.2/window; math.Abs(cpu-a.cpu) <= allowed {
				best = min(best, math.Abs(cpu-a.cpu)/max(cpu, 0.01))
			} else {
				seen = append(seen, fmt.Sprintf("%d to %d: %.4f cores", since, t, cpu))
			}
		}
	}
	switch {
	case !math.IsInf(best, 1):
		return best, nil
	case from < first:
		return 0, errEarlier
	default:
		return 0, fmt.Errorf("%.4f cores in %v and %d bytes; the kubelet says %v", a.cpu, a.window, a.memory, seen)
	}
}

// before are times before a sample, with the CPU used since then: those of other
// samples, and the container's start.
func (d *diary) before(w who, end sample) map[int64]uint64 {
	used := map[int64]uint64{end.started: end.used}
	for t, s := range d.said[w] {
		if s.used <= end.used && s.started == end.started {
			used[t] = end.used - s.used
		}
	}
	return used
}
