package fanout

import (
	"context"
	"sync"
	"time"
)

// laneWidth is how many nodes are probed at a time. Nodes that never answer
// take a node timeout each: with 64 places 1200 of them are probed in 30 s,
// which is how often they should be, and a handshake with all 64 at once is
// 0.1 s of CPU.
const laneWidth = 64

// lane probes nodes that are known to be bad, apart from the questions, so
// that they hold up only each other. It is safe for concurrent use.
type lane struct {
	timeout time.Duration
	probe   func(ctx context.Context, node string) error
	// ended is told of each probe, and tells whether the node is well.
	ended func(node string, err error, took time.Duration) bool
	life  context.Context
	stop  context.CancelFunc
	all   sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	running int                          // probes at a time
	queue   []string                     // waits for one
	waiting map[string][]func(well bool) // of all nodes in the queue or being probed
}

func newLane(timeout time.Duration, probe func(context.Context, string) error, ended func(string, error, time.Duration) bool) *lane {
	l := &lane{timeout: timeout, probe: probe, ended: ended, waiting: map[string][]func(bool){}}
	l.life, l.stop = context.WithCancel(context.Background())
	return l
}

// add has a node probed, unless it is in the lane already, and calls then once
// when that is done, or will not be; then must not block.
func (l *lane) add(node string, then func(well bool)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		then(false)
		return
	}
	waiting, there := l.waiting[node]
	l.waiting[node] = append(waiting, then)
	if there {
		return
	}
	l.queue = append(l.queue, node)
	if l.running < laneWidth {
		l.running++
		l.all.Go(l.run)
	}
}

// run probes nodes until there are no more.
func (l *lane) run() {
	for {
		l.mu.Lock()
		if len(l.queue) == 0 {
			l.running--
			l.mu.Unlock()
			return
		}
		node := l.queue[0]
		l.queue = l.queue[1:]
		l.mu.Unlock()

		ctx, cancel := context.WithTimeout(l.life, l.timeout)
		began := time.Now()
		err := l.probe(ctx, node)
		cancel()
		well := l.life.Err() == nil && l.ended(node, err, time.Since(began))

		l.mu.Lock()
		l.leave(node, well)
		l.mu.Unlock()
	}
}

// leave tells those who wait for a node.
func (l *lane) leave(node string, well bool) {
	for _, then := range l.waiting[node] {
		then(well)
	}
	delete(l.waiting, node)
}

// len is how many nodes are being probed or wait for it.
func (l *lane) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.waiting)
}

// close ends the probes and waits for them.
func (l *lane) close() {
	l.mu.Lock()
	l.closed = true
	for _, node := range l.queue {
		l.leave(node, false)
	}
	l.queue = nil
	l.mu.Unlock()
	l.stop()
	l.all.Wait()
}
