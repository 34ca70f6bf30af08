package expected

import (
	"bytes"
	"context"
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
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	typedapps "k8s.io/client-go/kubernetes/typed/apps/v1"
	typedcore "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/rollcall-metrics/rollcall/aggregator/follow"
	"github.com/rollcall-metrics/rollcall/aggregator/follow/followtest"
	"github.com/rollcall-metrics/rollcall/pkg/coverage"
)

// longEnough is more than client-go ever waits before it tries again: at most
// 30 s, and as much again at random.
const longEnough = 2 * time.Minute

// fallback is what the roster says.
type fallback []string

func (f fallback) Nodes() []string { return f }

// lines is what was logged.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// take is what was logged since the last call.
func (l *lines) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.text.Reset()
	return strings.FieldsFunc(l.text.String(), func(r rune) bool { return r == '\n' })
}

// fixture is a Cluster and the API server that it asks.
type fixture struct {
	*testing.T
	*Cluster
	api *followtest.Server
	reg *prometheus.Registry
	log lines
	// level is from which on it is logged.
	level slog.LevelVar
	stop  func() // and wait for it
}

// inCluster runs a test in a bubble, with a Cluster that does not run yet.
func inCluster(t *testing.T, test func(f *fixture)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := &fixture{T: t, api: followtest.New(t), reg: prometheus.NewRegistry()}
		f.Cluster = NewCluster(configOf(t, f.api), fallback{"roster-1"}, follow.NewMetrics(f.reg), slog.New(slog.NewTextHandler(&f.log, &slog.HandlerOptions{Level: &f.level})), f.reg)
		test(f)
	})
}

// configOf has a Cluster ask a server.
func configOf(t *testing.T, api *followtest.Server) ClusterConfig {
	cfg := api.Config()
	core, err := typedcore.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	apps, err := typedapps.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return ClusterConfig{Nodes: core.Nodes(), DaemonSets: apps.DaemonSets("rollcall"), Namespace: "rollcall"}
}

func (f *fixture) start() {
	ctx, cancel := context.WithCancel(f.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.Cluster.Run(ctx)
	}()
	f.stop = func() {
		cancel()
		<-done
	}
	f.Cleanup(f.stop)
	synctest.Wait()
}

// want is who is expected, and after a '|' who is unsupported.
func (f *fixture) want(step, want string) {
	f.Helper()
	synctest.Wait()
	got := strings.Join(f.Nodes(), " ")
	if u := f.Unsupported(); len(u) > 0 {
		got += " |"
		for _, u := range u {
			got += " " + u.Node
		}
	}
	if got != want {
		f.Errorf("%s: %q, want %q", step, got, want)
	}
}

// wantLog is what was logged since the last call: a part of each line, in any
// order, since two goroutines follow the API server.
func (f *fixture) wantLog(step string, want ...string) {
	f.Helper()
	got := f.log.take()
	ok := len(got) == len(want)
	for _, w := range want {
		ok = ok && slices.ContainsFunc(got, func(line string) bool { return strings.Contains(line, w) })
	}
	if !ok {
		f.Errorf("%s: logged %q, want %q", step, got, want)
	}
}

// wantProblems is what the status says: a part of each.
func (f *fixture) wantProblems(step string, want ...string) {
	f.Helper()
	if got := f.Status().Problems; !slices.EqualFunc(got, want, strings.Contains) {
		f.Errorf("%s: problems %q, want %q", step, got, want)
	}
}

func (f *fixture) wait(d time.Duration) {
	time.Sleep(d) // of the bubble's clock
	synctest.Wait()
}

func forbidden(resource string) *apierrors.StatusError {
	return apierrors.NewForbidden(schema.GroupResource{Resource: resource}, "", fmt.Errorf("no"))
}

// hang answers when the test has ended.
func hang(f *fixture) followtest.Answer {
	return func(http.ResponseWriter, *http.Request) bool { <-f.Context().Done(); return true }
}

