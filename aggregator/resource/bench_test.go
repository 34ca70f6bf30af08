package resource

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
)

// prebuilt is the storage of pods with lists that were made before: what the rest
// of an API server costs.
type prebuilt struct {
	podStorage
	lists map[string]runtime.Object
}

func (p prebuilt) List(ctx context.Context, _ *internalversion.ListOptions) (runtime.Object, error) {
	return p.lists[request.NamespaceValue(ctx)], nil
}

// BenchmarkNamespaceList lists 150 pods with two containers each, as a
// HorizontalPodAutoscaler does, of a fleet with 100 such namespaces on 500 nodes,
// beside the same objects that are only encoded.
func BenchmarkNamespaceList(b *testing.B) {
	var names []string
	for i := range 15_000 {
		names = append(names, fmt.Sprintf("ns-%03d/app-7d9c5b8f6d-%05d", i/150, i))
	}
	f := newFleet(names...)
	f.spread(500)
	ours := serve(b, f)
	lists := map[string]runtime.Object{}
	for i := range 100 {
		ns := fmt.Sprintf("ns-%03d", i)
		list, err := ours.storage["pods"].(rest.Lister).List(request.WithNamespace(b.Context(), ns), nil)
		if err != nil {
			b.Fatal(err)
		}
		lists[ns] = list
	}
	ideal := serveStorage(b, map[string]rest.Storage{"pods": prebuilt{podStorage: ours.storage["pods"].(podStorage), lists: lists}})
	for _, accept := range []string{runtime.ContentTypeProtobuf, runtime.ContentTypeJSON} {
		for name, c := range map[string]client{"rollcall": ours, "prebuilt": ideal} {
			b.Run(name+"/"+accept[12:], func(b *testing.B) {
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					rec := c.get(fmt.Sprintf("namespaces/ns-%03d/pods", i%100), accept)
					if rec.Code != http.StatusOK || rec.Body.Len() < 150*100 {
						b.Fatal(rec.Code, rec.Body.Len())
					}
				}
			})
		}
	}
}
