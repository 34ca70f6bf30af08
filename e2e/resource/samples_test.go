package resource

import (
	"testing"

	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// unset has a kubelet say nothing of some metrics.
func unset(metrics ...model.Metric) func(*model.Sample) {
	return func(s *model.Sample) {
		for _, m := range metrics {
			s.Unset(m)
		}
	}
}

func set(m model.Metric, v uint64) func(*model.Sample) {
	return func(s *model.Sample) { s.Set(m, v) }
}

// TestSamples is what becomes of what a kubelet says of one container, which has run
// for two minutes and is measured every 10 s.
func TestSamples(t *testing.T) {
	const (
		asEver   = "app 100m 64Mi @120 10s"
		nothing  = "none: the kubelet of node node-1 has not measured it yet"
		noTime   = "none: container app: the kubelet does not say when it was measured"
		noMemory = "none: container app: the kubelet does not say how much memory it uses"
	)
	for name, c := range map[string]struct {
		uses usage
		says func(*model.Sample)
		want string
	}{
		"as ever":                               {usual, nil, asEver},
		"cpu is 0":                              {usage{0, 64 * mebi}, nil, "app 0 64Mi @120 10s"},
		"memory is 0":                           {usage{100 * milli, 0}, nil, "app 100m 0 @120 10s"},
		"cpu and memory are 0":                  {usage{0, 0}, nil, "app 0 0 @120 10s"},
		"cpu of 0 that the counter contradicts": {usual, set(model.CPU, 0), asEver},
		"cpu that rounds to 0":                  {usage{300_000, 64 * mebi}, set(model.CPU, 0), "app 300u 64Mi @120 10s"},
		"no cpu, but a counter":                 {usual, unset(model.CPU), asEver},
		// Over how long a time it is, only the counter tells.
		"cpu, but no counter":      {usual, unset(model.CPUTotal), "app 100m 64Mi @120 30s"},
		"cpu of 0, but no counter": {usage{0, 64 * mebi}, unset(model.CPUTotal), "app 0 64Mi @120 30s"},
		"neither cpu nor counter":  {usual, unset(model.CPU, model.CPUTotal), "none: container app: its CPU was measured only once so far"},
		"no memory":                {usual, unset(model.WorkingSet), noMemory},
		"no time":                  {usual, unset(model.Measured), noTime},
		"only a time":              {usual, unset(model.CPU, model.CPUTotal, model.WorkingSet), nothing},
		"nothing":                  {usual, unset(model.Measured, model.CPU, model.CPUTotal, model.WorkingSet), nothing},
		"no startTime":             {usual, func(s *model.Sample) { s.Start = 0 }, asEver},
		"startTime in the future":  {usual, func(s *model.Sample) { s.Start += 3600 }, asEver},
		"startTime in 1970":        {usual, func(s *model.Sample) { s.Start = 1 }, asEver},
		"swap":                     {usual, set(model.Swap, 3*mebi), "app 100m 64Mi swap 3Mi @120 10s"},
		"swap is 0":                {usual, set(model.Swap, 0), "app 100m 64Mi swap 0 @120 10s"},
		"swap that cannot be":      {usual, set(model.Swap, 1<<63), asEver},
		"memory that cannot be":    {usual, set(model.WorkingSet, 1<<63), noMemory},
		"measured in another age":  {usual, set(model.Measured, 1<<62), nothing}, // in a long time
		"measured in 1970":         {usual, set(model.Measured, 5), nothing},     // long ago
	} {
		t.Run(name, func(t *testing.T) {
			inFleet(t, []string{"node-1"}, func(f *fleet) {
				app := f.run(f.node(), "shop/cart/1", "app")[0]
				app.usage, app.says = c.uses, c.says
				f.begin()
				f.until(140)
				f.expect("shop/cart", c.want)
				f.expect("node-1", "1500m 4Gi @120 10s")
			})
		})
	}
}

// TestAges is a container that was measured for the first time at some age. Its
// counter tells its rate if it is old enough for whole seconds, and so young that the
// kubelet's own may not be one.
func TestAges(t *testing.T) {
	const once = "none: container app: its CPU was measured only once so far"
	for name, c := range map[string]struct {
		age  int64
		says func(*model.Sample)
		want string
	}{
		"0 s":                       {0, nil, once},
		"0 s, cpu 0":                {0, set(model.CPU, 0), once},
		"9 s":                       {9, nil, once},
		"9 s, cpu 0":                {9, set(model.CPU, 0), once},
		"9 s, cpu":                  {9, set(model.CPU, 110*milli), "app 110m 64Mi @125 9s"},
		"9 s, cpu 0 and counter 0":  {9, func(s *model.Sample) { s.Set(model.CPU, 0); s.Set(model.CPUTotal, 0) }, "app 0 64Mi @125 9s"},
		"10 s":                      {10, nil, "app 100m 64Mi @125 10s"},
		"10 s, cpu 0":               {10, set(model.CPU, 0), "app 100m 64Mi @125 10s"},
		"10 s, cpu":                 {10, set(model.CPU, 110*milli), "app 110m 64Mi @125 9.091s"}, // how long that takes
		"14 s":                      {14, nil, "app 100m 64Mi @125 14s"},
		"15 s":                      {15, nil, "app 100m 64Mi @125 15s"},
		"16 s":                      {16, nil, "app 100m 64Mi @125 16s"},
		"16 s, cpu":                 {16, set(model.CPU, 200*milli), "app 100m 64Mi @125 16s"}, // 200m is of a part of it
		"59 s":                      {59, nil, "app 100m 64Mi @125 59s"},
		"60 s":                      {60, nil, once},
		"60 s, cpu":                 {60, set(model.CPU, 200*milli), "app 200m 64Mi @125 30s"},
		"16 s and no startTime":     {16, func(s *model.Sample) { s.Start = 0 }, once},
		"16 s, start in the future": {16, func(s *model.Sample) { s.Start += 20 }, once},
	} {
		t.Run(name, func(t *testing.T) {
			inFleet(t, []string{"node-1"}, func(f *fleet) {
				f.begin()
				f.until(125 - c.age)
				f.tell(f.node(), "shop/cart/1", "app")
				f.node().add("shop/cart/1", "app", schedule{1 << 40, f.epoch + 125}).saysNow(c.says)
				f.until(140)
				f.expect("shop/cart", c.want)
			})
		})
	}
}