func TestClusterFollows(t *testing.T) {
	inCluster(t, func(f *fixture) {
		f.api.Set(daemonSet(ours()))
		f.api.Set(nodeWith("b"))
		f.api.Set(nodeWith("win", "kubernetes.io/os=windows"))
		f.start()
		f.want("listed", "b | win")
		f.wantLog("listed", "the agent's DaemonSet says which nodes are supported", "expected nodes listed by the API server\" nodes=1 unsupported=1")
		f.wantProblems("listed")
		if u := f.Unsupported(); !slices.Equal(u, []coverage.Unsupported{{Node: "win", Reason: "the agent's DaemonSet wants kubernetes.io/os=linux, the node has kubernetes.io/os=windows"}}) {
			t.Errorf("unsupported %q", u)
		}

		f.api.Set(nodeWith("a"))
		f.want("added", "a b | win")
		f.api.Set(nodeWith("a", "type=virtual-kubelet"))
		f.want("changed", "b | a win")
		f.api.Set(nodeWith("a"))
		f.want("changed back", "a b | win")
		f.api.Remove(nodeWith("win"))
		f.want("gone", "a b")

		before := f.latest()
		healthy := nodeWith("a")
		healthy.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionFalse}}
		f.api.Set(healthy)
		f.api.Set(daemonSet(ours()))
		synctest.Wait()
		if f.latest() != before {
			t.Error("judged again though nothing has changed that matters")
		}

		picky := ours()
		picky.NodeSelector["zone"] = "1"
		f.api.Set(daemonSet(picky))
		f.want("another rule", " | a b")
		f.api.Set(nodeWith("a", "zone=1"))
		f.want("which one matches", "a | b")
		f.wantLog("another rule", "the agent's DaemonSet says which nodes are supported")
		for _, q := range f.api.Asked(followtest.NodesPath) {
			if q.Get("watch") == "" && (q.Has("resourceVersion") || q.Get("limit") != "250" || q.Get("timeout") != "30s") {
				t.Errorf("listed with %v", q)
			}
		}
		for _, q := range f.api.Asked(followtest.DaemonSetsPath) {
			if q.Get("fieldSelector") != "metadata.name=rollcall-agent" {
				t.Errorf("asked for DaemonSets with %v", q)
			}
		}
	})
}

// What the API server says of one node.
func TestClusterTellsOfANode(t *testing.T) {
	inCluster(t, func(f *fixture) {
		want := func(step, node, kv, reason string) {
			t.Helper()
			synctest.Wait()
			l, ok := f.Labels(node)
			if got := labels.Set(l.Map()).String(); got != kv || ok != (kv != "") {
				t.Errorf("%s: labels of %s are %q, %v, want %q", step, node, got, ok, kv)
			}
			if got := f.Reason(node); !strings.Contains(got, reason) || (got == "") != (reason == "") {
				t.Errorf("%s: %s is unsupported because %q, want %q", step, node, got, reason)
			}
		}
		f.api.Set(daemonSet(ours()))
		f.api.Set(nodeWith("a", "zone=1"))
		f.api.Set(nodeWith("win", "kubernetes.io/os=windows"))
		want("before it runs", "a", "", "")
		want("before it runs", "roster-1", "", "")
		f.start()
		want("listed", "a", "kubernetes.io/os=linux,zone=1", "")
		want("listed", "win", "kubernetes.io/os=windows", "the node has kubernetes.io/os=windows")
		want("listed", "b", "", "")
		before, _ := f.Labels("a")
		f.api.Set(nodeWith("a", "zone=2"))
		f.api.Set(nodeWith("win"))
		want("changed", "a", "kubernetes.io/os=linux,zone=2", "")
		want("changed", "win", "kubernetes.io/os=linux", "")
		if before.Get("zone") != "1" {
			t.Error("labels have changed under a reader")
		}
		f.api.SetDown(true)
		f.wait(time.Hour)
		want("down", "a", "kubernetes.io/os=linux,zone=2", "")
		f.api.SetDown(false)
		f.api.Remove(nodeWith("a"))
		f.wait(longEnough)
		f.api.Send(followtest.NodesPath, watch.Event{Type: watch.Error, Object: &apierrors.NewResourceExpired("too old").ErrStatus})
		f.wait(longEnough)
		want("deleted", "a", "", "")
	})
}

