package api

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/rollcall-metrics/rollcall/aggregator/agents"
	"github.com/rollcall-metrics/rollcall/aggregator/expected"
	"github.com/rollcall-metrics/rollcall/aggregator/fanout"
	"github.com/rollcall-metrics/rollcall/aggregator/snapshot"
	"github.com/rollcall-metrics/rollcall/pkg/apiv1"
	"github.com/rollcall-metrics/rollcall/pkg/coverage"
	"github.com/rollcall-metrics/rollcall/pkg/model"
	"github.com/rollcall-metrics/rollcall/pkg/roster"
	"github.com/rollcall-metrics/rollcall/pkg/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type nodes []string

func (n nodes) Nodes() []string { return n }

func (nodes) Unsupported() []coverage.Unsupported { return nil }

func (nodes) Status() expected.Status { return expected.Status{Source: "a test"} }

// partly is nodes, and some that cannot run the agent; and a problem.
type partly struct {
	nodes
	unsupported []coverage.Unsupported
}

func (p partly) Unsupported() []coverage.Unsupported { return p.unsupported }

func (partly) Status() expected.Status {
	return expected.Status{Source: "another test", Contact: time.Unix(240, 0), Problems: []string{"Something is wrong."}}
}

// fakeAgents note who is asked.
type fakeAgents struct {
	mu    sync.Mutex
	asked []string
}

func (f *fakeAgents) Ask(_ context.Context, node string, _ model.Query, _ func(int) bool) (apiv1.NodeAnswer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, node)
	return apiv1.NodeAnswer{Node: node}, nil
}

func (*fakeAgents) Latest(context.Context, string, wire.Latest, func(int) bool) (agents.Latest, error) {
	return agents.Latest{Resolution: 15 * time.Second}, nil
}

func (*fakeAgents) Probe(context.Context, string) error { return nil }

func (*fakeAgents) Incarnation(string) agents.Incarnation { return agents.Incarnation{} }

func newFleet(t *testing.T, expected Expected, joined bool, f *fanout.Fanout, a interface {
	Agents
	snapshot.Asker
},
) *Fleet {
	s := snapshot.New(15*time.Second, a, f, expected, prometheus.NewRegistry())
	t.Cleanup(s.Close)
	return &Fleet{Expected: expected, Joined: func() bool { return joined }, Fanout: f, Agents: a, Snapshot: s}
}

func TestFleetAsks(t *testing.T) {
	cases := map[string]struct {
		expected nodes
		joined   bool
		node     string
		want     []string
		code     apiv1.Code // of the error, "" for none
	}{
		"everyone":                {nodes{"a", "b"}, true, "", []string{"a", "b"}, ""},
		"one":                     {nodes{"a", "b"}, true, "b", []string{"b"}, ""},
		"an unknown node":         {nodes{"a", "b"}, true, "c", nil, apiv1.NotFound},
		"expected but alone":      {nodes{"a", "b"}, false, "", []string{"a", "b"}, ""},
		"nobody known yet":        {nil, false, "", nil, apiv1.Unavailable},
		"nobody there, and known": {nil, true, "", nil, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			a := &fakeAgents{}
			f := fanout.New(fanout.Config{}, a, prometheus.NewRegistry())
			answer, err := newFleet(t, c.expected, c.joined, f, a).Ask(t.Context(), apiv1.Question{Node: c.node, Timeout: time.Minute})
			if answer.Done != nil {
				defer answer.Done()
			}
			slices.Sort(a.asked)
			var e *apiv1.Error
			if errors.As(err, &e); (e == nil) != (c.code == "") || (e != nil && e.Code != c.code) {
				t.Fatalf("error %v", err)
			}
			if !slices.Equal(a.asked, c.want) {
				t.Errorf("asked %v, want %v", a.asked, c.want)
			}
		})
	}
}

func TestFleetTellsOfUnsupportedNodes(t *testing.T) {
	some := partly{nodes{"a"}, []coverage.Unsupported{{Node: "win-1", Reason: "no Linux"}}}
	a := &fakeAgents{}
	f := fanout.New(fanout.Config{}, a, prometheus.NewRegistry())
	fleet := newFleet(t, some, true, f, a)
	tags := map[string]string{}
	for name, c := range map[string]struct {
		q    apiv1.Question
		told bool
	}{
		"all nodes":          {apiv1.Question{}, true},
		"all nodes, latest":  {apiv1.Question{Latest: true}, true},
		"all pods":           {apiv1.Question{Query: model.Query{Pods: true}}, true},
		"all pods, latest":   {apiv1.Question{Query: model.Query{Pods: true}, Latest: true}, true},
		"a namespace":        {apiv1.Question{Query: model.Query{Pods: true, Namespace: "shop"}}, false},
		"a namespace, later": {apiv1.Question{Query: model.Query{Pods: true, Namespace: "shop"}, Latest: true}, false},
		"a node":             {apiv1.Question{Node: "a"}, false},
		"a node, latest":     {apiv1.Question{Node: "a", Latest: true}, false},
	} {
		c.q.Timeout = time.Minute
		answer, err := fleet.Ask(t.Context(), c.q)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if answer.Done != nil {
			answer.Done()
		}
		tags[name] = answer.Tag
		cov := &answer.Coverage
		if told := len(cov.Unsupported) == 1; told != c.told || !cov.Complete() || cov.Expected > 1 {
			t.Errorf("%s: %+v", name, cov)
		}
	}
	if tags["all nodes, latest"] == tags["a node, latest"] || !strings.HasPrefix(tags["all nodes, latest"], tags["a node, latest"]) {
		t.Errorf("tags %q", tags)
	}
	_, err := fleet.Ask(t.Context(), apiv1.Question{Node: "win-1", Timeout: time.Minute})
	var e *apiv1.Error
	if !errors.As(err, &e) || e.Code != apiv1.NotFound || e.Message != `node "win-1" cannot run the agent: no Linux` {
		t.Errorf("error %v", err)
	}
}

func TestDebugPages(t *testing.T) {
	h := Debug(Pages{
		Expected: nodes{"node-1", "node-2"},
		Roster:   func() *roster.Snapshot { return &roster.Snapshot{} },
		Fanout:   func() any { return map[string]int{"places": 256} },
		Snapshot: func() any { return map[string]int{"pods": 7} },
		Config:   map[string]string{"--name": "aggregator-1"},
		Node: func(_ context.Context, node, page, rawQuery string) (*http.Response, error) {
			if node != "node-1" {
				return nil, errors.New("gone")
			}
			return &http.Response{StatusCode: 418, Header: http.Header{"Content-Type": {"text/x"}}, Body: io.NopCloser(strings.NewReader(page + "?" + rawQuery))}, nil
		},
	})
	cases := map[string]struct {
		status int
		want   string
	}{
		"/debug/roster":                       {200, `"why": "unknown"`},
		"/debug/roster/all":                   {200, `"source":{"source":"a test"}`},
		"/debug/fanout":                       {200, `"places": 256`},
		"/debug/snapshot":                     {200, `"pods": 7`},
		"/debug/config":                       {200, `"aggregator-1"`},
		"/debug/":                             {200, "/debug/fanout"},
		"/debug/nodes/node-1/pprof/heap?gc=1": {418, "pprof/heap?gc=1"},
		"/debug/nodes/node-2/ring":            {502, "gone"},
		"/debug/teapot":                       {404, ""},
	}
	for path, c := range cases {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}
