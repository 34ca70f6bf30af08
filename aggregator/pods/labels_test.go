package pods

import (
	"fmt"
	"maps"
	"runtime"
	"testing"
	"unsafe"

	"k8s.io/apimachinery/pkg/labels"
)

func TestLabels(t *testing.T) {
	set := map[string]string{"app": "web", "empty": ""}
	for name, tc := range map[string]struct {
		labels *Labels
		want   labels.Set
	}{
		"some": {newInterner().labels(set), set},
		"none": {newInterner().labels(nil), nil},
		"{}":   {newInterner().labels(map[string]string{}), nil},
	} {
		t.Run(name, func(t *testing.T) {
			var got labels.Labels = tc.labels
			for _, key := range []string{"app", "empty", "absent", ""} {
				value, ok := got.Lookup(key)
				wantValue, wantOk := tc.want.Lookup(key)
				if value != wantValue || ok != wantOk || got.Has(key) != wantOk || got.Get(key) != wantValue {
					t.Errorf("%q is %q, %v, want %q, %v", key, value, ok, wantValue, wantOk)
				}
			}
			if !maps.Equal(tc.labels.Map(), tc.want) {
				t.Errorf("map %v", tc.labels.Map())
			}
			selector, err := labels.Parse("app=web,!absent")
			if err != nil || selector.Matches(got) != tc.want.Has("app") {
				t.Errorf("selected: %v, %v", selector.Matches(got), err)
			}
		})
	}
}

func TestInternerShares(t *testing.T) {
	i := newInterner()
	a := i.labels(map[string]string{"app": "web", "tier": "front"})
	if b := i.labels(map[string]string{"tier": "front", "app": "web"}); a != b {
		t.Error("equal sets are not the same")
	}
	for _, other := range []map[string]string{{"app": "web"}, {"app": "front", "tier": "web"}, {"app": "web", "tier": "front", "x": ""}} {
		b := i.labels(other)
		if a == b || !maps.Equal(b.Map(), other) {
			t.Errorf("%v is %v", other, b.Map())
		}
	}
	set := map[string]string{"app": "web", "more": "x"}
	b := i.labels(set)
	if unsafe.StringData(a.Get("app")) != unsafe.StringData(b.Get("app")) {
		t.Error("two sets have two copies of a value")
	}
	set["app"] = "changed"
	if b.Get("app") != "web" {
		t.Error("a set is the caller's")
	}
}

// Sets with the same hash are themselves all the same, shared or not.
func TestInternerMeetsCollisions(t *testing.T) {
	i := newInterner()
	i.hash = func(map[string]string) uint64 { return 7 }
	one, two := map[string]string{"app": "one"}, map[string]string{"app": "two"}
	for range 3 {
		if a, b := i.labels(one), i.labels(two); a.Get("app") != "one" || b.Get("app") != "two" || i.labels(two) != b {
			t.Errorf("%v and %v", a.Map(), b.Map())
		}
	}
}

// Churn leaves nothing behind, neither of sets nor of strings.
func TestInternerForgets(t *testing.T) {
	i := newInterner()
	kept := i.labels(map[string]string{"app": "kept"})
	for n := range 60_000 {
		i.labels(map[string]string{"app": "web", "pod-template-hash": fmt.Sprint(n)})
		if n%10_000 == 0 {
			runtime.GC()
		}
		if len(i.sets) > 50_000 || len(i.strings) > maxStrings {
			t.Fatalf("%d sets and %d strings", len(i.sets), len(i.strings))
		}
	}
	runtime.GC()
	if n := i.count(); n != 1 {
		t.Errorf("%d sets are left", n)
	}
	if i.labels(map[string]string{"app": "kept"}) != kept {
		t.Error("a set in use was forgotten")
	}
	runtime.KeepAlive(kept)
}
