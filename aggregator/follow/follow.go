package follow

import (
	"context"
	"errors"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

const (
	// listTimeout bounds the request for one page, in seconds.
	listTimeout = 30
	// watchGrace is how long a watch may last beyond the time that the API server
	// was given. One that does not even answer would be waited for for ever.
	watchGrace = 30 * time.Second
)

// errListExpired is a list whose later pages the API server does not know any more:
// it keeps a state for 5 to 10 minutes. Client-go would ask for all in one piece,
// which, of whatever took that long in pages, is too much for either side.
var errListExpired = errors.New("the list expired before its last page")

// A Source is a resource at the API server, or as much of it as is wanted.
type Source struct {
	// List lists one page, with the options as they are but for selectors. Each
	// page is held until the last one has come, so it should have lost by then
	// whatever will not be kept; its items need not be of the type of Of. An error
	// counts as one of the API server.
	List cache.ListWithContextFunc
	// Watch begins a watch, likewise.
	Watch cache.WatchFuncWithContext
	// Of is an empty object of the type that a watch's events bring. Others are
	// dropped.
	Of runtime.Object
	// PageSize is how many objects one request lists; more than 0.
	PageSize int64
}

// A Store is where it goes what the API server says. The methods are called one at
// a time, Replace first. An error is for the log, for debugging; one of Replace has
// the list asked for anew.
type Store interface {
	// Set adds or changes an object.
	Set(obj any) error
	// Delete deletes an object, given as it was last.
	Delete(obj any) error
	// Replace has all objects, in the order of the pages. The slice is the store's.
	Replace(list []any) error
}

// Follow keeps a store what a source is, until ctx ends. It is called once. When the
// API server is away it tries again, at first after about a second, then less often,
// but at least once a minute; what the store has stays meanwhile.
func (c *Contact) Follow(ctx context.Context, from Source, into Store) {
	requests := pagedLists{&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, opts metav1.ListOptions) (runtime.Object, error) {
			got, err := list(ctx, from.List, opts)
			if ctx.Err() == nil {
				c.asked(listing, err)
			}
			return got, err
		},
		WatchFuncWithContext: func(parent context.Context, opts metav1.ListOptions) (watch.Interface, error) {
			ctx, cancel := context.WithTimeout(parent, time.Duration(*opts.TimeoutSeconds)*time.Second+watchGrace)
			w, err := from.Watch(ctx, opts)
			if parent.Err() == nil {
				c.asked(watching, err)
			}
			if err != nil {
				cancel()
				return nil, err
			}
			return limitedWatch{w, cancel}, nil
		},
	}}
	r := cache.NewReflectorWithOptions(requests, from.Of, reflected{c, into}, cache.ReflectorOptions{Name: c.resource})
	r.WatchListPageSize = from.PageSize
	r.RunWithContext(withQuietLog(ctx, c.log))
}

// list lists a page.
func list(ctx context.Context, page cache.ListWithContextFunc, opts metav1.ListOptions) (runtime.Object, error) {
	if opts.Limit == 0 {
		return nil, errListExpired // nothing else has client-go leave it out
	}
	// As it is now: the older state that the reflector would accept comes in one
	// piece, however large.
	opts.ResourceVersion, opts.ResourceVersionMatch = "", ""
	opts.TimeoutSeconds = new(int64(listTimeout))
	return page(ctx, opts)
}

// pagedLists has the reflector list page by page, which all API servers can.
// The other way, a watch that begins with everything, has client-go wait for as
// long as a minute when it should end.
type pagedLists struct{ *cache.ListWatch }

// IsWatchListSemanticsUnSupported is what the reflector looks for.
func (pagedLists) IsWatchListSemanticsUnSupported() bool { return true }

// limitedWatch is a watch whose context ends with it.
type limitedWatch struct {
	watch.Interface
	cancel context.CancelFunc
}

func (w limitedWatch) Stop() {
	w.Interface.Stop()
	w.cancel()
}

// reflected is a store as the reflector wants it.
type reflected struct {
	contact *Contact
	into    Store
}

// Add implements cache.ReflectorStore, as the methods that follow do.
func (r reflected) Add(obj any) error {
	r.contact.heard()
	return r.into.Set(obj)
}

func (r reflected) Update(obj any) error { return r.Add(obj) }

func (r reflected) Delete(obj any) error {
	r.contact.heard()
	return r.into.Delete(obj)
}

func (r reflected) Replace(list []any, _ string) error { return r.into.Replace(list) }

func (reflected) Resync() error { return nil }

// Bookmark comes about once a minute if nothing else does.
func (r reflected) Bookmark(string) error {
	r.contact.heard()
	return nil
}
