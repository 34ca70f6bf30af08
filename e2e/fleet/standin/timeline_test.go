package standin

import "testing"

func TestMoment(t *testing.T) {
	asked := timeline{1000, 1015, 1031}
	for name, c := range map[string]struct {
		time int64
		last *moment
		want moment
	}{
		"as it was asked":          {1031, nil, moment{2, 0}},
		"while it was answered":    {1032, nil, moment{2, -1}},
		"just before":              {1030, &moment{1, 0}, moment{2, 1}},
		"long before":              {1002, &moment{1, 14}, moment{2, 29}},
		"shown again":              {1002, &moment{1, 13}, moment{1, 13}},
		"shown for the third time": {990, &moment{0, 10}, moment{0, 10}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := asked.moment(c.time, c.last); got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}
