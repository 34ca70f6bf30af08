package fullnode

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"

	stats "k8s.io/kubelet/pkg/apis/stats/v1alpha1"

	"github.com/rollcall-metrics/rollcall/agent/kubelet"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

const begin = 1795230000

func newNode(t *testing.T, m Motion) *Node {
	t.Helper()
	r, err := LoadRecording()
	if err != nil {
		t.Fatal(err)
	}
	n, err := New(r, m, 1, begin)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A document says what the scrape says, in Kubernetes' types.
func TestDocument(t *testing.T) {
	for _, m := range []Motion{Recorded, Moving} {
		t.Run(string(m), func(t *testing.T) {
			n := newNode(t, m)
			for i := range int64(20) {
				want := n.Next(begin + i*15)
				doc := n.AppendDocument(nil, true, i%2 == 0)
				strict := json.NewDecoder(bytes.NewReader(doc))
				strict.DisallowUnknownFields()
				if err := strict.Decode(&stats.Summary{}); err != nil {
					t.Fatal(err)
				}
				got, skipped, err := kubelet.Decode(doc)
				if err != nil || len(skipped) > 0 {
					t.Fatal(err, skipped)
				}
				if !reflect.DeepEqual(&got, want) {
					t.Fatalf("slot %d: the document says\n%.2000v\nwant\n%.2000v", i, got, *want)
				}
			}
		})
	}
}

// The node is as full as it says, and moves as it says.
func TestMotion(t *testing.T) {
	for _, m := range []Motion{Recorded, Moving} {
		t.Run(string(m), func(t *testing.T) {
			n := newNode(t, m)
			last := map[model.PodRef]map[string]model.Sample{}
			counters, moved, entities := 0, 0, 0
			for i := range int64(400) {
				s := n.Next(begin + i*15)
				if s.Entities() != 1+Pods+Containers {
					t.Fatalf("%d entities", s.Entities())
				}
				for _, g := range s.Groups {
					if last[g.Pod] == nil {
						last[g.Pod] = map[string]model.Sample{}
					}
					for _, now := range g.Samples {
						before, known := last[g.Pod][now.Name]
						last[g.Pod][now.Name] = now
						if !known || before.Start != now.Start {
							entities++
							continue
						}
						for c := range model.NumMetrics {
							if x, ok := now.Get(c); ok && c.Counter() {
								y, _ := before.Get(c)
								if x < y {
									t.Fatalf("%v of %s %q fell from %d to %d", c, g.Pod.Name, now.Name, y, x)
								}
								counters++
								if x > y {
									moved++
								} else if m == Moving {
									t.Fatalf("%v of %s %q stands still at %d", c, g.Pod.Name, now.Name, x)
								}
							}
						}
					}
				}
			}
			if share := float64(moved) / float64(counters); m == Recorded && (share < 0.1 || share > 0.3) {
				t.Errorf("%.2f of the counters moved, PSI included", share)
			}
			if entities < 1+Pods+Containers+5 {
				t.Errorf("%d entities in 400 slots: none was replaced", entities)
			}
		})
	}
}
