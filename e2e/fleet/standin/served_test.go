package standin

import (
	"reflect"
	"testing"
	"time"
)

func TestServedLog(t *testing.T) {
	l := newServedLog(6 * time.Hour) // four places
	for turn := range int64(6) {
		l.note(turn, full)
	}
	l.note(4, light)
	for name, c := range map[string]struct {
		from, to int64
		want     []servedTurn
	}{
		"all that is left": {0, 100, []servedTurn{{2, full}, {3, full}, {4, light}, {5, full}}},
		"overwritten":      {0, 1, nil},
		"both ends":        {3, 4, []servedTurn{{3, full}, {4, light}}},
		"backwards":        {4, 3, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if got := l.between(c.from, c.to); !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}