func TestClusterWithoutDaemonSet(t *testing.T) {
	inCluster(t, func(f *fixture) {
		other := daemonSet(ours())
		other.Name = "another"
		f.api.Set(other)
		f.api.Set(nodeWith("a"))
		f.api.Set(nodeWith("win", "kubernetes.io/os=windows"))
		f.start()
		f.want("none", "a win")
		f.wantLog("none", "the agent's DaemonSet is not there, all nodes count as supported", "expected nodes listed")
		f.wantProblems("none", "There is no DaemonSet rollcall-agent in namespace rollcall: all nodes count as supported.")
		f.api.Set(daemonSet(ours()))
		f.want("made", "a | win")
		f.wantProblems("made")
		f.api.Remove(daemonSet(ours()))
		f.want("deleted", "a win")
		f.wantLog("deleted", "says which nodes are supported", "is not there")
	})
}

func TestClusterWithoutAPIServer(t *testing.T) {
	inCluster(t, func(f *fixture) {
		f.api.Set(daemonSet(ours()))
		f.api.Set(nodeWith("a"))
		f.api.Set(nodeWith("win", "kubernetes.io/os=windows"))
		f.want("before it runs", "roster-1")
		f.wantProblems("before it runs", "The API server has not said yet which nodes there are: expected are those that the roster knows or knew.")
		f.api.SetDown(true)
		f.start()
		f.wait(time.Hour)
		f.want("down at the start", "roster-1")
		down := []string{"The API server cannot be asked for nodes since 2000-01-01T00:00:00Z (list: ", "cannot be asked for the agent's DaemonSet"}
		f.wantProblems("down at the start", down...)
		lines := f.log.take()
		if len(lines) != 2 || strings.Count(strings.Join(lines, ""), "level=WARN msg=\"the API server does not answer\"") != 2 {
			t.Errorf("down at the start: logged %q", lines)
		}

		f.api.SetDown(false)
		f.wait(longEnough)
		f.want("up", "a | win")
		f.wantProblems("up")
		f.log.take()

		f.api.SetDown(true)
		f.wait(time.Hour)
		f.want("down", "a | win")
		f.wantProblems("down", "those that it named last are still expected", "what it wanted last still counts")
		if lines := f.log.take(); len(lines) < 2 || len(lines) > 4 { // each of two resources: the watch, and perhaps the list
			t.Errorf("down: logged %q", lines)
		}
		if age := time.Since(f.Status().Contact); age < 59*time.Minute {
			t.Errorf("last contact was %v ago", age)
		}
		f.api.SetDown(false)
		f.wait(longEnough)
		f.api.Set(nodeWith("b"))
		f.want("up again", "a b | win")
		f.wantProblems("up again")
		if age := time.Since(f.Status().Contact); age != 0 {
			t.Errorf("last contact was %v ago", age)
		}
	})
}

// What client-go says of it comes as debug messages, without bodies.
func TestClusterLogsForDebugging(t *testing.T) {
	inCluster(t, func(f *fixture) {
		f.level.Set(slog.LevelDebug - 10)
		f.api.Set(nodeWith("a"))
		f.api.Answer(followtest.DaemonSetsPath, followtest.Status(forbidden("daemonsets")))
		f.start()
		text := strings.Join(f.log.take(), "\n")
		if !strings.Contains(text, `level=DEBUG msg="Failed to watch"`) || strings.Contains(text, "Response Body") || strings.Contains(text, "level=ERROR") {
			t.Errorf("logged %s", text)
		}
	})
}

func TestClusterEndsWhileAPIServerIsAway(t *testing.T) {
	inCluster(t, func(f *fixture) {
		f.api.SetDown(true)
		f.start()
		f.wait(10 * time.Minute)
		began := time.Now()
		f.stop()
		if took := time.Since(began); took != 0 {
			t.Errorf("took %v", took)
		}
	})
}

