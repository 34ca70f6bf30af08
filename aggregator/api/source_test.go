package api

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rollcall-metrics/rollcall/pkg/apiv1"
	"github.com/rollcall-metrics/rollcall/pkg/coverage"
	"github.com/rollcall-metrics/rollcall/pkg/model"
	"github.com/rollcall-metrics/rollcall/pkg/roster"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type nodes []string

func (n nodes) Nodes() []string { return n }

// fakeFanout notes whom it is to ask.
type fakeFanout struct{ asked []string }

func (f *fakeFanout) Ask(_ context.Context, n []string, _ model.Query, _ time.Duration) ([]apiv1.NodeAnswer, coverage.Coverage) {
	f.asked = n
	return nil, coverage.Coverage{Expected: len(n), Asked: len(n), Answered: len(n)}
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
			f := &fakeFanout{}
			_, err := Fleet(c.expected, func() bool { return c.joined }, f).Ask(t.Context(), apiv1.Question{Node: c.node})
			var e *apiv1.Error
			if errors.As(err, &e); (e == nil) != (c.code == "") || (e != nil && e.Code != c.code) {
				t.Fatalf("error %v", err)
			}
			if !slices.Equal(f.asked, c.want) {
				t.Errorf("asked %v, want %v", f.asked, c.want)
			}
		})
	}
}

func TestDebugPages(t *testing.T) {
	h := Debug(Pages{
		Expected: nodes{"node-1", "node-2"},
		Roster:   func() *roster.Snapshot { return &roster.Snapshot{} },
		Fanout:   func() any { return map[string]int{"places": 256} },
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
		"/debug/roster":                       {200, `"missing": [` + "\n    \"node-1\",\n    \"node-2\""},
		"/debug/fanout":                       {200, `"places": 256`},
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
