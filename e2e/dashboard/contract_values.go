package dashboard

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/model"
)

const (
	// least is how many points of each series have to be compared, or that proves
	// little.
	least = 2
	// fresh is how many slots the newest that is told may be behind: agents sample in
	// the first half of one, and are asked after that.
	fresh = 3
)

// podsAsMeasured compares each pod's points with what was measured.
func podsAsMeasured(ctx context.Context, t *Target) error {
	for _, m := range []Metric{CPU, Memory} {
		items, err := t.items(ctx, PodsPath(t.Namespace, t.Pods, m))
		if err != nil {
			return err
		}
		from, to := span(items)
		truth, err := t.podTruth(ctx, m, from, to)
		if err != nil {
			return err
		}
		if err := t.judge(items, t.Pods, truth); err != nil {
			return fmt.Errorf("%s of pods of %s: %w", m, t.Namespace, err)
		}
	}
	return nil
}

// nodesAsMeasured does the same with nodes, one by one.
func nodesAsMeasured(ctx context.Context, t *Target) error {
	for _, m := range []Metric{CPU, Memory} {
		var all []item
		for _, name := range t.Nodes {
			items, err := t.items(ctx, NodePath(name, m))
			if err != nil {
				return err
			}
			all = append(all, items...)
		}
		from, to := span(all)
		truth, err := t.nodeTruth(ctx, m, from, to)
		if err != nil {
			return err
		}
		// A slot may have begun to be told between two of the questions.
		if err := t.judge(all, t.Nodes, truth); err != nil {
			return fmt.Errorf("%s of nodes: %w", m, err)
		}
	}
	return nil
}

// podTruth is the truth of slots and of those around them. That it cannot be told says
// nothing about the target.
func (t *Target) podTruth(ctx context.Context, m Metric, from, to int64) (map[string]Parts, error) {
	all, err := t.Truth.Pods(ctx, t.Namespace, m, from-t.edge(), to+t.edge())
	if err != nil {
		return nil, notYet{err}
	}
	return all, nil
}

func (t *Target) nodeTruth(ctx context.Context, m Metric, from, to int64) (map[string]Parts, error) {
	all, err := t.Truth.Nodes(ctx, m, from-t.edge(), to+t.edge())
	if err != nil {
		return nil, notYet{err}
	}
	return all, nil
}

// edge is how many seconds around a slot tell whether it lies in a gap.
func (t *Target) edge() int64 { return (longest + 1) * t.seconds() }

// span is from the first second of all items to the last.
func span(items []item) (from, to int64) {
	for _, one := range items {
		first, last := one.points[0].Second, one.points.Last()
		if from == 0 || first < from {
			from = first
		}
		to = max(to, last)
	}
	return from, to
}

