package standin

import (
	"slices"
	"sync"
	"time"
)

// servedFor is how far back the kubelet knows what it has served: what an
// agent keeps by default.
const servedFor = 24 * time.Hour

// A servedLog remembers which turns were served last in which form: a ring with
// a place for each turn of servedFor, so the newest turn overwrites the oldest.
type servedLog struct {
	mu    sync.Mutex
	turns []servedTurn
}

type servedTurn struct {
	turn int64
	form form // 0 = the place is free
}

func newServedLog(resolution time.Duration) *servedLog {
	return &servedLog{turns: make([]servedTurn, max(1, servedFor/resolution))}
}

// note records an answer; of several for one turn, the last one stands.
func (l *servedLog) note(turn int64, f form) {
	l.mu.Lock()
	defer l.mu.Unlock()
	place := turn - floorTo(turn, int64(len(l.turns)))
	l.turns[place] = servedTurn{turn: turn, form: f}
}

// between lists what was served from one turn to another, both included, in
// the order of turns.
func (l *servedLog) between(from, to int64) []servedTurn {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []servedTurn
	for _, s := range l.turns {
		if s.form != 0 && s.turn >= from && s.turn <= to {
			found = append(found, s)
		}
	}
	slices.SortFunc(found, func(a, b servedTurn) int { return int(a.turn - b.turn) })
	return found
}
