package follow_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	typedcore "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/rollcall-metrics/rollcall/aggregator/follow"
	"github.com/rollcall-metrics/rollcall/aggregator/follow/followtest"
)

// names is a store that keeps the names of nodes. It takes none that is called bad.
type names struct {
	mu   sync.Mutex
	kept map[string]bool
}

func (n *names) Set(obj any) error {
	name := obj.(*corev1.Node).Name
	if name == "bad" {
		return errors.New("bad")
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.kept[name] = true
	return nil
}

func (n *names) Delete(obj any) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.kept, obj.(*corev1.Node).Name)
	return nil
}

func (n *names) Replace(list []any) error {
	n.mu.Lock()
	n.kept = map[string]bool{}
	n.mu.Unlock()
	var errs []error
	for _, obj := range list {
		errs = append(errs, n.Set(obj))
	}
	return errors.Join(errs...)
}

// fixture is a store of nodes that follows a server, two a page.
type fixture struct {
	*testing.T
	*follow.Contact
	api   *followtest.Server
	store names
	reg   *prometheus.Registry
	log   bytes.Buffer // from debugging on
	stop  func()       // and wait for it
}

// following runs a test in a bubble. Prepare comes before anyone asks.
func following(t *testing.T, prepare, test func(f *fixture)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := &fixture{T: t, api: followtest.New(t), reg: prometheus.NewRegistry()}
		log := slog.New(slog.NewTextHandler(&f.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		f.Contact = follow.New("nodes", func() string { return "none" }, log, follow.NewMetrics(f.reg))
		core, err := typedcore.NewForConfig(f.api.Config())
		if err != nil {
			t.Fatal(err)
		}
		prepare(f)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			f.Follow(ctx, follow.Source{
				List: func(ctx context.Context, opts metav1.ListOptions) (runtime.Object, error) {
					return core.Nodes().List(ctx, opts)
				},
				Watch: core.Nodes().Watch, Of: &corev1.Node{}, PageSize: 2,
			}, &f.store)
		})
		f.stop = func() {
			cancel()
			wg.Wait()
		}
		t.Cleanup(f.stop)
		test(f)
	})
}

func (f *fixture) want(step string, after time.Duration, want string) {
	f.Helper()
	time.Sleep(after) // of the bubble's clock
	synctest.Wait()
	f.store.mu.Lock()
	defer f.store.mu.Unlock()
	if got := strings.Join(slices.Sorted(maps.Keys(f.store.kept)), " "); got != want {
		f.Errorf("%s: kept %q, want %q", step, got, want)
	}
}

func node(name string) *corev1.Node { return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}} }

func TestFollow(t *testing.T) {
	following(t, func(f *fixture) {
		f.api.Set(node("a"), node("b"), node("c"))
	}, func(f *fixture) {
		f.want("pages", 0, "a b c")
		if asked := f.api.Asked(followtest.NodesPath); len(asked) != 3 || asked[0].Get("limit") != "2" || asked[0].Has("resourceVersion") || asked[0].Get("timeout") != "30s" {
			t.Errorf("asked %v", asked)
		}
		f.api.Set(node("d"), node("bad"))
		f.want("added", 0, "a b c d")
		f.api.Remove(node("a"))
		f.api.Send(followtest.NodesPath, watch.Event{Type: watch.Modified, Object: &corev1.Pod{}})
		f.want("deleted", 0, "b c d")
		f.api.Remove(node("bad"))
		f.api.Forget(node("b"))
		f.api.Send(followtest.NodesPath, watch.Event{Type: watch.Error, Object: &apierrors.NewResourceExpired("too old").ErrStatus})
		f.want("listed anew", 5*time.Second, "c d")
		f.stop()
		if strings.Contains(f.log.String(), "level=WARN") || strings.Contains(f.log.String(), "level=ERROR") {
			t.Errorf("logged %s", &f.log)
		}
	})
}