func TestClusterMeetsTrouble(t *testing.T) {
	gone := apierrors.NewResourceExpired("too old")
	for _, tc := range []struct {
		name    string
		trouble func(f *fixture)
		within  time.Duration // it has heard of what changed without a word
		logs    int
	}{
		{"410 while watching", func(f *fixture) {
			f.api.Send(followtest.NodesPath, watch.Event{Type: watch.Error, Object: &gone.ErrStatus})
		}, 10 * time.Second, 0},
		{"connection cut, then 410", func(f *fixture) {
			f.api.Answer(followtest.NodesPath, followtest.ToWatches(followtest.Status(gone)))
			f.api.Cut()
			f.wait(time.Second)
			f.api.Answer(followtest.NodesPath, nil)
		}, time.Minute, 0},
		{"watches refused", func(f *fixture) {
			f.api.Answer(followtest.NodesPath, followtest.ToWatches(followtest.Status(forbidden("nodes"))))
			f.api.Cut()
		}, longEnough, 1},
		{"garbage while watching", func(f *fixture) {
			f.api.Answer(followtest.NodesPath, followtest.ToWatches(followtest.Text(followtest.Protobuf+";stream=watch", "\x00\x00\x00\x03abc")))
			f.api.Cut()
		}, longEnough, 0},
		{"nobody answers watches", func(f *fixture) {
			f.api.Answer(followtest.NodesPath, followtest.ToWatches(hang(f)))
			f.api.Cut()
			f.wait(time.Minute)
			f.api.Answer(followtest.NodesPath, nil)
			f.api.Send(followtest.NodesPath, watch.Event{Type: watch.Error, Object: &gone.ErrStatus}) // of the next watch
		}, 12 * time.Minute, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inCluster(t, func(f *fixture) {
				f.api.Set(daemonSet(ours()))
				f.api.Set(nodeWith("a"))
				f.api.Set(nodeWith("b"))
				f.start()
				f.want("at first", "a b")
				f.log.take()
				f.api.Forget(nodeWith("a"))
				tc.trouble(f)
				f.wait(tc.within)
				f.want("then", "b")
				if lines := f.log.take(); len(lines) != tc.logs {
					t.Errorf("logged %q", lines)
				}
			})
		})
	}
}

func TestClusterIsRefused(t *testing.T) {
	for _, tc := range []struct {
		name    string
		answer  func(f *fixture) followtest.Answer
		problem string // of nodes, and of the DaemonSet
	}{
		{"forbidden", func(*fixture) followtest.Answer { return followtest.Status(forbidden("things")) }, "Grant this aggregator's service account list and watch on "},
		{"unauthorized", func(*fixture) followtest.Answer {
			return followtest.Status(apierrors.NewUnauthorized("who?"))
		}, "See whether the API server accepts this aggregator's service account token."},
		{"not found", func(*fixture) followtest.Answer {
			return followtest.Status(apierrors.NewNotFound(schema.GroupResource{}, ""))
		}, "not found"},
		{"broken", func(*fixture) followtest.Answer {
			return followtest.Status(apierrors.NewInternalError(fmt.Errorf("etcd")))
		}, "etcd"},
		{"a page of a proxy", func(*fixture) followtest.Answer { return followtest.Text("text/html", "<h1>Welcome</h1>") }, "cannot be asked"},
		{"broken protobuf", func(*fixture) followtest.Answer { return followtest.Text(followtest.Protobuf, "k8s\x00\xff\xff\xff") }, "cannot be asked"},
		{"does not answer", hang, "context deadline exceeded"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inCluster(t, func(f *fixture) {
				f.api.Set(daemonSet(ours()))
				f.api.Set(nodeWith("a"))
				f.api.Set(nodeWith("win", "kubernetes.io/os=windows"))
				f.api.Answer(followtest.NodesPath, tc.answer(f))
				f.start()
				f.wait(time.Hour)
				f.want("nodes at first", "roster-1")
				f.wantProblems("nodes at first", tc.problem)
				if lines := f.log.take(); len(lines) != 2 || !strings.Contains(strings.Join(lines, ""), `resource=nodes verb=list`) {
					t.Errorf("logged %q", lines)
				}
				f.api.Answer(followtest.NodesPath, nil)
				f.wait(longEnough)
				f.want("nodes", "a | win")
				f.wantLog("nodes", "answers again", "expected nodes listed")
				f.wantProblems("nodes")

				f.api.Answer(followtest.DaemonSetsPath, tc.answer(f))
				f.api.Cut()
				f.api.Send(followtest.DaemonSetsPath, watch.Event{Type: watch.Error, Object: &apierrors.NewResourceExpired("too old").ErrStatus})
				f.wait(time.Hour)
				f.want("DaemonSet later", "a | win")
				f.wantProblems("DaemonSet later", "what it wanted last still counts")
			})
			inCluster(t, func(f *fixture) {
				f.api.Set(daemonSet(ours()))
				f.api.Set(nodeWith("a"))
				f.api.Set(nodeWith("win", "kubernetes.io/os=windows"))
				f.api.Answer(followtest.DaemonSetsPath, tc.answer(f))
				f.start()
				f.wait(time.Hour)
				f.want("DaemonSet at first", "a win")
				f.wantProblems("DaemonSet at first", tc.problem)
				f.wantProblems("DaemonSet at first", "all nodes count as supported")
				f.api.Answer(followtest.DaemonSetsPath, nil)
				f.wait(longEnough)
				f.want("DaemonSet", "a | win")
				f.wantProblems("DaemonSet")
			})
		})
	}
}

