package main

import (
	"context"
	"fmt"
	"os"
	"slices"

	"github.com/rollcall-metrics/rollcall/e2e/bench/fullnode"
	"github.com/rollcall-metrics/rollcall/e2e/bench/job"
	"github.com/rollcall-metrics/rollcall/e2e/bench/report"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// storeBegin is the first slot of histories that only a ring sees; rings don't
// look at the clock. It begins a block.
const storeBegin int64 = 1795230000

// openSlots are the slots after the last full day: so the newest block is half
// full, as on average.
const openSlots = blockSlots / 2

// mega is a million: disks are sold in MB, memory in MiB.
const mega = 1e6

func (b *bench) binary(context.Context) error {
	info, err := os.Stat(b.cfg.Binary)
	if err != nil {
		return err
	}
	b.Set("binary/size", float64(info.Size())/mega, "")
	return nil
}

func (b *bench) decode(ctx context.Context) error {
	var r decodeResult
	if err := b.runJob(ctx, "decode", decodeRequest{Seed: b.cfg.Seed, Begin: storeBegin, Repeat: b.cfg.Repeat, Profile: b.profile("decode")}, &r); err != nil {
		return err
	}
	b.Set("decode/cpu", r.CPU, "kubelet.Decode of %d KB in the recorded form; with PSI of all containers, which the recorded kubelet had not and one on cgroup v2 has, %d KB, it takes %s ms",
		r.Size/1000, r.Big/1000, report.Number(r.WithPSI))
	b.Set("decode/allocs", r.Allocs, "")
	b.Set("decode/json-cpu", r.JSONCPU, "")
	b.Set("decode/json-allocs", r.JSONAllocs, "")
	return nil
}

// storeRequest is to store two days in the ring, the second being the one in
// which old blocks are deleted.
func (b *bench) storeRequest(name string) storeRequest {
	return storeRequest{
		Name: name, Layout: "ring", Dir: b.path(name), Motion: fullnode.Recorded, Seed: b.cfg.Seed,
		Begin: storeBegin, Slots: b.cfg.Slots, Days: 2, Repeat: b.cfg.Repeat, Extra: openSlots, Profile: b.profile(name),
	}
}

func (b *bench) store(ctx context.Context) error {
	q := b.storeRequest("store")
	var r storeResult
	if err := b.runJob(ctx, "store", q, &r); err != nil {
		return err
	}
	b.ringDir = q.Dir
	b.Set("store/disk", r.Disk/mega, "as recorded: %.0f numbers a scrape, all of them in every slot; %.0f are PSI totals of 0, which cost nothing: per number without them %.2f B. Sizes are what files occupy, with what they have reserved",
		r.Numbers, r.Zeros, r.PerNumber*r.Numbers/(r.Numbers-r.Zeros))
	b.Set("store/number", r.PerNumber, "")
	b.Set("store/peak", r.Peak/mega, "looked at every %d slots and at the end of each block", walkEvery)
	b.Set("store/cpu", r.CPU, "CPU of the whole process for all of 48 h, flushes, compactions and deletions included, without what making the data costs by itself")
	b.Set("store/written", perDay(r.Written.Disk, b.cfg.Slots)/mega, "write_bytes of /proc/PID/io over the second day, in which old blocks expire; %s MB went through write calls; the first day wrote %s MB to disk and %s MB by calls",
		report.Number(perDay(r.Written.Calls, b.cfg.Slots)/mega), report.Number(perDay(r.First.Disk, b.cfg.Slots)/mega), report.Number(perDay(r.First.Calls, b.cfg.Slots)/mega))
	return nil
}

func (b *bench) moving(ctx context.Context) error {
	q := b.storeRequest("moving")
	q.Motion, q.Days, q.Extra = fullnode.Moving, 1, 0
	var r storeResult
	if err := b.runJob(ctx, "store", q, &r); err != nil {
		return err
	}
	b.Set("moving/number", r.PerNumber, "%.0f numbers a scrape; each entity is measured anew in every slot and all its counters move, PSI and network of pods made up from its CPU time; after 24 h. %s ms of CPU a scrape", r.Numbers, report.Number(r.CPU))
	b.Set("moving/disk", r.Disk/mega, "")
	return os.RemoveAll(q.Dir)
}

// history is a ring that holds a day and half a block, as a killed process
// leaves it. Whoever changes it takes a copy.
func (b *bench) history(ctx context.Context) (dir string, err error) {
	if b.ringDir == "" {
		q := b.storeRequest("history")
		q.Profile = ""
		var r storeResult
		if err := b.runJob(ctx, "store", q, &r); err != nil {
			return "", err
		}
		b.ringDir = q.Dir
	}
	return b.ringDir, nil
}

func (b *bench) read(ctx context.Context) error {
	dir, err := b.copyHistory(ctx, "read")
	if err != nil {
		return err
	}
	var r readResult
	if err := b.runJob(ctx, "read", readRequest{Dir: dir, Slots: b.cfg.Slots, Repeat: b.cfg.Repeat, Profile: b.profile("read")}, &r); err != nil {
		return err
	}
	b.Set("read/container", r.Container, "the newest 15 min: half of it of the open block, half of a stored one; every row of the chunks is decoded. From one stored block: %s ms", report.Number(r.ContainerStored))
	b.Set("read/pod", r.Pod, "")
	b.Set("read/all", r.All, "%d numbers, of the open block and a stored one, of which half is outside the 15 min. From one stored block: %s ms", r.NumbersOfAll, report.Number(r.AllStored))
	b.Set("read/latest", r.Latest, "")
	return nil
}

// copyHistory is a copy of the history under another name.
func (b *bench) copyHistory(ctx context.Context, name string) (string, error) {
	from, err := b.history(ctx)
	if err != nil {
		return "", err
	}
	return b.copyDir(from, name)
}

func (b *bench) copyDir(from, name string) (to string, err error) {
	to = b.path(name)
	if err := os.RemoveAll(to); err != nil {
		return "", err
	}
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		return "", fmt.Errorf("copy %s: %w", from, err)
	}
	return to, nil
}

