package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/apiv1"
	"github.com/rollcall-metrics/rollcall/pkg/apiv1/apiv1test"
	"github.com/rollcall-metrics/rollcall/pkg/chunk"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// shelf has a history as a ring does: bytes are valid until the next step.
type shelf struct{ *apiv1test.History }

func (s shelf) Chunks(ctx context.Context, q model.Query) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for _, c := range s.History.Chunks(q) {
			if ctx.Err() != nil {
				yield(nil, ctx.Err())
				return
			}
			c = bytes.Clone(c)
			more := yield(c, nil)
			if clear(c); !more {
				return
			}
		}
		if s.Err != nil {
			yield(nil, s.Err)
		}
	}
}

func (s shelf) Pods(_ context.Context, q model.Query) ([]model.PodRef, error) {
	return s.History.Pods(q), s.Err
}

func (s shelf) Scrape(int64) (int64, model.Scrape, bool) { return 0, model.Scrape{}, false }
func (s shelf) Late(int64) bool                          { return false }
func (s shelf) Knows(namespace, pod string) (bool, error) {
	return s.History.Knows(namespace, pod), nil
}

func TestLocalConforms(t *testing.T) {
	apiv1test.TestSource(t, func(_ *testing.T, h *apiv1test.History) apiv1.Source {
		return Local(apiv1test.Node, shelf{h})
	})
}

// day is a day of many pods that each have the same two containers. The chunks
// of each pod are made when they are read.
type day struct {
	pods   []model.PodRef
	listed error // of listing the pods
	// fail, if not nil, may end the reading before a chunk.
	fail func(ctx context.Context, pod, block int) error
	// reading is told of each chunk that is read, before the next one is.
	reading func(pod, block int)
	bodies  [][]byte // of each pod, the tuples of any block
	read    int      // chunks
}

const (
	dayBegin  = 1795219200
	dayBlocks = 24 * 3600 / model.BlockSeconds
)

func newDay(tb testing.TB, pods int) *day {
	d := new(day)
	for pod := range pods {
		d.pods = append(d.pods, model.PodRef{Namespace: "shop", Name: fmt.Sprintf("pod-%03d", pod), UID: fmt.Sprintf("uid-%03d", pod)})
		b := chunk.NewBuilder(d.header(pod, 0))
		for slot := int64(dayBegin); slot < dayBegin+model.BlockSeconds; slot += 15 {
			samples := []model.Sample{{}, {Name: "app"}, {Name: "envoy"}}
			for i := range samples {
				x := uint64(slot)*0x9E3779B97F4A7C15 + uint64(pod*len(samples)+i)*0xBF58476D1CE4E5B9 // noise
				s := &samples[i]
				s.Start = dayBegin - 1000
				s.Set(model.Measured, uint64(slot)+x>>61)
				s.Set(model.CPU, x>>36)
				s.Set(model.CPUTotal, uint64(slot-dayBegin)*1e9+x>>38)
				s.Set(model.WorkingSet, x>>40<<12)
				s.Set(model.Usage, x>>40<<12+4096)
				s.Set(model.RSS, x>>41<<12)
			}
			if err := b.Append(slot, samples); err != nil {
				tb.Fatal(err)
			}
		}
		d.bodies = append(d.bodies, b.Body())
	}
	return d
}

func (d *day) header(pod, block int) chunk.Header {
	return chunk.Header{Pod: d.pods[pod], Block: dayBegin + int64(block)*model.BlockSeconds, Resolution: 15 * time.Second}
}

func (d *day) Chunks(ctx context.Context, q model.Query) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for block := range dayBlocks {
			for pod, ref := range d.pods {
				if q.Pod != "" && q.Pod != ref.Name {
					continue
				}
				if d.fail != nil {
					if err := d.fail(ctx, pod, block); err != nil {
						yield(nil, err)
						return
					}
				}
				d.read++
				if !yield(append(chunk.NewBuilder(d.header(pod, block)).AppendChunk(nil), d.bodies[pod]...), nil) {
					return
				}
				if d.reading != nil {
					d.reading(pod, block)
				}
			}
		}
	}
}

func (d *day) Pods(context.Context, model.Query) ([]model.PodRef, error) { return d.pods, d.listed }

func (d *day) Late(int64) bool                          { return false }
func (d *day) Scrape(int64) (int64, model.Scrape, bool) { return 0, model.Scrape{}, false }
func (d *day) Knows(string, string) (bool, error)       { return true, nil }

// path asks for all of the day.
var path = fmt.Sprintf("/api/v1/pod?start=%d&end=%d", dayBegin, dayBegin+24*3600-1)

func localHandler(d *day) http.Handler {
	return apiv1.New(apiv1.Config{Resolution: 15 * time.Second, Timeout: time.Hour}, Local("node-1", d))
}

// discard is a client that takes everything, until it does not.
type discard struct {
	header http.Header
	write  func() error // nil: always succeeds
}

func (d *discard) Header() http.Header { return d.header }
func (d *discard) WriteHeader(int)     {}
func (d *discard) Write(b []byte) (int, error) {
	if d.write != nil {
		return len(b), d.write()
	}
	return len(b), nil
}