// An empty list is not what an API server has to say about nodes.
func TestClusterDoesNotTakeAnEmptyList(t *testing.T) {
	inCluster(t, func(f *fixture) {
		f.api.Set(nodeWith("a"))
		f.api.Answer(followtest.NodesPath, followtest.Text("application/json", "{}"))
		f.start()
		f.wait(longEnough)
		f.want("at first", "roster-1")
		f.wantProblems("at first", "the list of nodes is empty", "There is no DaemonSet")
		f.api.Answer(followtest.NodesPath, nil)
		f.wait(longEnough)
		f.want("then", "a")
	})
}

func TestClusterListsPages(t *testing.T) {
	inCluster(t, func(f *fixture) {
		f.api.Set(daemonSet(ours()))
		var names []string
		for i := range 2*pageSize + 1 {
			names = append(names, fmt.Sprintf("node-%04d", i))
			f.api.Set(realistic(i))
		}
		f.start()
		f.want("listed", strings.Join(names, " "))
		lists := slices.DeleteFunc(f.api.Asked(followtest.NodesPath), func(q url.Values) bool { return q.Has("watch") })
		if len(lists) != 3 {
			t.Errorf("%d lists", len(lists))
		}
	})
}

func TestClusterMetrics(t *testing.T) {
	inCluster(t, func(f *fixture) {
		f.api.Set(daemonSet(ours()))
		f.api.Set(nodeWith("a"))
		f.api.Set(nodeWith("win", "kubernetes.io/os=windows"))
		f.start()
		f.wait(time.Minute)
		f.api.Send(followtest.NodesPath, watch.Event{Type: watch.Bookmark, Object: &corev1.Node{ObjectMeta: metav1.ObjectMeta{ResourceVersion: "99"}}})
		synctest.Wait()
		const want = `
# HELP rollcall_apiserver_contact_timestamp_seconds When the API server last said something about a resource, once a minute at least, in Unix seconds; 0: never.
# TYPE rollcall_apiserver_contact_timestamp_seconds gauge
rollcall_apiserver_contact_timestamp_seconds{resource="daemonsets"} 9.466848e+08
rollcall_apiserver_contact_timestamp_seconds{resource="nodes"} 9.4668486e+08
# HELP rollcall_apiserver_requests_total Lists and watches at the API server that began, page by page, by whether they did.
# TYPE rollcall_apiserver_requests_total counter
rollcall_apiserver_requests_total{resource="daemonsets",result="failed",verb="list"} 0
rollcall_apiserver_requests_total{resource="daemonsets",result="failed",verb="watch"} 0
rollcall_apiserver_requests_total{resource="daemonsets",result="ok",verb="list"} 1
rollcall_apiserver_requests_total{resource="daemonsets",result="ok",verb="watch"} 1
rollcall_apiserver_requests_total{resource="nodes",result="failed",verb="list"} 0
rollcall_apiserver_requests_total{resource="nodes",result="failed",verb="watch"} 0
rollcall_apiserver_requests_total{resource="nodes",result="ok",verb="list"} 1
rollcall_apiserver_requests_total{resource="nodes",result="ok",verb="watch"} 1
# HELP rollcall_expected_listed 1: the API server has said which nodes there are; 0: the roster says who is expected.
# TYPE rollcall_expected_listed gauge
rollcall_expected_listed 1
# HELP rollcall_expected_nodes Nodes that should answer, by the API server.
# TYPE rollcall_expected_nodes gauge
rollcall_expected_nodes 1
# HELP rollcall_expected_unsupported_nodes Nodes that cannot run the agent.
# TYPE rollcall_expected_unsupported_nodes gauge
rollcall_expected_unsupported_nodes 1
`
		if err := testutil.GatherAndCompare(f.reg, strings.NewReader(want)); err != nil {
			t.Error(err)
		}
	})
}
