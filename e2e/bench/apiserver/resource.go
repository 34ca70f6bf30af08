package apiserver

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
)

// An object is one of the API.
type object interface {
	runtime.Object
	metav1.Object
}

// A resource is what can be listed and watched at one path. It is safe for
// concurrent use.
type resource struct {
	list   func() runtime.Object // an empty one
	empty  func() object
	listed atomic.Int64 // objects
	sent   atomic.Int64 // events

	mu      sync.Mutex
	states  map[int64]*state // by version
	now     *state
	events  []event       // all of them
	changed chan struct{} // closed when there is another one
}

// A state is all objects, in order, at a version. It does not change.
type state struct {
	version int64
	n       int
	object  func(i int) object
}

// An event is a change of one object.
type event struct {
	version int64
	kind    watch.EventType
	object  func() object
}

func newResource(list func() runtime.Object, empty func() object) *resource {
	return &resource{list: list, empty: empty, states: map[int64]*state{}, changed: make(chan struct{})}
}

// set says what there is at the beginning: n objects.
func (r *resource) set(n int, object func(i int) object) {
	r.now = &state{version: 1_000_000, n: n, object: object} // seven digits, as in clusters
	r.states[r.now.version] = r.now
}

func (r *resource) latest() *state {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now
}

// tell tells watches of changes, after which there is another state; nil: objects
// are made as before, and just look differently.
func (r *resource) tell(after *state, changes []event) {
	if len(changes) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	version := r.now.version
	for _, e := range changes {
		version++
		e.version = version
		r.events = append(r.events, e)
	}
	if after == nil {
		after = &state{n: r.now.n, object: r.now.object}
	}
	after.version = version
	r.now = after
	r.states[version] = after
	close(r.changed)
	r.changed = make(chan struct{})
}

// since is what was told after a version, the version then, and what is closed when
// there is more.
func (r *resource) since(version int64) ([]event, int64, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := len(r.events)
	for i > 0 && r.events[i-1].version > version {
		i--
	}
	return r.events[i:len(r.events):len(r.events)], r.now.version, r.changed
}

// ServeHTTP implements [http.Handler]: a list, page by page, or a watch.
func (r *resource) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	if watching(q) {
		r.serveWatch(w, q)
		return
	}
	query := q.URL.Query()
	page, from := r.latest(), 0
	if token := query.Get("continue"); token != "" {
		var err error
		if page, from, err = r.proceed(token); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	to := page.n
	if limit, _ := strconv.Atoi(query.Get("limit")); limit > 0 {
		to = min(to, from+limit)
	}
	items := make([]runtime.Object, 0, to-from)
	for i := from; i < to; i++ {
		items = append(items, page.object(i))
	}
	list := r.list()
	if err := meta.SetList(list, items); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	about, _ := meta.ListAccessor(list) // all lists have that
	about.SetResourceVersion(strconv.FormatInt(page.version, 10))
	if to < page.n {
		about.SetContinue(fmt.Sprintf("%d.%d", page.version, to))
		left := int64(page.n - to)
		about.SetRemainingItemCount(&left)
	}
	r.listed.Add(int64(len(items)))
	reply(w, q, http.StatusOK, list)
}

// proceed finds where a page begins.
func (r *resource) proceed(token string) (*state, int, error) {
	version, offset, _ := strings.Cut(token, ".")
	of, err := strconv.ParseInt(version, 10, 64)
	from, err2 := strconv.Atoi(offset)
	r.mu.Lock()
	defer r.mu.Unlock()
	page := r.states[of]
	if err != nil || err2 != nil || page == nil || from < 0 || from > page.n {
		return nil, 0, fmt.Errorf("continue: no token %q was given", token)
	}
	return page, from, nil
}
