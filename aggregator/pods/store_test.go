package pods

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
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
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	typedcore "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/rollcall-metrics/rollcall/aggregator/follow"
	"github.com/rollcall-metrics/rollcall/aggregator/follow/followtest"
)

// longEnough is more than client-go ever waits before it tries again.
const longEnough = 2 * time.Minute

// fixture is a Store and the API server that it asks.
type fixture struct {
	*testing.T
	*Store
	api *followtest.Server
	reg *prometheus.Registry
	log bytes.Buffer
}

// inCluster runs a test in a bubble, with a Store of some namespaces that does not run
// yet.
func inCluster(t *testing.T, namespaces []string, test func(f *fixture)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := &fixture{T: t, api: followtest.New(t), reg: prometheus.NewRegistry()}
		core, err := typedcore.NewForConfig(f.api.Config())
		if err != nil {
			t.Fatal(err)
		}
		f.Store = New(Config{Pods: core.Pods(""), Namespaces: namespaces}, follow.NewMetrics(f.reg), slog.New(slog.NewTextHandler(&f.log, nil)), f.reg)
		test(f)
	})
}

// start has it run until the test ends.
func (f *fixture) start() {
	ctx, cancel := context.WithCancel(f.Context())
	var running sync.WaitGroup
	running.Go(func() { f.Store.Run(ctx) })
	f.Cleanup(func() {
		cancel()
		running.Wait()
	})
	synctest.Wait()
}

func (f *fixture) wait(d time.Duration) {
	time.Sleep(d) // of the bubble's clock
	synctest.Wait()
}

// want is what is kept: namespace/name=UID@node of each.
func (f *fixture) want(step, want string) {
	f.Helper()
	synctest.Wait()
	var got []string
	for p := range f.All("") {
		got = append(got, fmt.Sprintf("%s/%s=%s@%s", p.Namespace, p.Name, p.UID, p.Node))
		if same, ok := f.Get(p.Namespace, p.Name); !ok || same != p {
			f.Errorf("%s: Get has %v for %v", step, same, p)
		}
	}
	if got := strings.Join(got, " "); got != want {
		f.Errorf("%s: %q, want %q", step, got, want)
	}
}

// pod is a running pod a/b with the UID u on the node n, of "a/b=u@n", with labels k=v.
func pod(s string, labels ...string) *corev1.Pod {
	s, node, _ := strings.Cut(s, "@")
	s, uid, _ := strings.Cut(s, "=")
	namespace, name, _ := strings.Cut(s, "/")
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID(uid)},
		Spec:       corev1.PodSpec{NodeName: node},
		Status:     corev1.PodStatus{Phase: corev1.PodRunning},
	}
	for _, l := range labels {
		key, value, _ := strings.Cut(l, "=")
		if p.Labels == nil {
			p.Labels = map[string]string{}
		}
		p.Labels[key] = value
	}
	return p
}

func inPhase(p *corev1.Pod, phase corev1.PodPhase) *corev1.Pod {
	p.Status.Phase = phase
	return p
}

func TestStoreFollows(t *testing.T) {
	inCluster(t, nil, func(f *fixture) {
		f.api.Set(pod("b/y=1@n1"), pod("a/x=2@n2"), pod("a-b/x=3@n1"), inPhase(pod("a/pending=4@n1"), corev1.PodPending))
		f.want("before it runs", "")
		f.start()
		f.want("listed", "a/x=2@n2 a-b/x=3@n1 b/y=1@n1")
		if err := f.Synced(); err != nil {
			t.Error(err)
		}
		f.api.Set(pod("a/w=5@n2"), inPhase(pod("a/v=6@n2"), corev1.PodPending))
		f.want("added", "a/w=5@n2 a/x=2@n2 a-b/x=3@n1 b/y=1@n1")
		f.api.Set(inPhase(pod("a/w=5@n2"), corev1.PodSucceeded), pod("a/v=6@n2"), inPhase(pod("a/pending=4@n1"), corev1.PodFailed))
		f.want("phases changed", "a/v=6@n2 a/x=2@n2 a-b/x=3@n1 b/y=1@n1")
		terminating := pod("a/v=6@n2")
		terminating.DeletionTimestamp = new(metav1.Now())
		f.api.Set(terminating)
		f.want("terminating", "a/v=6@n2 a/x=2@n2 a-b/x=3@n1 b/y=1@n1")
		f.api.Remove(pod("a/v"))
		f.api.Remove(pod("a/x"))
		f.want("deleted", "a-b/x=3@n1 b/y=1@n1")
		f.api.Set(pod("b/y=7@n3"))
		f.want("made anew without a word about the old one", "a-b/x=3@n1 b/y=7@n3")
		f.api.Remove(pod("b/y"))
		f.api.Set(pod("b/y=8@n3"))
		f.want("made anew", "a-b/x=3@n1 b/y=8@n3")

		before := f.now.Load()
		busy := pod("b/y=8@n3")
		busy.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionFalse}}
		f.api.Set(busy)
		synctest.Wait()
		if f.now.Load() != before {
			t.Error("changed though nothing has that is kept")
		}
		for _, q := range f.api.Asked(followtest.PodsPath) {
			if q.Get("fieldSelector") != "status.phase=Running" || !q.Has("watch") && (q.Get("limit") != fmt.Sprint(pageSize) || q.Has("resourceVersion")) {
				t.Errorf("asked with %v", q)
			}
		}
		if lines := strings.Split(strings.TrimSpace(f.log.String()), "\n"); len(lines) != 1 || !strings.Contains(lines[0], `msg="pods listed by the API server" pods=3 labelSets=0`) {
			t.Errorf("logged %q", lines)
		}
	})
}

