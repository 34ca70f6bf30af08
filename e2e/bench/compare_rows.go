package main

import (
	"context"
	"errors"
	"os"

	"golang.org/x/sync/errgroup"

	"github.com/rollcall-metrics/rollcall/e2e/bench/child"
	"github.com/rollcall-metrics/rollcall/e2e/bench/job"
	"github.com/rollcall-metrics/rollcall/e2e/bench/meter"
	"github.com/rollcall-metrics/rollcall/e2e/bench/report"
)

// slowShare is the part of a day that the slow layout stores: 2 h.
const slowShare = 12

// layouts compares the ring with other ways to store the same.
func (b *bench) layouts(ctx context.Context) error {
	t := &report.Table{
		Name:    "layouts, 24 h",
		Columns: []string{"disk MB", "B a number", "CPU ms a scrape", "written MB a day", "read container 15 min, CPU ms", "pod 24 h", "all pods 15 min"},
		Note:    "The same numbers, each slot synced, nothing deleted yet. One key per series and time: 2 h were stored, disk and writes are 12 times those, and the pod's 24 h are 2 h.",
	}
	for _, l := range []struct{ name, what string }{
		{"ring", "the ring"},
		{"series", "one key per series and time, zstd"},
		{"rows", "one row per entity and time, snappy"},
		{"records", "delta records per scrape, no chunks"},
	} {
		q := b.storeRequest(l.name)
		q.Layout, q.Dir, q.Days, q.Extra, q.Reads, q.Profile = l.name, b.path("layout-"+l.name), 1, 0, true, ""
		scale := 1.0
		if l.name == "series" {
			q.Slots = max(q.Slots/slowShare, blockSlots*2)
			scale = float64(b.cfg.Slots) / float64(q.Slots)
		}
		var r storeResult
		if err := b.runJob(ctx, "store", q, &r); err != nil {
			return err
		}
		t.Lines = append(t.Lines, report.TableLine{What: l.what, Figures: []float64{
			r.Disk * scale / mega, r.PerNumber, r.CPU, perDay(r.Written.Disk, q.Slots) / mega,
			r.Reads.Container, r.Reads.Pod, r.Reads.All,
		}})
		b.Progress("%s: %s B a number, %s ms a scrape", l.what, report.Number(r.PerNumber), report.Number(r.CPU))
		if err := os.RemoveAll(q.Dir); err != nil {
			return err
		}
	}
	b.Tables = append(b.Tables, t)
	return nil
}

// An option is a way to run the ring.
type option struct {
	what, tune string
	env        []string
}

// options compares the ring as it is with other settings.
func (b *bench) options(ctx context.Context) error {
	t := &report.Table{
		Name:    "options of the ring, 24 h",
		Columns: []string{"disk MB", "CPU ms a scrape", "written MB a day", "resident MiB", "anonymous MiB", "idle millicores"},
		Note:    "Resident and idle: kubelet client, sampler and ring alone, without servers and gossip, after 24 h at speed.",
	}
	options := []option{
		{what: "as it is"},
		{what: "zstd", tune: "zstd"},
		{what: "Pebble's scheduler and disk health checks", tune: "idle"},
		{what: "MemTableSize 4 MiB", tune: "memtable"},
		{what: "GOGC=100", env: []string{"GOGC=100"}},
		{what: "GOGC=50", env: []string{"GOGC=50"}},
	}
	t.Lines = make([]report.TableLine, len(options))
	for i, o := range options {
		// GOGC changes what storing costs as well, but not what is stored.
		q := b.storeRequest("option-" + o.what)
		q.Tune, q.Days, q.Extra, q.Profile = o.tune, 1, 0, ""
		var r storeResult
		if err := b.runJob(ctx, "store", q, &r, o.env...); err != nil {
			return err
		}
		t.Lines[i] = report.TableLine{What: o.what, Figures: []float64{r.Disk / mega, r.CPU, perDay(r.Written.Disk, q.Slots) / mega, report.NotMeasured, report.NotMeasured, report.NotMeasured}}
		if err := os.RemoveAll(q.Dir); err != nil {
			return err
		}
	}
	fed := make([]*fed, len(options))
	defer func() {
		for _, f := range fed {
			_ = f.end() // all is measured by then
		}
	}()
	for i, o := range options {
		var err error
		if fed[i], err = b.feed(ctx, o); err != nil {
			return err
		}
	}
	if err := child.Wait(ctx, b.cfg.Settle); err != nil {
		return err
	}
	var g errgroup.Group
	for i, f := range fed {
		g.Go(func() error {
			r, err := meter.ResidentOf(f.PID())
			if err != nil {
				return err
			}
			figures := t.Lines[i].Figures
			figures[3], figures[4] = r.All, r.Anon
			figures[5], err = f.CPUDuring(ctx, b.cfg.Idle)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	b.Tables = append(b.Tables, t)
	return nil
}

// fed is a process that has sampled a day, and its kubelet.
type fed struct {
	*child.Process
	kubelet *standIn
}

func (f *fed) end() error {
	if f == nil {
		return nil
	}
	return errors.Join(f.Stop(), f.kubelet.close())
}

func (b *bench) feed(ctx context.Context, o option) (*fed, error) {
	k, err := b.site.kubelet(storeBegin, atSpeed(storeBegin))
	if err != nil {
		return nil, err
	}
	f := &fed{kubelet: k}
	q, err := b.site.request("with "+o.what, b.path("feed-"+o.what), k)
	if err != nil {
		return nil, errors.Join(err, f.end())
	}
	q.Begin, q.Slots, q.Days, q.Tune = storeBegin, b.cfg.Slots, 1, o.tune
	if f.Process, err = b.startJob(ctx, "feed", q, o.env...); err != nil {
		return nil, errors.Join(err, f.end())
	}
	for range 2 { // the day's, and that it is over
		if err := f.Result(&job.AgentDay{}); err != nil {
			return nil, errors.Join(err, f.end())
		}
	}
	return f, nil
}
