package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/rollcall-metrics/rollcall/e2e/bench/fullnode"
	"github.com/rollcall-metrics/rollcall/e2e/bench/job"
	"github.com/rollcall-metrics/rollcall/e2e/bench/report"
)

// days replays many days through a whole agent and looks whether it grows.
func (b *bench) days(ctx context.Context) (err error) {
	if b.cfg.Days == 0 {
		b.Skip("days", "skipped: --days 0")
		return nil
	}
	begin := byClock() - int64(b.cfg.Days)*b.cfg.Slots*job.SlotSeconds
	k, err := b.site.kubelet(begin, atSpeed(begin))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, k.close()) }()
	q, err := b.site.request("days", b.path("days"), k)
	if err != nil {
		return err
	}
	q.Begin, q.Slots, q.Days, q.Profile = begin, b.cfg.Slots, int64(b.cfg.Days), b.profile("days")
	c, err := b.startJob(ctx, "agent", q)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Stop()) }()
	t := &report.Table{
		Name: fmt.Sprintf("%d days at speed", b.cfg.Days), Columns: []string{"disk MB", "resident MiB", "anonymous MiB", "entities", "CPU ms a sample"},
		Note: "At each day's end, of the whole agent: fetch over TLS, decoding, ring. Entities are all that lived on that day.",
	}
	all := make([]job.AgentDay, b.cfg.Days)
	lived := 0
	for i := range all {
		if err := c.Result(&all[i]); err != nil {
			return err
		}
		d, before := &all[i], lived
		lived = k.Lived()
		entities := lived - before
		if i > 0 {
			entities += 1 + fullnode.Pods + fullnode.Containers
		}
		t.Lines = append(t.Lines, report.TableLine{What: fmt.Sprintf("day %d", i+1), Figures: []float64{d.Disk / mega, d.Resident.All, d.Resident.Anon, float64(entities), d.CPU}})
		b.Progress("day %d: disk %s MB, resident %s MiB, CPU %s ms a sample", i+1, report.Number(d.Disk/mega), report.Number(d.Resident.All), report.Number(d.CPU))
	}
	b.Tables = append(b.Tables, t)
	second, last := &all[1], &all[len(all)-1]
	b.Set("days/disk", last.Disk/second.Disk, "")
	b.Set("days/memory", last.Resident.All/second.Resident.All, "while it samples one slot after the other without a pause: more than at real pace")
	return nil
}
