package expected

import (
	"maps"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
)

func TestLabels(t *testing.T) {
	for name, node := range map[string]*corev1.Node{
		"24 labels": realistic(7), "an empty one": nodeWith("n", "empty="), "none": {},
	} {
		t.Run(name, func(t *testing.T) {
			want := labels.Set(node.Labels)
			l := Labels{nodeOf(node).labels}
			var got labels.Labels = l
			for _, key := range []string{"kubernetes.io/os", "empty", "absent", "zzz", "", "topology.kubernetes.io/zone"} {
				value, ok := got.Lookup(key)
				wantValue, wantOk := want.Lookup(key)
				if value != wantValue || ok != wantOk || got.Has(key) != wantOk || got.Get(key) != wantValue {
					t.Errorf("%q is %q, %v, want %q, %v", key, value, ok, wantValue, wantOk)
				}
			}
			if !maps.Equal(l.Map(), want) {
				t.Errorf("map %v, want %v", l.Map(), want)
			}
			selector, err := labels.Parse("kubernetes.io/os=linux,!absent")
			if err != nil || selector.Matches(got) != (len(want) > 0) {
				t.Errorf("selected: %v, %v", selector.Matches(got), err)
			}
		})
	}
}

// BenchmarkLabelsMatch matches a selector, for which there is no need of a map.
func BenchmarkLabelsMatch(b *testing.B) {
	selector, err := labels.Parse("kubernetes.io/os=linux,topology.kubernetes.io/zone in (eu-west-1a, eu-west-1b)")
	if err != nil {
		b.Fatal(err)
	}
	l := Labels{nodeOf(realistic(0)).labels}
	var view labels.Labels = l
	b.ReportAllocs()
	for b.Loop() {
		if !selector.Matches(view) {
			b.Fatal("does not match")
		}
	}
}