func TestLabelChangeCounts(t *testing.T) {
	inCluster(t, nil, func(f *fixture) {
		f.api.Set(pod("a/x=1@n1", "app=web", "track=stable"), pod("a/y=2@n1", "app=web", "track=stable"), pod("a/z=3@n1"))
		f.start()
		x, _ := f.Get("a", "x")
		y, _ := f.Get("a", "y")
		z, _ := f.Get("a", "z")
		if x.Labels != y.Labels || x.Labels.Get("app") != "web" || z.Labels != nil {
			t.Errorf("labels %v, %v and %v", x.Labels, y.Labels, z.Labels)
		}
		f.api.Set(pod("a/x=1@n1", "app=web", "track=canary"))
		synctest.Wait()
		changed, _ := f.Get("a", "x")
		if changed.Labels.Get("track") != "canary" || x.Labels.Get("track") != "stable" {
			t.Errorf("changed %v, was %v", changed.Labels, x.Labels)
		}
		f.api.Set(pod("a/x=1@n1", "track=stable", "app=web"))
		synctest.Wait()
		if back, _ := f.Get("a", "x"); back.Labels != y.Labels || *back != *x {
			t.Errorf("back %v", back)
		}
	})
}

func TestNamespaces(t *testing.T) {
	inCluster(t, []string{"b", "d"}, func(f *fixture) {
		f.api.Set(pod("a/x=1@n"), pod("b/x=2@n"), pod("c/x=3@n"))
		f.start()
		f.want("listed", "b/x=2@n")
		f.api.Set(pod("c/y=4@n"), pod("d/y=5@n"))
		f.want("added", "b/x=2@n d/y=5@n")
		f.api.Remove(pod("c/x"))
		f.want("deleted", "b/x=2@n d/y=5@n")
		for namespace, want := range map[string]int{"": 2, "a": 0, "b": 1, "d": 1, "e": 0} {
			got := slices.Collect(f.All(namespace))
			if len(got) != want || want == 1 && got[0].Namespace != namespace {
				t.Errorf("%q: %v", namespace, got)
			}
		}
	})
}

// A static pod's UID is what the kubelet says, and not its mirror's.
func TestStaticPod(t *testing.T) {
	inCluster(t, nil, func(f *fixture) {
		mirror := func(hash string) *corev1.Pod {
			p := pod("kube-system/etcd-n1=11111111-1111-1111-1111-111111111111@n1")
			p.Annotations = map[string]string{"kubernetes.io/config.mirror": hash, "kubernetes.io/config.source": "file"}
			return p
		}
		f.api.Set(mirror("31fafec3d50b9bcf6b94bd4ddb3f8c06"))
		f.start()
		f.want("listed", "kube-system/etcd-n1=31fafec3d50b9bcf6b94bd4ddb3f8c06@n1")
		f.api.Remove(mirror(""))
		f.api.Set(mirror("0cc175b9c0f1b6a831c399e269772661"))
		f.want("another manifest", "kube-system/etcd-n1=0cc175b9c0f1b6a831c399e269772661@n1")
	})
}