// A day of a full node is read pod by pod: at no time are the chunks of more
// than one pod in memory.
func TestLocalHoldsOnePod(t *testing.T) {
	d := newDay(t, 110)
	ofOnePod := dayBlocks * (len(d.bodies[0]) + 60)
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	// Series of a pod's points are not what this is about: there are no points
	// of a metric that no sample has.
	r := httptest.NewRequest(http.MethodGet, path+"&partial=deny&metrics=swap", nil)
	h := localHandler(d)
	before := heap()
	var most uint64
	d.reading = func(pod, block int) {
		if block == dayBlocks-1 && pod%5 == 4 { // all of this pod has been read
			most = max(most, heap())
		}
	}
	h.ServeHTTP(&discard{header: http.Header{}}, r)
	if d.read != 2*110*dayBlocks {
		t.Errorf("%d chunks were read", d.read)
	}
	if grown := int(most) - int(before); grown > ofOnePod {
		t.Errorf("%d bytes are held; the chunks of one pod are %d, of all %d", grown, ofOnePod, 110*ofOnePod)
	}
}

// What is known to be unreadable before the answer begins is in its headers.
func TestLocalFailsEarly(t *testing.T) {
	d := newDay(t, 3)
	d.listed = errors.New("bad disk")
	for query, status := range map[string]int{"&step=6h": 200, "&partial=deny": 503} {
		w := get(localHandler(d), path+query)
		if w.Code != status || w.Header().Get("Cache-Control") != "no-store" || !strings.Contains(w.Body.String(), "bad disk") ||
			(status == 200) != (strings.Count(w.Body.String(), `"namespace"`) == 3) {
			t.Errorf("%s: %d %s %s", query, w.Code, w.Header(), w.Body)
		}
	}
}

// Reading that fails after the answer has begun makes the node a missing one,
// and is no reason to leave out what can be read.
func TestLocalFailsLate(t *testing.T) {
	d := newDay(t, 3)
	d.fail = func(_ context.Context, pod, block int) error {
		if pod == 1 && block == 50 {
			return errors.New("bad disk")
		}
		return nil
	}
	w := get(localHandler(d), path+"&step=6h")
	if body := w.Body.String(); w.Code != 200 || strings.Count(body, `"namespace"`) != 3 || strings.Count(body, `"timestamp"`) != 2*(4+3+4) ||
		!strings.Contains(body, `"answered":0,"complete":false,"missing":[{"node":"node-1","outcome":"truncated"`) || !strings.Contains(body, "bad disk") {
		t.Errorf("%d %s", w.Code, body)
	}
	w = get(localHandler(d), path+"&partial=deny")
	if body := w.Body.String(); w.Code != 503 || !strings.Contains(body, "bad disk") || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("deny: %d %s", w.Code, body)
	}
	// A container that could be in what is not read is not unknown.
	w = get(localHandler(d), strings.Replace(path, "/pod", "/pod/shop/pod-001/nobody", 1))
	if w.Code != 200 || !strings.Contains(w.Body.String(), "bad disk") {
		t.Errorf("unknown container: %d %s", w.Code, w.Body)
	}
}

// Nothing is read for a client that is gone, whether its going is noticed in
// writing or as the end of the request.
func TestLocalStopsReading(t *testing.T) {
	cases := map[string]struct {
		query string
		write bool // the going is noticed in writing, else in reading
		most  int  // chunks read
	}{
		"while rendering, by writing": {"", true, dayBlocks},
		"while rendering, by ctx":     {"", false, 10},
		"while checking":              {"&partial=deny", false, 10},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			d := newDay(t, 20)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			w := &discard{header: http.Header{}}
			if c.write {
				w.write = func() error { return errors.New("broken pipe") }
			} else {
				d.fail = func(ctx context.Context, _, block int) error {
					if block == 10 {
						cancel()
					}
					return ctx.Err()
				}
			}
			localHandler(d).ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, path+c.query, nil))
			if d.read > c.most {
				t.Errorf("%d chunks were read", d.read)
			}
		})
	}
}

// The timeout is for reading: a client may take its time, a disk may not.
func TestLocalTimeout(t *testing.T) {
	cases := map[string]struct {
		disk, client time.Duration // of each chunk, of each write
		complete     bool
	}{
		"fast":        {0, 0, true},
		"slow client": {0, time.Second, true},
		"slow disk":   {50 * time.Millisecond, 0, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDay(t, 5) // 480 chunks
				d.fail = func(ctx context.Context, _, _ int) error {
					time.Sleep(c.disk)
					return ctx.Err()
				}
				w := &discard{header: http.Header{}}
				writes := 0
				w.write = func() error {
					writes++
					time.Sleep(c.client)
					return nil
				}
				began := time.Now()
				localHandler(d).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path+"&timeout=10s", nil))
				if (d.read == len(d.pods)*dayBlocks) != c.complete || (!c.complete && time.Since(began) > 11*time.Second) || writes < 20 {
					t.Errorf("%d chunks were read within %v, and %d times written", d.read, time.Since(began), writes)
				}
			})
		})
	}
}

// BenchmarkLocalDay is a day of all pods of a full node, without the ring.
func BenchmarkLocalDay(b *testing.B) {
	h := localHandler(newDay(b, 110))
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(&discard{header: http.Header{}}, httptest.NewRequest(http.MethodGet, path, nil))
	}
}
