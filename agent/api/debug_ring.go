package api

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/agent/ring"
	"github.com/rollcall-metrics/rollcall/pkg/model"
	"github.com/rollcall-metrics/rollcall/pkg/obs"
)

const (
	// shownGaps is how many gaps people are shown; a kubelet that comes and
	// goes makes hundreds a day.
	shownGaps = 200
	// lowFree is how much free space, in bytes, is worth a warning: four times
	// that at which the ring no longer writes.
	lowFree = 64 << 20
)

// ringPage is /debug/ring: what is kept, where, and what is missing in it.
type ringPage struct {
	Problems []string `json:"problems"`
	ring.Status
	now time.Time
}

func (p *Pages) ring() any {
	s, now := p.Ring(), time.Now()
	page := ringPage{Status: s, now: now}
	page.Problems = append([]string{}, page.judgeStore()...)
	page.Problems = append(page.Problems, page.judgeSlots()...)
	return page
}

// judgeStore says what is wrong with where samples go.
func (p *ringPage) judgeStore() (problems []string) {
	s := &p.Status
	if s.State != ring.OnDisk {
		what := "Samples are kept in memory only"
		if s.State == ring.ReadOnly {
			what = "New samples are kept in memory only (the history on disk is served)"
		}
		what += since(s.Since)
		if p.Unstored > 0 {
			what += fmt.Sprintf(", %s so far, which end with the process", obs.Count(p.Unstored, "slot").Text)
		}
		problems = append(problems, fmt.Sprintf("%s: %s %s", what, sentence(s.Error), p.remedy()))
	} else if s.FreeBytes > 0 && s.FreeBytes < lowFree {
		problems = append(problems, fmt.Sprintf("The file system of %s is nearly full: %s are free. Free some, or lower --max-disk (now %s), before samples are kept in memory only.",
			p.Dir, obs.Bytes(s.FreeBytes).Text, obs.Bytes(s.MaxDisk).Text))
	}
	for _, a := range s.SetAside {
		problems = append(problems, fmt.Sprintf("A damaged store was set aside as %s/%s (%s): %s What could be read of it is in the new one. "+
			"See the node's kernel log for errors of its disk, then delete that directory.",
			p.Dir, a.Name, obs.Bytes(a.Bytes).Text, sentence(a.Why)))
	}
	if s.Lost > 0 {
		problems = append(problems, fmt.Sprintf("%s of the history could not be read when a store was found damaged: "+
			"those pods have gaps until the blocks expire. Nothing is left to do.", obs.Count(s.Lost, "chunk").Text))
	}
	return problems
}

// remedy says what to do about a store that cannot be written, by what the
// error says.
func (p *ringPage) remedy() string {
	says := func(texts ...string) bool {
		return slices.ContainsFunc(texts, func(t string) bool { return strings.Contains(p.Error, t) })
	}
	switch {
	case says("no space", "no room", "quota"):
		free := ""
		if p.FreeBytes > 0 {
			free = fmt.Sprintf(" (%s are left)", obs.Bytes(p.FreeBytes).Text)
		}
		return fmt.Sprintf("Free some space there%s, or lower --max-disk; it is tried again every minute.", free)
	case says("permission denied", "not permitted"):
		return fmt.Sprintf("Let the agent's user write to %s. It is tried again every minute.", p.Dir)
	case says("read-only file system"):
		return "Mount the volume writable; a file system that the kernel made read-only had errors: see the node's kernel log."
	case says("in use by another"):
		return "Is another agent running on this node, or the one before it still stopping?"
	case says("schema version"):
		return "The store on disk is left as it is."
	case says("has not answered", "input/output error"):
		return "See the node's kernel log and the load of its disk; a broken disk has to be replaced."
	}
	return "See the agent's log, and the node's disk."
}

// judgeSlots says whether samples come.
func (p *ringPage) judgeSlots() []string {
	resolution := p.resolution()
	if p.Newest == 0 {
		return []string{"There is no sample yet. If this stays, the page summary says why."}
	}
	newest := time.Unix(p.Newest, 0)
	age := p.now.Sub(newest)
	switch {
	case age < -resolution:
		return []string{fmt.Sprintf("The newest sample is of a time to come, %s: this node's clock was set back by %s. Check its time synchronisation.",
			newest.UTC().Format(time.RFC3339), obs.Span(-age))}
	case p.late(resolution):
		return []string{fmt.Sprintf("No sample has come for %s, and one should every %v: the page summary says why.", obs.Span(age), resolution)}
	}
	return nil
}

// late tells whether samples have stopped coming. A slot's age begins with its
// start, so it is one older.
func (p *ringPage) late(resolution time.Duration) bool {
	return p.Newest != 0 && resolution > 0 && p.now.Sub(time.Unix(p.Newest, 0)) > (lateSlots+1)*resolution
}

// resolution is the newest block's, 0 if there is none.
func (p *ringPage) resolution() time.Duration {
	if all := p.all(); len(all) > 0 {
		return time.Duration(all[0].Resolution) * time.Second
	}
	return 0
}

// A storedBlock is a block and where it is.
type storedBlock struct {
	ring.BlockInfo
	where string
}

// all are the blocks, the newest first.
func (p *ringPage) all() []storedBlock {
	var all []storedBlock
	add := func(where string, blocks ...ring.BlockInfo) {
		for _, b := range blocks {
			all = append(all, storedBlock{b, where})
		}
	}
	add("on disk", p.Blocks...)
	add("in memory, to be written", p.Waiting...)
	if p.Open != nil {
		add("being filled", *p.Open)
	}
	slices.SortStableFunc(all, func(a, b storedBlock) int {
		return cmp.Or(cmp.Compare(b.Start, a.Start), cmp.Compare(b.Seq, a.Seq))
	})
	return all
}

// gaps are the slots without samples, the newest first: the one that goes on,
// those that the blocks note, and the times between blocks.
func (p *ringPage) gaps(blocks []storedBlock) []ring.Gap {
	var gaps []ring.Gap
	if r := p.resolution(); p.late(r) {
		gaps = append(gaps, ring.Gap{From: p.Newest + int64(r/time.Second), To: model.SlotOf(p.now, r), Why: "goes on: the page summary says why"})
	}
	for i, b := range blocks {
		for _, g := range slices.Backward(b.Gaps) {
			gaps = append(gaps, g)
		}
		if i+1 == len(blocks) {
			break
		}
		if end := blocks[i+1].Start + model.BlockSeconds; end < b.Start {
			gaps = append(gaps, ring.Gap{From: end, To: b.Start - max(b.Resolution, 1), Why: "nothing was sampled for a whole block: the agent was not running, or see its log of that time"})
		}
	}
	return gaps
}
