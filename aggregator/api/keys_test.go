package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/rollcall-metrics/rollcall/pkg/identity"
	"github.com/rollcall-metrics/rollcall/pkg/roster"
)

// crowd is a roster of agents, and of the aggregator that asks.
type crowd []string

func (c crowd) Members() []roster.Member {
	members := []roster.Member{{Name: "aggregator-1", Role: identity.Aggregator}}
	for _, name := range c {
		members = append(members, roster.Member{Name: name, Role: identity.Agent})
	}
	return members
}

func TestSurvey(t *testing.T) {
	s := &Survey{
		Self:     identity.Peer{Role: identity.Aggregator, Name: "aggregator-1"},
		Own:      func() []string { return []string{"aa", "bb"} },
		Roster:   func() Members { return crowd{"good", "old", "refused", "broken", "huge"} },
		Expected: func() []string { return []string{"broken", "gone", "good", "huge", "old"} },
		Ask: func(_ context.Context, m roster.Member) (*http.Response, error) {
			answer := func(code int, body string) (*http.Response, error) {
				return &http.Response{StatusCode: code, Status: http.StatusText(code), Body: io.NopCloser(strings.NewReader(body))}, nil
			}
			switch m.Name {
			case "good":
				return answer(http.StatusOK, `{"keys":["bb","aa"]}`)
			case "old":
				return answer(http.StatusNotFound, "404 page not found")
			case "broken":
				return answer(http.StatusOK, `{"keys":[`)
			case "huge":
				return answer(http.StatusOK, `{"keys":["`+strings.Repeat("x", maxKeys)+`"]}`)
			}
			return nil, errors.New("connection refused")
		},
	}
	w := httptest.NewRecorder()
	s.ServeAll(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, SurveyPath, nil))
	var members []roster.MemberKeys
	if err := json.Unmarshal(w.Body.Bytes(), &members); err != nil {
		t.Fatal(err)
	}
	if len(members) != 7 {
		t.Fatalf("%d members: %s", len(members), w.Body)
	}
	for _, m := range members {
		var keys []string
		wrong := ""
		switch m.Peer.Name {
		case "aggregator-1":
			keys = []string{"aa", "bb"}
		case "good":
			keys = []string{"bb", "aa"}
		case "old":
			wrong = "Not Found"
		case "refused":
			wrong = "connection refused"
		case "gone":
			wrong = "not here"
		default:
			wrong = "unexpected EOF"
		}
		if m.Unexpected != (m.Peer.Name == "refused") {
			t.Errorf("%v is unexpected: %v", m.Peer, m.Unexpected)
		}
		if !slices.Equal(m.Keys, keys) || (m.Err == "") != (wrong == "") || !strings.Contains(m.Err, wrong) {
			t.Errorf("%+v, want %v and %q", m, keys, wrong)
		}
	}
	w = httptest.NewRecorder()
	s.Own = func() []string { return nil }
	s.ServeOwn(w, nil)
	if got := strings.TrimSpace(w.Body.String()); got != `{"keys":[]}` {
		t.Errorf("without keys: %s", got)
	}
}
