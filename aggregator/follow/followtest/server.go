// Package followtest has an API server for tests of what follows one.
package followtest

import (
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
)

// The paths at which a [Server] answers.
const (
	NodesPath = "/api/v1/nodes"
	PodsPath  = "/api/v1/pods" // of all namespaces
	// DaemonSetsPath is of the namespace rollcall.
	DaemonSetsPath = "/apis/apps/v1/namespaces/rollcall/daemonsets"
)

// A Server is as much of an API server as Rollcall follows: nodes, pods and
// DaemonSets, to list page by page and to watch, by the field selectors in use. It
// answers over HTTP and net.Pipe, so that it works in a bubble of synctest. Whatever
// it is told to do it does to one path. It is safe for concurrent use.
type Server struct {
	t testing.TB

	mu       sync.Mutex
	version  int64
	kinds    map[string]*kind // by path
	requests []string         // path?query of each
	down     bool
	conns    []net.Conn
}

// kind is what there is at one path.
type kind struct {
	empty   func() runtime.Object // a list
	objects map[string]Object     // by namespace/name
	watches []*watcher
	answer  Answer // nil: none
}

// watcher is a watch of what matches.
type watcher struct {
	only   fields.Selector
	events chan watch.Event
}

// An Object is a pointer to a Node, Pod or DaemonSet.
type Object interface {
	runtime.Object
	metav1.Object
}

// An Answer answers a request, and then tells so; or leaves that to the [Server].
type Answer func(w http.ResponseWriter, r *http.Request) bool

// New makes a Server without objects.
func New(t testing.TB) *Server {
	of := func(empty func() runtime.Object) *kind { return &kind{empty: empty, objects: map[string]Object{}} }
	return &Server{t: t, version: 1, kinds: map[string]*kind{
		NodesPath:      of(func() runtime.Object { return &corev1.NodeList{} }),
		PodsPath:       of(func() runtime.Object { return &corev1.PodList{} }),
		DaemonSetsPath: of(func() runtime.Object { return &appsv1.DaemonSetList{} }),
	}}
}

// Set adds or changes objects, and tells watches. They are the server's from then on.
func (s *Server) Set(objects ...Object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range objects {
		s.version++
		o.SetResourceVersion(strconv.FormatInt(s.version, 10))
		k := s.kinds[pathOf(o)]
		old := k.objects[keyOf(o)]
		k.objects[keyOf(o)] = o
		k.tell(old, o)
	}
}

// Remove removes an object, of which only kind and name matter, and tells watches.
func (s *Server) Remove(o Object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version++
	k := s.kinds[pathOf(o)]
	old := k.objects[keyOf(o)].DeepCopyObject().(Object)
	old.SetResourceVersion(strconv.FormatInt(s.version, 10))
	delete(k.objects, keyOf(o))
	k.tell(old, nil)
}

// Forget removes an object, of which only kind and name matter, without telling
// anyone.
func (s *Server) Forget(o Object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.kinds[pathOf(o)].objects, keyOf(o))
}

// Send sends an event to the watches of a path.
func (s *Server) Send(path string, e watch.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.kinds[path].watches {
		w.events <- e
	}
}

// Answer has a path answer like that, until it is called with nil.
func (s *Server) Answer(path string, answer Answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kinds[path].answer = answer
}

// SetDown has nobody listen any more, and cuts what is connected; or the
// opposite.
func (s *Server) SetDown(down bool) {
	s.mu.Lock()
	s.down = down
	s.mu.Unlock()
	if down {
		s.Cut()
	}
}

// Cut cuts all connections.
func (s *Server) Cut() {
	s.mu.Lock()
	conns := s.conns
	s.conns = nil
	s.mu.Unlock()
	for _, c := range conns {
		_ = c.Close()
	}
}

// Asked are the requests for a path since the last call.
func (s *Server) Asked(path string) (queries []url.Values) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = slices.DeleteFunc(s.requests, func(r string) bool {
		u, _ := url.Parse(r)
		if u.Path != path {
			return false
		}
		queries = append(queries, u.Query())
		return true
	})
	return queries
}

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests = append(s.requests, r.URL.String())
	k := s.kinds[r.URL.Path]
	if answer := k.answer; answer != nil {
		s.mu.Unlock()
		if answer(w, r) {
			return
		}
		s.mu.Lock()
	}
	only := fields.ParseSelectorOrDie(r.URL.Query().Get("fieldSelector"))
	if !Watching(r) {
		list := k.list(s.version, r.URL.Query(), only)
		s.mu.Unlock()
		w.Header().Set("Content-Type", Protobuf)
		_ = encoder().Encode(list, w)
		return
	}
	added := &watcher{only: only, events: make(chan watch.Event, 100)}
	k.watches = append(k.watches, added)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		k.watches = slices.DeleteFunc(k.watches, func(w *watcher) bool { return w == added })
	}()
	serveWatch(w, r, added.events)
}

// list is a page, by namespace and name.
func (k *kind) list(version int64, query url.Values, only fields.Selector) runtime.Object {
	var keys []string
	for key, o := range k.objects {
		if only.Matches(fieldsOf(o)) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	page := metav1.ListMeta{ResourceVersion: strconv.FormatInt(version, 10)}
	from, _ := strconv.Atoi(query.Get("continue"))
	to := len(keys)
	if limit, _ := strconv.Atoi(query.Get("limit")); limit > 0 && from+limit < to {
		to = from + limit
		page.Continue = strconv.Itoa(to)
	}
	var items []runtime.Object
	for _, key := range keys[min(from, to):to] {
		items = append(items, k.objects[key])
	}
	list := k.empty()
	_ = meta.SetList(list, items)
	m, _ := meta.ListAccessor(list)
	m.SetResourceVersion(page.ResourceVersion)
	m.SetContinue(page.Continue)
	return list
}

// tell tells watches that an object was old and is new; nil: it was or is not. Who
// asked for some only sees objects come and go as they begin and cease to match.
func (k *kind) tell(old, changed Object) {
	for _, w := range k.watches {
		was := old != nil && w.only.Matches(fieldsOf(old))
		is := changed != nil && w.only.Matches(fieldsOf(changed))
		switch {
		case was && is:
			w.events <- watch.Event{Type: watch.Modified, Object: changed}
		case is:
			w.events <- watch.Event{Type: watch.Added, Object: changed}
		case was && changed != nil:
			w.events <- watch.Event{Type: watch.Deleted, Object: changed}
		case was:
			w.events <- watch.Event{Type: watch.Deleted, Object: old}
		}
	}
}

func pathOf(o Object) string {
	switch o.(type) {
	case *corev1.Node:
		return NodesPath
	case *corev1.Pod:
		return PodsPath
	}
	return DaemonSetsPath
}

func keyOf(o Object) string { return o.GetNamespace() + "/" + o.GetName() }

// fieldsOf are the fields of an object that can be selected by.
func fieldsOf(o Object) fields.Set {
	set := fields.Set{metav1.ObjectNameField: o.GetName()}
	if pod, ok := o.(*corev1.Pod); ok {
		set["status.phase"] = string(pod.Status.Phase)
	}
	return set
}
