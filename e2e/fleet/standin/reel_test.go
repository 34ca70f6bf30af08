package standin

import (
	"fmt"
	"testing"
)

// A ramp is a recording of n answers 15 s apart with a counter that grows by 10
// each time.
func ramp(n int) (*Trace, func(int) uint64) {
	t := &Trace{}
	for i := range n {
		t.asked = append(t.asked, int64(1000+15*i))
	}
	return t, func(answer int) uint64 { return uint64(500 + 10*answer) }
}

func TestGrownGoesOnOverTheLoop(t *testing.T) {
	tr, counter := ramp(4)
	for offset := range int64(4) {
		r := &reel{trace: tr, resolution: 15, offset: offset}
		for turn := range int64(20) {
			if got, want := r.grown(0, turn, counter), uint64(10*turn); got != want {
				t.Errorf("offset %d: from turn 0 to %d it grew by %d, want %d", offset, turn, got, want)
			}
		}
	}
}

func TestUnixKeepsMeasurementsApart(t *testing.T) {
	for _, resolution := range []int64{1, 2, 5, 10, 15, 30, 60} {
		t.Run(fmt.Sprint(resolution, " s"), func(t *testing.T) {
			tr, _ := ramp(4)
			r := &reel{trace: tr, resolution: resolution}
			// Measured up to a whole answer before each answer, as recorded.
			for turn := range int64(12) {
				for lag := int32(-1); lag < stepSeconds; lag++ {
					got := r.unix(turn, moment{at: int32(r.answer(turn)), lag: lag})
					if early := r.slot(turn) - got; early >= resolution || early < -1 || resolution >= 15 && early != int64(lag) {
						t.Errorf("turn %d, lag %d: %d s before the slot", turn, lag, early)
					}
				}
			}
			// Shown again, it is when it was.
			old := moment{at: 1, lag: 7}
			if first, again := r.unix(1, old), r.unix(2, old); first != again {
				t.Errorf("a measurement is at %d, and at %d when it is shown again", first, again)
			}
		})
	}
}

func TestCycle(t *testing.T) {
	c := cycle{period: 10, phase: 3}
	for turn, want := range map[int64]int64{-4: -13, -3: -3, 6: -3, 7: 7, 16: 7, 17: 17} {
		if got := c.last(turn); got != want {
			t.Errorf("last event by turn %d was in %d, want %d", turn, got, want)
		}
	}
}

func TestBootIsStableWithinAnEra(t *testing.T) {
	for _, resolution := range []int64{1, 7, 15, 60} {
		r := &reel{resolution: resolution}
		boot := r.boot(1_795_230_885 / resolution)
		if got := r.boot(boot); got != boot {
			t.Errorf("resolution %d s: booted in turn %d, seen from there in %d", resolution, boot, got)
		}
		if got := r.boot(boot - 1); got >= boot {
			t.Errorf("resolution %d s: booted in turn %d, the turn before in %d", resolution, boot, got)
		}
	}
}

func TestScaleDoesNotOverflow(t *testing.T) {
	const big = 1 << 63
	if got := scale(big, 3000, 2000+1000); got != big {
		t.Errorf("2⁶³ × 3000 / 3000 = %d", got)
	}
	if got := scale(7, 10, 4); got != 17 {
		t.Errorf("7 × 10 / 4 = %d, want 17", got)
	}
}