// judge compares items with the truth of all names.
func (t *Target) judge(items []item, names []string, truth map[string]Parts) error {
	all, err := byName(items)
	if err != nil {
		return err
	}
	for name := range all {
		if !slices.Contains(names, name) {
			return fmt.Errorf("nobody has asked for %s", name)
		}
	}
	from, to := span(items)
	if (to-from)/t.seconds()+1 > int64(t.slots()) {
		return fmt.Errorf("from %d to %d is more than %v", from, to, t.Window)
	}
	if behind := time.Now().Unix() - to; behind > fresh*t.seconds() {
		return notYetf("the newest slot, %d, is %d s ago", to, behind)
	}
	for _, name := range names {
		one, ok := all[name]
		if !ok {
			return notYetf("nothing is told of %s", name)
		}
		if err := t.judgeOne(one.points, truth[name], from, to); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// judgeOne compares one series: it has each slot from the first to the last of the
// whole answer in which all of it was measured, with just that value, and no others but
// in short gaps.
func (t *Target) judgeOne(points Series, truth Parts, from, to int64) error {
	for _, p := range points {
		if p.Second != model.SlotOf(time.Unix(p.Second, 0), t.Resolution) {
			return fmt.Errorf("%d is not the beginning of a slot of %v", p.Second, t.Resolution)
		}
	}
	compared := 0
	for slot := from; slot <= to; slot += t.seconds() {
		want, measured := truth.Whole(slot, t.seconds())
		got, told := points.At(slot)
		switch {
		case measured && told && got != want:
			return fmt.Errorf("%d in slot %d, where %d was measured: %v", got, slot, want, truth)
		case measured && !told && slot > points.Last():
			return notYetf("it ends at %d, though it was measured at %d", points.Last(), slot)
		case measured && !told:
			return fmt.Errorf("slot %d is not told, though %d was measured: %v", slot, want, points)
		case measured:
			compared++
		case told && !truth.near(slot, t.seconds()):
			return fmt.Errorf("%d in slot %d, where nothing was measured, nor around: %v", got, slot, truth)
		}
	}
	if compared < least {
		return notYetf("only %d slots could be compared", compared)
	}
	return nil
}

// near tells whether anything was measured in a slot, or both sides of a gap around it
// that is short enough to be filled.
func (p Parts) near(slot, seconds int64) bool {
	for _, values := range p {
		if _, ok := values[slot]; ok {
			return true
		}
		before, after := int64(0), int64(0)
		for i := int64(1); i <= longest; i++ {
			if _, ok := values[slot-i*seconds]; ok && before == 0 {
				before = i
			}
			if _, ok := values[slot+i*seconds]; ok && after == 0 {
				after = i
			}
		}
		if before > 0 && after > 0 && before+after <= longest+1 {
			return true
		}
	}
	return false
}

// sumsOfPods sums pods as two workloads of the Dashboard's pages would be.
func sumsOfPods(ctx context.Context, t *Target) error {
	half := len(t.Pods) / 2
	groups := [][]string{t.Pods[:half], t.Pods[half:], t.Pods}
	for _, m := range []Metric{CPU, Memory} {
		sums, err := t.Client.Groups(ctx, t.Namespace, groups, m)
		if err != nil {
			return err
		}
		if len(sums[2]) == 0 {
			return notYetf("nothing is told of %v", t.Pods)
		}
		truth, err := t.podTruth(ctx, m, sums[2][0].Second, sums[2].Last())
		if err != nil {
			return err
		}
		for i, g := range groups {
			if err := t.judgeSum(sums[i], g, truth); err != nil {
				return fmt.Errorf("the sum of %s of %d pods: %w", m, len(g), err)
			}
		}
	}
	return nil
}

// sumOfNodes sums all nodes, as the Dashboard's overview does.
func sumOfNodes(ctx context.Context, t *Target) error {
	for _, m := range []Metric{CPU, Memory} {
		var all []Series
		for _, name := range t.Nodes {
			s, known, err := t.Client.Node(ctx, name, m)
			if err != nil {
				return err
			}
			if !known {
				return notYetf("nothing is told of %s", name)
			}
			all = append(all, s)
		}
		// Those that were asked first may lack a slot that came meanwhile.
		last := all[0].Last()
		for _, s := range all {
			last = min(last, s.Last())
		}
		for i := range all {
			all[i] = slices.DeleteFunc(all[i], func(p Point) bool { return p.Second > last })
		}
		sum := Sum(all...)
		truth, err := t.nodeTruth(ctx, m, sum[0].Second, sum.Last())
		if err != nil {
			return err
		}
		if err := t.judgeSum(sum, t.Nodes, truth); err != nil {
			return fmt.Errorf("the sum of %s of nodes: %w", m, err)
		}
	}
	return nil
}

// judgeSum compares a sum with what was measured, in the slots in which all of its
// members were.
func (t *Target) judgeSum(sum Series, members []string, truth map[string]Parts) error {
	compared := 0
	for _, p := range sum {
		want, whole := uint64(0), true
		for _, name := range members {
			v, ok := truth[name].Whole(p.Second, t.seconds())
			want, whole = want+v, whole && ok
		}
		if !whole {
			continue
		}
		compared++
		if p.Value == want {
			continue
		}
		if p.Second == sum.Last() && p.Value < want {
			return notYetf("%d at %d, the newest, is a part of %d", p.Value, p.Second, want)
		}
		return fmt.Errorf("%d at %d, where %d was measured", p.Value, p.Second, want)
	}
	if compared < least {
		return notYetf("only %d of %d seconds could be compared", compared, len(sum))
	}
	return nil
}
