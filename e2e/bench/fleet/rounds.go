package main

import (
	"context"
	"time"

	"github.com/rollcall-metrics/rollcall/e2e/bench/child"
	"github.com/rollcall-metrics/rollcall/e2e/bench/meter"
	"github.com/rollcall-metrics/rollcall/e2e/bench/report"
)

// afterwards is how long what a question leaves behind may take: timers, the
// collector, the other side's bookkeeping.
const afterwards = 100 * time.Millisecond

// A cost is what one question cost: CPU of the one who asks and of those who
// answer, and how long it took.
type cost struct{ asker, answerers, wall time.Duration }

// costOf measures a question; do returns how long it took.
func costOf(ctx context.Context, asker, answerers *child.Process, do func() (time.Duration, error)) (c cost, err error) {
	var before [2]time.Duration
	for i, p := range []*child.Process{asker, answerers} {
		if before[i], err = meter.CPUOf(p.PID()); err != nil {
			return c, err
		}
	}
	if c.wall, err = do(); err != nil {
		return c, err
	}
	if err := child.Wait(ctx, afterwards); err != nil {
		return c, err
	}
	if c.asker, err = meter.CPUOf(asker.PID()); err != nil {
		return c, err
	}
	c.answerers, err = meter.CPUOf(answerers.PID())
	c.asker -= before[0]
	c.answerers -= before[1]
	return c, err
}

// medianOf is the median of each figure.
func medianOf(costs []cost) cost {
	of := func(get func(cost) time.Duration) time.Duration {
		all := make([]time.Duration, len(costs))
		for i, c := range costs {
			all[i] = get(c)
		}
		return median(all)
	}
	return cost{
		asker:     of(func(c cost) time.Duration { return c.asker }),
		answerers: of(func(c cost) time.Duration { return c.answerers }),
		wall:      of(func(c cost) time.Duration { return c.wall }),
	}
}

// questionTable is the table of what questions cost on all sides.
func questionTable() *report.Table {
	return &report.Table{
		Name:    "medians a question",
		Columns: []string{"aggregator CPU ms", "agents CPU ms", "wall ms", "limit: client CPU ms", "server CPU ms", "wall ms", "MB received", "MB JSON"},
		Note:    "Work that moves from the aggregator to agents is not saved: both sides count. An agent's CPU is a fraction of one node's; here all of them are one process.",
	}
}

// addLine adds a question to the table; a limit of nothing was not measured.
func (b *bench) addLine(what string, c, limit cost, received, json float64) {
	figures := []float64{millis(c.asker), millis(c.answerers), millis(c.wall), report.NotMeasured, report.NotMeasured, report.NotMeasured, received / mega, json / mega}
	if limit.asker > 0 {
		figures[3], figures[4], figures[5] = millis(limit.asker), millis(limit.answerers), millis(limit.wall)
	}
	b.table.Lines = append(b.table.Lines, report.TableLine{What: what, Figures: figures})
}

// mega is a million.
const mega = 1e6
