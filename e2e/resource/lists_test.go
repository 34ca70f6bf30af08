package resource

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
)

// crowd runs many pods on all nodes: so many in each of these namespaces.
func (f *fleet) crowd(each int, namespaces ...string) (names []string) {
	for _, namespace := range namespaces {
		for i := range each {
			name := fmt.Sprintf("%s/pod-%d", namespace, i) // 10 comes before 2
			f.run(f.nodes[f.expected.Nodes()[i%len(f.expected.Nodes())]], name+"/1", "app")
			names = append(names, name)
		}
	}
	slices.SortFunc(names, compareNames)
	return names
}

// compareNames compares "namespace/name" by namespace, then by name.
func compareNames(a, b string) int {
	return slices.Compare(strings.SplitN(a, "/", 2), strings.SplitN(b, "/", 2))
}

// namesOf are the names of a list.
func namesOf(list []string) []string {
	names := make([]string, len(list))
	for i, item := range list {
		names[i], _, _ = strings.Cut(item, ":")
	}
	return names
}

// Thousands of pods come in the same order each time, whoever is asked.
func TestOrderOfLists(t *testing.T) {
	inFleet(t, []string{"node-1", "node-2", "node-3"}, func(f *fleet) {
		all := f.crowd(700, "shop", "shop-a", "shop.b", "zoo") // '-' and '.' sort before '/'
		f.begin()
		for at := int64(92); at < 140; at += 15 {
			f.until(at)
			for i, a := range f.all {
				for range 2 {
					if got := namesOf(a.list("pods", "", nil)); !slices.Equal(got, all) {
						t.Fatalf("after %d s aggregator %d lists %d pods of %d, or in another order", at, i, len(got), len(all))
					}
				}
				if got := namesOf(a.list("pods", "shop-a", nil)); !slices.Equal(got, all[700:1400]) {
					t.Errorf("after %d s aggregator %d lists %d pods of shop-a", at, i, len(got))
				}
				if got := namesOf(a.list("nodes", "", nil)); !slices.Equal(got, f.expected.Nodes()) {
					t.Errorf("after %d s aggregator %d lists nodes %q", at, i, got)
				}
			}
		}
	})
}

// Of a list that changes while it is read page by page, in turn from two aggregators,
// nothing comes twice, and nothing is left out that was there all the time.
func TestPages(t *testing.T) {
	for seed := range uint64(5) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			inFleet(t, []string{"node-1", "node-2", "node-3"}, func(f *fleet) {
				dice := rand.New(rand.NewPCG(seed, 0))
				always := f.crowd(60, "shop", "shop-a")
				f.begin()
				f.until(92)
				token, pages, limit := "", 0, 3+dice.Int64N(9)
				var got []string
				for more := true; more; more = token != "" {
					page := f.all[pages%2]
					list, next := page.page("pods", "", &internalversion.ListOptions{Limit: limit, Continue: token})
					if next != "" && int64(len(list)) != limit {
						t.Fatalf("a page of %d that is not the last", len(list))
					}
					got, token = append(got, namesOf(list)...), next
					pages++
					always = f.churn(dice, always)
					f.until(92 + int64(pages)*dice.Int64N(3)*5)
				}
				if !slices.IsSortedFunc(got, compareNames) || len(slices.Compact(slices.Clone(got))) != len(got) {
					t.Errorf("out of order, or twice: %q", got)
				}
				for _, name := range always {
					if !slices.Contains(got, name) {
						t.Errorf("%s was left out", name)
					}
				}
			})
		})
	}
}

// churn has one pod end and another one begin. It returns which of the names are
// still those of the same pods.
func (f *fleet) churn(dice *rand.Rand, names []string) []string {
	i := dice.IntN(len(names))
	f.forget(names[i])
	namespace, _, _ := strings.Cut(names[i], "/")
	f.run(f.node(), fmt.Sprintf("%s/new-%d/1", namespace, dice.Uint32()), "app")
	return slices.Delete(names, i, i+1)
}

// A pod's labels, and a node's, count as soon as the API server has told of them.
func TestLabels(t *testing.T) {
	inFleet(t, []string{"node-1", "node-2"}, func(f *fleet) {
		f.run(f.node(), "shop/cart/1", "app")
		f.run(f.node(), "shop/till/1", "app")
		label := func(pod string, set map[string]string) { f.edit(pod, func(p *core.Pod) { p.Labels = set }) }
		label("shop/till", map[string]string{"tier": "back"})
		f.begin()
		f.until(92)
		want := func(selector, names string) {
			t.Helper()
			s, err := labels.Parse(selector)
			if err != nil {
				t.Fatal(err)
			}
			for i, a := range f.all {
				got := strings.Join(a.list("pods", "shop", &internalversion.ListOptions{LabelSelector: s}), ", ")
				if got != names {
					t.Errorf("aggregator %d lists %q for %s, want %q", i, got, selector, names)
				}
			}
		}
		const cart, till = "shop/cart: app 100m 64Mi @80 20s", "shop/till: app 100m 64Mi @80 20s"
		want("tier=back", till)
		want("tier!=back", cart)
		label("shop/cart", map[string]string{"tier": "back"})
		want("tier=back", cart+", "+till)
		label("shop/till", map[string]string{"tier": "front"})
		want("tier=back", cart)
		want("tier in (back,front)", cart+", "+till)
		label("shop/cart", nil)
		want("tier", till)
		want("!tier", cart)

		byZone := &internalversion.ListOptions{LabelSelector: labels.SelectorFromSet(labels.Set{"zone": "a"})}
		for zone, want := range map[string][]string{"a": {"node-2"}, "b": {}} {
			f.expected.labels = map[string]nodeLabels{"node-2": {"zone": zone}}
			if got := namesOf(f.all[0].list("nodes", "", byZone)); !slices.Equal(got, want) {
				t.Errorf("node-2 in zone %s: zone=a lists %q", zone, got)
			}
		}
		onNode := &internalversion.ListOptions{FieldSelector: fields.OneTermEqualSelector("spec.nodeName", "node-2")}
		if got := f.all[0].list("pods", "", onNode); len(got) > 0 {
			t.Errorf("pods on node-2: %q", got)
		}
	})
}
