package standin

import (
	"math/rand/v2"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	stats "k8s.io/kubelet/pkg/apis/stats/v1alpha1"
)

// A stage builds the node's answers. It is read-only, and so shared by requests.
type stage struct {
	reel   reel
	node   string
	dice   dice
	actors []*actor
}

// recordedPods is how many pods a node has if nothing else is asked for.
func recordedPods(t *Trace) int { return len(t.pods) }

func newStage(cfg Config, t *Trace) *stage {
	d := newDice(cfg.Seed, cfg.Node)
	s := &stage{
		node: cfg.Node,
		dice: d,
		reel: reel{
			trace:      t,
			resolution: int64(cfg.Resolution.Seconds()),
			offset:     d.of(1).between(0, int64(len(t.asked))-1),
		},
	}
	pods := cfg.Pods
	if pods == 0 {
		pods = recordedPods(t)
	}
	for p := range pods {
		s.actors = append(s.actors, newActor(d.of(2), t, p))
	}
	return s
}

// document is the answer for a turn in a form.
func (s *stage) document(turn int64, f form) *stats.Summary {
	doc := &stats.Summary{Node: s.nodeStats(turn), Pods: make([]stats.PodStats, 0, len(s.actors))}
	for _, a := range s.actors {
		if a.present(turn) {
			doc.Pods = append(doc.Pods, s.podStats(turn, a))
		}
	}
	// The kubelet gathers pods and containers in maps.
	order := rand.New(rand.NewPCG(uint64(s.dice.of(3)), uint64(turn)))
	order.Shuffle(len(doc.Pods), func(i, j int) { doc.Pods[i], doc.Pods[j] = doc.Pods[j], doc.Pods[i] })
	for _, p := range doc.Pods {
		order.Shuffle(len(p.Containers), func(i, j int) {
			p.Containers[i], p.Containers[j] = p.Containers[j], p.Containers[i]
		})
	}
	if f == light {
		lighten(doc)
	}
	return doc
}

func (s *stage) nodeStats(turn int64) stats.NodeStats {
	t := &s.reel.trace.node
	boot := s.reel.boot(turn)
	// In the recording, pods spend about a fifth of what the node spends. A node
	// with more of them spends more, one with fewer idles no less.
	more := max(0, len(s.actors)-recordedPods(s.reel.trace))
	permille := s.dice.of(4).between(950, 1050) + int64(200*more/recordedPods(s.reel.trace))
	e := &entity{reel: &s.reel, turn: turn, born: boot, start: s.reel.slot(boot) - t.uptime, permille: uint64(permille)}
	a := &t.answers[e.now()]

	u := e.usage(func(answer int) *sample { return &t.answers[answer].sample }, aspect{available: true, psi: true})
	pods := *e
	pods.start += t.podsDelay
	pods.permille = max(1, uint64(1000*len(s.actors)/recordedPods(s.reel.trace)))
	ofPods := pods.usage(func(answer int) *sample { return &t.answers[answer].pods }, aspect{psi: true})
	if ofPods.memory != nil {
		// As recorded: memory available to all pods, but no swap.
		ofPods.memory.AvailableBytes = new(left(&a.pods, *ofPods.memory.WorkingSetBytes))
	}
	n := stats.NodeStats{
		NodeName: s.node,
		SystemContainers: []stats.ContainerStats{{
			Name:      stats.SystemContainerPods,
			StartTime: pods.started(),
			CPU:       ofPods.cpu,
			Memory:    ofPods.memory,
			IO:        ofPods.io,
			Swap:      ofPods.swap,
		}},
		StartTime: e.started(),
		CPU:       u.cpu,
		Memory:    u.memory,
		IO:        u.io,
		Swap:      u.swap,
		Network:   &stats.NetworkStats{Time: e.time(a.network)},
		Fs:        e.disk(&a.fs),
		Runtime:   &stats.RuntimeStats{ImageFs: e.disk(&a.imageFs), ContainerFs: e.disk(&a.containerFs)},
		Rlimit:    &stats.RlimitStats{Time: e.time(a.rlimit), MaxPID: new(a.maxPID), NumOfRunningProcesses: new(a.processes)},
	}
	for i, name := range t.interfaces {
		n.Network.Interfaces = append(n.Network.Interfaces, stats.InterfaceStats{
			Name:    name,
			RxBytes: new(e.counter(func(answer int) uint64 { return t.answers[answer].traffic[i].rx })), RxErrors: new(uint64(0)),
			TxBytes: new(e.counter(func(answer int) uint64 { return t.answers[answer].traffic[i].tx })), TxErrors: new(uint64(0)),
		})
		if name == "eth0" {
			n.Network.InterfaceStats = n.Network.Interfaces[i]
		}
	}
	return n
}

func (s *stage) podStats(turn int64, a *actor) stats.PodStats {
	l := a.life(&s.reel, turn)
	e := &entity{reel: &s.reel, turn: turn, born: l.born, start: l.start, permille: a.permille}
	answer := &a.trace.answers[e.now()]
	volume := stats.VolumeStats{FsStats: *e.disk(&answer.volume), Name: "kube-api-access-" + l.dice.of(13).suffix()}
	p := stats.PodStats{
		PodRef:           stats.PodReference{Name: a.name(l), Namespace: a.trace.namespace, UID: l.dice.of(14).uuid()},
		StartTime:        e.started(),
		Containers:       make([]stats.ContainerStats, 0, len(a.trace.containers)),
		VolumeStats:      []stats.VolumeStats{volume},
		EphemeralStorage: e.disk(&answer.ephemeral),
	}
	for c := range a.trace.containers {
		p.Containers = append(p.Containers, s.containerStats(turn, a, l, c))
	}
	u := e.usage(func(answer int) *sample { return &a.trace.answers[answer].sample }, aspect{psi: true})
	if u.cpu != nil && a.network != hostNetwork {
		p.Network = network(u.cpu.Time, *u.cpu.UsageCoreNanoSeconds, a.network == podNetwork)
	}
	if !a.noOwnUsage {
		p.CPU, p.Memory, p.IO, p.Swap = u.cpu, u.memory, u.io, u.swap
	}
	return p
}

func (s *stage) containerStats(turn int64, a *actor, l life, c int) stats.ContainerStats {
	t := &a.trace.containers[c]
	born, start := a.container(&s.reel, turn, l, c)
	e := &entity{reel: &s.reel, turn: turn, born: born, start: start, permille: a.permille}
	d := l.dice.of(15).of(int64(c)) // of this container of this pod, over all its restarts
	u := e.usage(func(answer int) *sample { return &t.answers[answer].sample },
		aspect{available: true, psi: a.psi, first: firstCPU(d.of(born).oneIn(2))})
	answer := &t.answers[e.now()]
	stat := stats.ContainerStats{
		Name:      t.name,
		StartTime: e.started(),
		CPU:       u.cpu,
		Memory:    u.memory,
		IO:        u.io,
		Swap:      u.swap,
		Rootfs:    e.disk(&answer.rootfs),
		Logs:      e.disk(&answer.logs),
	}
	// Fields come and go on real kubelets: rss, and the time of a root file
	// system that has not been looked at yet.
	if u.memory != nil && d.of(turn).oneIn(64) {
		u.memory.RSSBytes = nil
	}
	if turn == born {
		stat.Rootfs.Time = metav1.Time{}
	}
	return stat
}
