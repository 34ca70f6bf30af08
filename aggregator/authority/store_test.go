package authority

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// store is a namespace with the three objects, empty as the manifests make them.
// It refuses updates of an old version, as the API server does.
type store struct {
	mu         sync.Mutex
	secrets    map[string]*core.Secret
	configMaps map[string]*core.ConfigMap
	version    int
	down       bool
	skew       time.Duration // of the clock of whoever asks
	// meanwhile runs, once, between a Get and the Update after it.
	meanwhile func()
	updates   int
}

func newStore() *store {
	s := &store{secrets: map[string]*core.Secret{}, configMaps: map[string]*core.ConfigMap{}}
	for _, name := range []string{AuthoritySecret, GossipSecret} {
		s.secrets[name] = &core.Secret{ObjectMeta: meta.ObjectMeta{Name: name, ResourceVersion: "0"}}
	}
	s.configMaps[TrustConfigMap] = &core.ConfigMap{ObjectMeta: meta.ObjectMeta{Name: TrustConfigMap, ResourceVersion: "0"}}
	return s
}

var errDown = errors.New("dial tcp 10.96.0.1:443: connection refused")

func get[T any, P interface {
	*T
	DeepCopy() P
}](s *store, objects map[string]P, resource, name string) (P, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return nil, errDown
	}
	o, ok := objects[name]
	if !ok {
		return nil, apierrors.NewNotFound(schema.GroupResource{Resource: resource}, name)
	}
	return o.DeepCopy(), nil
}

func put[T any, P interface {
	*T
	DeepCopy() P
	meta.Object
}](s *store, objects map[string]P, resource string, o P) (P, error) {
	s.mu.Lock()
	meanwhile := s.meanwhile
	s.meanwhile = nil
	s.mu.Unlock()
	if meanwhile != nil {
		meanwhile()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return nil, errDown
	}
	if objects[o.GetName()].GetResourceVersion() != o.GetResourceVersion() {
		return nil, apierrors.NewConflict(schema.GroupResource{Resource: resource}, o.GetName(), errors.New("the object has been modified"))
	}
	s.version++
	s.updates++
	o = o.DeepCopy()
	o.SetResourceVersion(strconv.Itoa(s.version))
	objects[o.GetName()] = o
	return o.DeepCopy(), nil
}

// secretStore and configMapStore are the two interfaces of a store.
type (
	secretStore    struct{ *store }
	configMapStore struct{ *store }
)

func (s secretStore) Get(_ context.Context, name string, _ meta.GetOptions) (*core.Secret, error) {
	return get(s.store, s.secrets, "secrets", name)
}

func (s secretStore) Update(_ context.Context, o *core.Secret, _ meta.UpdateOptions) (*core.Secret, error) {
	return put(s.store, s.secrets, "secrets", o)
}

func (s configMapStore) Get(_ context.Context, name string, _ meta.GetOptions) (*core.ConfigMap, error) {
	return get(s.store, s.configMaps, "configmaps", name)
}

func (s configMapStore) Update(_ context.Context, o *core.ConfigMap, _ meta.UpdateOptions) (*core.ConfigMap, error) {
	return put(s.store, s.configMaps, "configmaps", o)
}

// set replaces what one key of a Secret holds; nil removes it.
func (s *store) set(secret, key string, content []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version++
	o := s.secrets[secret].DeepCopy()
	o.Data = map[string][]byte{key: content}
	if content == nil {
		o.Data = nil
	}
	o.ResourceVersion = strconv.Itoa(s.version)
	s.secrets[secret] = o
}

func (s *store) secret(name, key string) string { return string(s.secrets[name].Data[key]) }

func (s *store) bundle() string { return s.configMaps[TrustConfigMap].Data[bundleKey] }
