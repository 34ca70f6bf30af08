package api

import (
	"fmt"
	"time"

	"github.com/rollcall-metrics/rollcall/agent/ring"
	"github.com/rollcall-metrics/rollcall/pkg/model"
	"github.com/rollcall-metrics/rollcall/pkg/obs"
)

// Verdict implements [obs.Presenter].
func (p ringPage) Verdict() []string { return p.Problems }

// Sections implements [obs.Presenter].
func (p ringPage) Sections() []obs.Section {
	blocks := p.all()
	sections := []obs.Section{{Facts: p.facts(blocks)}}
	if t := p.setAside(); len(t.Rows) > 0 {
		sections = append(sections, obs.Section{Title: "Damaged stores that were set aside", Table: t})
	}
	return append(sections, p.gapSection(p.gaps(blocks)), p.blockSection(blocks))
}

func (p *ringPage) facts(blocks []storedBlock) []obs.Fact {
	where := map[ring.State]string{
		ring.OnDisk:   "on disk as they come",
		ring.ReadOnly: "in memory; the history on disk is served",
		ring.InMemory: "in memory",
	}[p.State]
	facts := []obs.Fact{{Name: "samples are", Value: obs.Text(where)}}
	if !p.Since.IsZero() {
		facts = append(facts, obs.Fact{Name: "since", Value: obs.Time(p.now, p.Since)})
	}
	if p.Newest != 0 {
		facts = append(facts,
			obs.Fact{Name: "newest slot", Value: obs.Time(p.now, time.Unix(p.Newest, 0))},
			obs.Fact{Name: "oldest slot", Value: obs.Time(p.now, time.Unix(p.Oldest, 0))})
	}
	slots := 0
	for _, b := range blocks {
		slots += b.Slots
	}
	facts = append(facts,
		obs.Fact{Name: "slots with samples", Value: obs.Text(fmt.Sprintf("%d, in %s", slots, obs.Count(len(blocks), "block").Text))},
		obs.Fact{Name: "of them not on disk", Value: obs.Number(p.Unstored)},
		obs.Fact{Name: "directory", Value: obs.Text(p.Dir)},
		obs.Fact{Name: "takes", Value: obs.Bytes(p.DiskBytes)})
	if p.MaxDisk > 0 {
		facts = append(facts, obs.Fact{Name: "may take", Value: obs.Bytes(p.MaxDisk)})
	}
	if p.FreeBytes > 0 {
		facts = append(facts, obs.Fact{Name: "free there", Value: obs.Bytes(p.FreeBytes)})
	}
	return facts
}

func (p *ringPage) setAside() *obs.Table {
	t := &obs.Table{Columns: []obs.Column{{Title: "directory"}, {Title: "size", Number: true}, {Title: "when"}, {Title: "why"}}}
	for _, a := range p.SetAside {
		at := obs.Text("")
		if !a.At.IsZero() {
			at = obs.Time(p.now, a.At)
		}
		t.Rows = append(t.Rows, []obs.Value{obs.Text(a.Name), obs.Bytes(a.Bytes), at, obs.Text(a.Why)})
	}
	return t
}

func (p *ringPage) gapSection(gaps []ring.Gap) obs.Section {
	s := obs.Section{Title: "Gaps, newest first"}
	if len(gaps) == 0 {
		s.Text = "None."
		return s
	}
	if len(gaps) > shownGaps {
		s.Text, s.More = fmt.Sprintf("The last %d of %d.", shownGaps, len(gaps)), true
	}
	resolution := max(int64(p.resolution()/time.Second), 1)
	s.Table = &obs.Table{Columns: []obs.Column{{Title: "from"}, {Title: "to"}, {Title: "slots", Number: true}, {Title: "why"}}}
	for _, g := range gaps[:min(len(gaps), shownGaps)] {
		s.Table.Rows = append(s.Table.Rows, []obs.Value{
			obs.Stamp(time.Unix(g.From, 0)), obs.Stamp(time.Unix(g.To, 0)),
			obs.Number((g.To-g.From)/resolution + 1), obs.Text(oneLine(g.Why)),
		})
	}
	return s
}

func (p *ringPage) blockSection(blocks []storedBlock) obs.Section {
	s := obs.Section{Title: "Blocks, newest first", Text: "Each has the samples of up to 15 minutes."}
	if len(blocks) == 0 {
		s.Text = "None."
		return s
	}
	s.Table = &obs.Table{Columns: []obs.Column{
		{Title: "first slot"}, {Title: "last slot"}, {Title: "slots", Number: true},
		{Title: "pods", Number: true}, {Title: "size", Number: true}, {Title: "where"},
	}}
	for _, b := range blocks {
		row := []obs.Value{
			obs.Text("–"), obs.Text("–"),
			obs.Text(fmt.Sprintf("%d of %d", b.Slots, model.BlockSeconds/max(b.Resolution, 1))),
			obs.Number(max(b.Groups-1, 0)), // one is the node's
			{Text: obs.Bytes(b.Bytes).Text}, obs.Text(b.where),
		}
		if b.Slots > 0 {
			row[0], row[1] = obs.Stamp(time.Unix(b.First, 0)), obs.Stamp(time.Unix(b.Last, 0))
		}
		s.Table.Rows = append(s.Table.Rows, row)
	}
	return s
}