func TestStoreListsPages(t *testing.T) {
	inCluster(t, nil, func(f *fixture) {
		var want []string
		for i := range 2*pageSize + 1 {
			s := fmt.Sprintf("ns-%02d/pod-%04d=%d@n%d", i%7, i, i, i%3)
			want = append(want, s)
			f.api.Set(pod(s, "app=web"))
		}
		slices.Sort(want)
		f.start()
		f.want("listed", strings.Join(want, " "))
		lists := slices.DeleteFunc(f.api.Asked(followtest.PodsPath), func(q url.Values) bool { return q.Has("watch") })
		if len(lists) != 3 || f.interner.count() != 1 {
			t.Errorf("%d lists, %d sets of labels", len(lists), f.interner.count())
		}
	})
}

// After the watch has expired all is listed anew; what has not changed stays the same.
func TestWatchExpires(t *testing.T) {
	inCluster(t, nil, func(f *fixture) {
		f.api.Set(pod("a/x=1@n"), pod("a/y=2@n"), pod("a/z=3@n"))
		f.start()
		before, _ := f.Get("a", "x")
		f.api.Forget(pod("a/y"))
		f.api.Send(followtest.PodsPath, watch.Event{Type: watch.Error, Object: &apierrors.NewResourceExpired("too old").ErrStatus})
		f.wait(longEnough)
		f.want("listed anew", "a/x=1@n a/z=3@n")
		if after, _ := f.Get("a", "x"); after != before {
			t.Error("a pod that has not changed is another one")
		}
	})
}

func TestStoreWithoutAPIServer(t *testing.T) {
	inCluster(t, nil, func(f *fixture) {
		f.api.Set(pod("a/x=1@n"))
		wantErr := func(step, want string) {
			t.Helper()
			if err := f.Synced(); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: synced says %v, want %q", step, err, want)
			}
		}
		wantErr("before it runs", "the API server has not listed the pods yet")
		f.api.SetDown(true)
		f.start()
		f.wait(time.Hour)
		f.want("down at the start", "")
		wantErr("down at the start", "the API server cannot be asked for pods since 2000-01-01T00:00:00Z (list: ")
		wantErr("down at the start", "connection refused). See whether this aggregator reaches the API server.")
		f.api.SetDown(false)
		f.api.Answer(followtest.PodsPath, followtest.Status(apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "", errors.New("no"))))
		f.wait(longEnough)
		wantErr("forbidden", "Grant this aggregator's service account list and watch on pods, with a ClusterRole.")
		f.api.Answer(followtest.PodsPath, followtest.Text("application/json", "{}"))
		f.wait(longEnough)
		wantErr("not an API server", "it has no resource version")
		f.api.Answer(followtest.PodsPath, followtest.Text("application/json", `{"metadata":{"resourceVersion":"1"},"items":[{"metadata":{"namespace":"a"}}]}`))
		f.wait(longEnough)
		wantErr("a pod without name", `a pod has no name: "" in namespace "a"`)
		f.api.Answer(followtest.PodsPath, nil)
		f.wait(longEnough)
		f.want("up", "a/x=1@n")
		if err := f.Synced(); err != nil {
			t.Error(err)
		}

		f.api.SetDown(true)
		f.api.Set(pod("a/y=2@n"))
		f.wait(time.Hour)
		f.want("down", "a/x=1@n")
		if err := f.Synced(); err != nil {
			t.Error(err)
		}
		if !strings.Contains(f.log.String(), `meanwhile="pods are those that it named last"`) {
			t.Errorf("logged %s", &f.log)
		}
		f.api.SetDown(false)
		f.api.Set(pod("a/z=3@n"))
		f.wait(longEnough)
		f.api.Send(followtest.PodsPath, watch.Event{Type: watch.Error, Object: &apierrors.NewResourceExpired("too old").ErrStatus})
		f.wait(longEnough)
		f.want("up again", "a/x=1@n a/y=2@n a/z=3@n")
	})
}

// The list of a cluster in which nothing runs is one.
func TestNoPods(t *testing.T) {
	inCluster(t, nil, func(f *fixture) {
		f.start()
		f.want("listed", "")
		if err := f.Synced(); err != nil {
			t.Error(err)
		}
	})
}