// Page 2 expires, again and again: all in one piece is not asked for.
func TestListExpires(t *testing.T) {
	following(t, func(f *fixture) {
		f.api.Set(node("a"), node("b"), node("c"))
		expired := followtest.Status(apierrors.NewResourceExpired("the provided continue parameter is too old"))
		f.api.Answer(followtest.NodesPath, func(w http.ResponseWriter, r *http.Request) bool {
			return r.URL.Query().Has("continue") && expired(w, r)
		})
	}, func(f *fixture) {
		f.want("expired", 10*time.Minute, "")
		asked := f.api.Asked(followtest.NodesPath)
		for _, q := range asked {
			if q.Get("limit") != "2" {
				t.Errorf("asked for %v", q)
			}
		}
		if len(asked) < 20 || len(asked) > 120 {
			t.Errorf("asked %d times in 10 minutes", len(asked))
		}
		if _, failed := f.State(); failed == nil || failed.Verb != "list" || failed.Err.Error() != "the list expired before its last page" ||
			failed.Hint("nodes") != " See why it takes the API server so long to list them." {
			t.Errorf("failed: %+v", failed)
		}
		f.api.Answer(followtest.NodesPath, nil)
		f.want("not any more", 2*time.Minute, "a b c")
		if _, failed := f.State(); failed != nil {
			t.Errorf("failed: %+v", failed)
		}
	})
}

func TestState(t *testing.T) {
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "nodes"}, "", fmt.Errorf("no"))
	following(t, func(f *fixture) {
		f.api.Set(node("a"))
		f.api.SetDown(true)
		if last, failed := f.State(); !last.IsZero() || failed != nil {
			t.Errorf("at first: %v, %+v", last, failed)
		}
	}, func(f *fixture) {
		began := time.Now()
		f.want("down", time.Hour, "")
		last, failed := f.State()
		if !last.IsZero() || failed == nil || failed.Verb != "list" || !failed.Since.Equal(began) || failed.Hint("nodes") != " See whether this aggregator reaches the API server." {
			t.Errorf("down: %v, %+v", last, failed)
		}
		f.api.SetDown(false)
		f.want("up", 2*time.Minute, "a")
		if last, failed = f.State(); last.Before(began.Add(time.Hour)) || failed != nil {
			t.Errorf("up: %v, %+v", last, failed)
		}
		f.api.Answer(followtest.NodesPath, followtest.ToWatches(followtest.Status(forbidden)))
		f.api.Cut()
		f.want("no watch", time.Minute, "a")
		if last, failed = f.State(); time.Since(last) > time.Minute || failed == nil || failed.Verb != "watch" || failed.Hint("nodes") != " Grant this aggregator's service account list and watch on nodes." {
			t.Errorf("no watch: %v, %+v", last, failed)
		}
		f.api.Answer(followtest.NodesPath, nil)
		f.want("all is well", 2*time.Minute, "a")
		f.api.Send(followtest.NodesPath, watch.Event{Type: watch.Bookmark, Object: node("")})
		synctest.Wait()
		if last, failed = f.State(); !last.Equal(time.Now()) || failed != nil {
			t.Errorf("all is well: %v, %+v", last, failed)
		}
		const want = `
# HELP rollcall_apiserver_contact_timestamp_seconds When the API server last said something about a resource, once a minute at least, in Unix seconds; 0: never.
# TYPE rollcall_apiserver_contact_timestamp_seconds gauge
rollcall_apiserver_contact_timestamp_seconds{resource="nodes"} 9.466887e+08
`
		if err := testutil.GatherAndCompare(f.reg, strings.NewReader(want), "rollcall_apiserver_contact_timestamp_seconds"); err != nil {
			t.Error(err)
		}
		f.stop()
		if got := strings.Count(f.log.String(), "level=WARN"); got != 2 {
			t.Errorf("%d warnings: %s", got, &f.log)
		}
	})
}

// Two users of one registry follow two resources.
func TestMetricsAreShared(t *testing.T) {
	reg := prometheus.NewRegistry()
	m := follow.NewMetrics(reg)
	for _, resource := range []string{"nodes", "pods"} {
		follow.New(resource, nil, slog.New(slog.DiscardHandler), m)
	}
	if n, err := testutil.GatherAndCount(reg); err != nil || n != 2*(1+4) {
		t.Errorf("%d series, %v", n, err)
	}
}