// reopened is how often reopening is measured.
const reopened = 5

func (b *bench) reopen(ctx context.Context) error {
	var cpu []float64
	for i := range reopened {
		dir, err := b.copyHistory(ctx, "reopen")
		if err != nil {
			return err
		}
		q := openRequest{Dir: dir, Slots: b.cfg.Slots}
		if i == 0 {
			q.Profile = b.profile("reopen")
		}
		var one float64
		if err := b.runJob(ctx, "open", q, &one); err != nil {
			return err
		}
		cpu = append(cpu, one)
	}
	slices.Sort(cpu)
	b.Set("reopen/cpu", cpu[len(cpu)/2], "ring.Open in a new process, after kill -9; median of %d, %s to %s", reopened, report.Number(cpu[0]), report.Number(cpu[len(cpu)-1]))
	return nil
}

// describe says what all rows have in common.
func (b *bench) describe() {
	note := func(format string, args ...any) {
		b.Notes = append(b.Notes, fmt.Sprintf(format, args...))
	}
	note("CPU is user and system of the whole process. MB are 10^6 bytes, MiB 2^20. Millicores are thousandths of one core.")
	note("The node: %d pods, %d containers, %d s apart, a recorded kubelet's deltas with ±5 %% noise, a pod replaced in 24 h each; %s stand for 24 h.",
		fullnode.Pods, fullnode.Containers, job.SlotSeconds, slotsInWords(b.cfg.Slots))
	note("What goes through the agent's own sampler has the full form in every fourth slot and the light one else, as in production; what is stored directly is the full form in every slot.")
	if b.cfg.Profile != "" {
		note("Profiles were written to %s: they cost CPU and memory, so figures are too high.", b.cfg.Profile)
	}
}

func slotsInWords(slots int64) string {
	if slots*job.SlotSeconds == 86400 {
		return fmt.Sprintf("%d slots", slots)
	}
	return fmt.Sprintf("ONLY %d slots (%d blocks)", slots, slots*job.SlotSeconds/model.BlockSeconds)
}