func TestBadObjects(t *testing.T) {
	inCluster(t, nil, func(f *fixture) {
		s := reflected{f.Store}
		for name, err := range map[string]error{
			"set a node":          s.Set(&corev1.Node{}),
			"set nil":             s.Set(nil),
			"set without a name":  s.Set(pod("a/=1@n")),
			"delete a node":       s.Delete(&corev1.Node{}),
			"no namespace":        s.Delete(pod("/x")),
			"replace with a pod":  s.Replace([]any{pod("a/x=1@n")}),
			"replace with a node": s.Replace([]any{&corev1.Node{}}),
		} {
			if err == nil {
				t.Errorf("%s: no error", name)
			}
		}
		if f.Synced() == nil {
			t.Error("synced by bad objects")
		}
		f.api.Set(pod("a/x=1@n"))
		f.start()
		f.api.Send(followtest.PodsPath, watch.Event{Type: watch.Modified, Object: pod("a/=2@n")})
		f.api.Send(followtest.PodsPath, watch.Event{Type: watch.Added, Object: &corev1.Node{}})
		f.api.Send(followtest.PodsPath, watch.Event{Type: watch.Deleted, Object: pod("a/unknown=2@n")})
		f.api.Set(pod("a/y=3@n"))
		f.want("after bad events", "a/x=1@n a/y=3@n")
	})
}

// Readers have all pods as they were at one time, and wait for nobody.
func TestReadersAndChanges(t *testing.T) {
	inCluster(t, nil, func(f *fixture) {
		s := reflected{f.Store}
		const each = 2000 // in two namespaces, always as many in one as in the other
		if err := s.Replace(nil); err != nil {
			t.Fatal(err)
		}
		var readers sync.WaitGroup
		ended := make(chan struct{})
		for range 4 {
			readers.Go(func() {
				for {
					select {
					case <-ended:
						return
					default:
					}
					all := slices.Collect(f.All(""))
					if !slices.IsSortedFunc(all, func(a, b *Pod) int { return a.compare(b.Namespace, b.Name) }) {
						t.Error("not in order")
					}
					for _, p := range all {
						if p.Labels.Get("app") != p.Namespace {
							t.Errorf("%v has the labels %v", p, p.Labels.Map())
						}
					}
					f.Get("a", "pod-0001")
					f.interner.count()
				}
			})
		}
		for i := range each {
			for _, namespace := range []string{"a", "b"} {
				if err := s.Set(pod(fmt.Sprintf("%s/pod-%04d=%d@n", namespace, i*7919%each, i), "app="+namespace)); err != nil {
					t.Error(err)
				}
			}
			if i%3 == 0 {
				_ = s.Delete(pod(fmt.Sprintf("a/pod-%04d", i/3)))
			}
		}
		close(ended)
		readers.Wait()
	})
}

func TestStoreMetrics(t *testing.T) {
	inCluster(t, nil, func(f *fixture) {
		compare := func(step string, listed, running, sets int) {
			t.Helper()
			want := fmt.Sprintf(`
# HELP rollcall_pods_label_sets Different sets of labels that running pods have or had lately; pods with the same labels share them.
# TYPE rollcall_pods_label_sets gauge
rollcall_pods_label_sets %d
# HELP rollcall_pods_listed 1: the API server has said which pods there are; 0: none is known.
# TYPE rollcall_pods_listed gauge
rollcall_pods_listed %d
# HELP rollcall_pods_running Running pods of the namespaces served, by the API server.
# TYPE rollcall_pods_running gauge
rollcall_pods_running %d
`, sets, listed, running)
			if err := testutil.GatherAndCompare(f.reg, strings.NewReader(want), "rollcall_pods_label_sets", "rollcall_pods_listed", "rollcall_pods_running"); err != nil {
				t.Errorf("%s: %v", step, err)
			}
		}
		compare("before it runs", 0, 0, 0)
		f.api.Set(pod("a/x=1@n", "app=web"), pod("a/y=2@n", "app=web"), pod("a/z=3@n", "app=db"))
		f.start()
		compare("listed", 1, 3, 2)
	})
}

// A page that comes too late is of no use: the next try begins anew.
func TestListFailsInTheMiddle(t *testing.T) {
	inCluster(t, nil, func(f *fixture) {
		for i := range pageSize + 1 {
			f.api.Set(pod(fmt.Sprintf("a/pod-%04d=%d@n", i, i)))
		}
		f.api.Answer(followtest.PodsPath, func(w http.ResponseWriter, r *http.Request) bool {
			return r.URL.Query().Has("continue") && followtest.Status(apierrors.NewInternalError(errors.New("etcd")))(w, r)
		})
		f.start()
		f.want("half", "")
		if f.Synced() == nil {
			t.Error("synced by half of the pods")
		}
		f.api.Answer(followtest.PodsPath, nil)
		f.wait(longEnough)
		if n := f.index().pods; n != pageSize+1 {
			t.Errorf("%d pods", n)
		}
	})
}
