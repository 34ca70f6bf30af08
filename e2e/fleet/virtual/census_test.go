package virtual

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// deployments are so many, every other of which shares a namespace.
func deployments(n int) []Deployment {
	var all []Deployment
	for i := range n {
		d := Deployment{Namespace: "shared", Name: fmt.Sprintf("app-%d-5dc9c6f44c", i)}
		if i%2 == 0 {
			d.Namespace = fmt.Sprintf("ns-%d", i)
		}
		all = append(all, d)
	}
	return all
}

// A census knows the pods that agents report, in each slot, and their containers.
func TestCensus(t *testing.T) {
	t.Parallel()
	cfg := *configOf(50)
	cfg.Deployments, cfg.life = deployments(10), shortLife
	c := castOf(t, &cfg)
	if err := c.play(); err != nil {
		t.Fatal(err)
	}
	census, err := NewCensus(cfg)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		var before map[model.PodRef]bool
		from, replaced := int64(0), 0
		for range 300 {
			time.Sleep(3 * time.Minute)
			slot := model.SlotOf(time.Now(), cfg.Resolution) - 15 // all have that
			residents := map[model.PodRef]bool{}
			of := make([]int, len(cfg.Deployments))
			byNode := map[string][]Resident{}
			for r := range census.At(slot) {
				residents[r.PodRef] = true
				of[r.Deployment]++
				if r.Namespace != cfg.Deployments[r.Deployment].Namespace || r.Start > slot {
					t.Fatalf("%+v is not of %v", r, cfg.Deployments[r.Deployment])
				}
				byNode[r.Node] = append(byNode[r.Node], r)
			}
			if len(residents) != 1500 || slices.Min(of) != 150 || slices.Max(of) != 150 {
				t.Fatalf("%d pods, of deployments %v", len(residents), of)
			}
			if before != nil {
				for gone, came := range census.Replaced(from, slot) {
					if !before[gone.PodRef] || residents[gone.PodRef] || before[came.PodRef] || !residents[came.PodRef] {
						t.Fatalf("%v was not replaced by %v", gone, came)
					}
					delete(before, gone.PodRef)
					before[came.PodRef] = true
					replaced++
				}
				for ref := range residents {
					if !before[ref] {
						t.Fatalf("%v came, and nobody said so", ref)
					}
				}
			}
			before, from = residents, slot
			node := nodeName(replaced % cfg.Nodes)
			compareCensus(t, byNode[node], newRing(c, replaced%cfg.Nodes), slot)
		}
		if replaced < 100 {
			t.Errorf("%d pods were replaced", replaced)
		}
	})
}

// compareCensus compares with what the node's agent says of a slot.
func compareCensus(t *testing.T, want []Resident, r *ring, slot int64) {
	t.Helper()
	at, scrape, ok := r.Scrape(slot)
	if at != slot || !ok || len(scrape.Groups) != 1+len(want) {
		t.Fatalf("slot %d, %v: %d groups, want %d", at, ok, len(scrape.Groups), 1+len(want))
	}
	for _, w := range want {
		i := slices.IndexFunc(scrape.Groups, func(g model.Group) bool { return g.Pod == w.PodRef })
		if i < 0 {
			t.Fatalf("the agent does not know %+v", w)
		}
		samples := scrape.Groups[i].Samples
		var names []string
		for _, s := range samples[1:] {
			names = append(names, s.Name)
		}
		if !slices.Equal(names, w.Containers) || len(names) != 1+w.Deployment%2 || samples[0].Start != w.Start {
			t.Fatalf("containers %v since %d, want %+v", names, samples[0].Start, w)
		}
	}
}

func TestDeploymentsThatCannotBe(t *testing.T) {
	t.Parallel()
	cfg := *configOf(600)
	for name, deployments := range map[string][]Deployment{
		"none": nil, "too few": deployments(1), "twice": append(deployments(10), deployments(1)...),
	} {
		cfg.Deployments = deployments
		if _, err := NewCensus(cfg); err == nil {
			t.Error(name)
		}
	}
}
