package apiv1

import (
	"math"
	"testing"

	"github.com/rollcall-metrics/rollcall/pkg/model"
)

func TestMillicores(t *testing.T) {
	for nano, want := range map[uint64]uint64{
		0: 0, 499_999: 0, 500_000: 1, 1_499_999: 1, 1_500_000: 2, math.MaxUint64: 18446744073710,
	} {
		if got := Shown(model.CPU, nano); got != want {
			t.Errorf("%d nanocores = %d millicores, want %d", nano, got, want)
		}
	}
}
