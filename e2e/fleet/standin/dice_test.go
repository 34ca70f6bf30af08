package standin

import (
	"regexp"
	"testing"
)

func TestNamesHaveKubernetesForm(t *testing.T) {
	uuid := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	suffix := regexp.MustCompile(`^[bcdfghjklmnpqrstvwxz2456789]{5}$`)
	uuids := map[string]bool{}
	d := newDice(1, "node-1")
	for i := range int64(1000) {
		if s := d.of(i).uuid(); !uuid.MatchString(s) || uuids[s] {
			t.Fatalf("uuid %q has the wrong form or comes twice", s)
		} else {
			uuids[s] = true
		}
		if s := d.of(i).suffix(); !suffix.MatchString(s) {
			t.Fatalf("suffix %q has the wrong form", s)
		}
	}
}

func TestDiceDifferByNodeAndSeed(t *testing.T) {
	seen := map[dice]string{}
	for _, seed := range []int64{-1, 0, 1, 2} {
		for _, node := range []string{"node-1", "node-2", ""} {
			d := newDice(seed, node)
			if other, ok := seen[d]; ok {
				t.Errorf("seed %d, node %q: the same dice as %s", seed, node, other)
			}
			seen[d] = node
		}
	}
}

func TestDiceRollsEveryNumber(t *testing.T) {
	seen := map[int64]int{}
	for i := range int64(7000) {
		seen[newDice(3, "n").of(i).between(-3, 3)]++
	}
	for n := int64(-3); n <= 3; n++ {
		if seen[n] < 800 || seen[n] > 1200 {
			t.Errorf("%d came %d times of 7000, want about 1000", n, seen[n])
		}
	}
	if len(seen) != 7 {
		t.Errorf("came up with %d numbers, want 7", len(seen))
	}
}
