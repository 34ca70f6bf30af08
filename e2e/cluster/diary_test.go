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
	// kubeletEvery is how often each kubelet is asked. In the first 10 s to 20 s of a
	// container's life it measures anew for whoever asks, and nobody is told what
	// another one was: so far apart the two may lie. Later, all are told what it
	// measures every 10 s to 20 s.
	kubeletEvery = 250 * time.Millisecond
	// answerEvery is how often metrics.k8s.io is asked.
	answerEvery = 2 * time.Second
	// apart is how many seconds the samples of a pod's containers lie apart, at most.
	apart = 25
	// mostSeen is how much is told of what does not agree with an answer.
	mostSeen = 20
)

// A diary takes down what kubelets say, and what metrics.k8s.io says, all the while;
// in the end the one is compared with the other.
type diary struct {
	*usage
	*book
	stop context.CancelFunc
	done sync.WaitGroup

	said map[who]map[sample]bool // the book's mu guards it too
}

// who is a container, or a node, without the rest.
type who struct{ node, namespace, pod, container string }

// A sample is what a kubelet says.
type sample struct {
	at      int64  // in Unix seconds, of which one may have several
	used    uint64 // CPU, in nanoseconds
	memory  int64
	started int64 // in Unix seconds
}

// write begins a diary, whose book is strict, or is not.
func (u *usage) write(strict bool) *diary {
	ctx, stop := context.WithCancel(u.Context())
	d := &diary{usage: u, book: newBook(strict), stop: stop, said: map[who]map[sample]bool{}}
	for _, n := range u.c.Nodes {
		d.every(ctx, kubeletEvery, func() error { return d.kubelet(ctx, n.Name) })
	}
	d.every(ctx, answerEvery, func() error { return d.ask(ctx, u.metrics) })
	u.Cleanup(d.close)
	return d
}

// every asks until the diary ends. What cannot be asked now is not in it; there has to
// be enough in the end.
func (d *diary) every(ctx context.Context, interval time.Duration, ask func() error) {
	d.done.Go(func() {
		t := time.NewTicker(interval)
		defer t.Stop()
		for {
			_ = ask()
			select {
			case <-ctx.Done():
				return
			case <-t.C:
			}
		}
	})
}

func (d *diary) close() {
	d.stop()
	d.done.Wait()
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
		d.said[w] = map[sample]bool{}
	}
	d.said[w][sample{cpu.Time.Unix(), *cpu.UsageCoreNanoSeconds, int64(*memory.WorkingSetBytes), started.Unix()}] = true
}

// errEarlier is for what happened before the diary was begun, errWithin for what
// metrics-server has from two measurements of the same second, which the kubelet's
// summary does not tell apart.
var (
	errEarlier = errors.New("earlier than the diary")
	errWithin  = errors.New("within a second")
)

// A tally is what has come of comparing.
type tally struct {
	compared, earlier, within int
	most                      float64 // by what share CPU was off
	bad                       []string
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
			case errors.Is(err, errWithin):
				t.within++
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

// judge waits until so many answers agree with the kubelets, and ends the diary: all
// have to agree.
func (d *diary) judge(least int) {
	d.Helper()
	d.eventually(fmt.Sprintf("%d answers that agree with the kubelets", least), func(context.Context) error {
		if t := d.tally(); t.compared < least {
			return fmt.Errorf("%d do, %d are of times before, %d of less than a second, %d do not: %v", t.compared, t.earlier, t.within, len(t.bad), t.bad[:min(len(t.bad), 5)])
		}
		return nil
	})
	d.close()
	// What was measured between the last question to a kubelet and the last to
	// metrics.k8s.io. A kubelet that is away has measured nothing.
	for _, n := range d.c.Nodes {
		_ = d.kubelet(d.Context(), n.Name)
	}
	t := d.tally()
	d.Logf("%d answers agree with the kubelets, CPU within %.1f%% at worst; %d do not, %d are of times before, %d of less than a second", t.compared, t.most*100, len(t.bad), t.earlier, t.within)
	if slices.Sort(d.ages); len(d.ages) > 0 {
		d.Logf("values were %v old in the median, %v at most", d.ages[len(d.ages)/2].Round(time.Second), d.ages[len(d.ages)-1].Round(time.Second))
	}
	bad := slices.Concat(d.wrong, t.bad)
	for _, text := range bad[:min(len(bad), 10)] {
		d.Errorf("wrong: %s", text)
	}
}

// compare looks for the samples that an answer is made of, and tells by what share
// its CPU is off, where it is more than 10m.
func (d *diary) compare(w who, at time.Time, a answered) (off float64, err error) {
	if !d.strict && a.window < time.Second {
		return 0, errWithin
	}
	// Those of a pod's containers lie apart, and the pod has only one timestamp, and
	// one window.
	slack := int64(1)
	if !a.alone {
		slack = apart
	}
	first := int64(math.MaxInt64)
	for s := range d.said[w] {
		first = min(first, s.at)
	}
	from := at.Add(-a.window).Unix() - slack - 1
	best := math.Inf(1)
	var seen []string
	see := func(format string, args ...any) {
		if len(seen) < mostSeen {
			seen = append(seen, fmt.Sprintf(format, args...))
		}
	}
	for end := range d.said[w] {
		if end.at < at.Unix()-slack || end.at > at.Unix()+slack {
			continue
		}
		if end.memory != a.memory {
			see("%d: %d bytes", end.at, end.memory)
			continue
		}
		for _, begin := range d.before(w, end) {
			window := float64(end.at - begin.at)
			if a.alone {
				if math.Abs(window-a.window.Seconds()) > 1.5 {
					continue
				}
				window = a.window.Seconds()
			} else if window <= 0 {
				continue
			}
			cpu := float64(end.used-begin.used) / 1e9 / window
			// Times are whole seconds there, and need not be here.
			if allowed := 0.001 + cpu*1.2/window; math.Abs(cpu-a.cpu) <= allowed {
				best = min(best, math.Abs(cpu-a.cpu)/max(cpu, 0.01))
			} else {
				see("%d to %d: %.4f cores", begin.at, end.at, cpu)
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

// before are the samples before one, and the container's start. The sample itself is
// not: any answer of no CPU in a short window would agree with it.
func (d *diary) before(w who, end sample) []sample {
	before := []sample{{at: end.started, started: end.started}}
	for s := range d.said[w] {
		if s != end && s.used <= end.used && s.started == end.started {
			before = append(before, s)
		}
	}
	return before
}
