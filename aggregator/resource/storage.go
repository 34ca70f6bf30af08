package resource

import (
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/rest"
)

// readOnly is what k8s.io/apiserver wants to know of a resource that can be read
// only.
type readOnly struct {
	kind         string
	object, list runtime.Object // empty ones
	namespaced   bool
	tables
}

// Lists and gets; what else there is would be refused.
var _ = []interface {
	rest.Lister
	rest.Getter
	rest.Scoper
	rest.KindProvider
	rest.SingularNameProvider
}{nodeStorage{}, podStorage{}}

// New implements [rest.Storage], as the methods that follow implement its other
// interfaces.
func (r readOnly) New() runtime.Object { return r.object.DeepCopyObject() }

func (r readOnly) NewList() runtime.Object { return r.list.DeepCopyObject() }

func (readOnly) Destroy() {}

func (r readOnly) Kind() string { return r.kind }

func (readOnly) GetSingularName() string { return "" }

func (r readOnly) NamespaceScoped() bool { return r.namespaced }
