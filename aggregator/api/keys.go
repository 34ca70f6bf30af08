package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/identity"
	"github.com/rollcall-metrics/rollcall/pkg/roster"
)

const (
	// KeysPage is the debug page of a member's gossip keys, and SurveyPath where
	// an aggregator tells those of all members.
	KeysPage   = "/debug/keys"
	SurveyPath = "/debug/keys/fleet"
	// surveyed is how many members are asked at a time, surveyTimeout how long one
	// may take, maxKeys how long its answer may be, in bytes.
	surveyed      = 64
	surveyTimeout = 5 * time.Second
	maxKeys       = 64 << 10
)

// Members are those alive; *roster.Snapshot knows them.
type Members interface{ Members() []roster.Member }

// A Survey finds out which gossip keys the members have, for those who rotate
// them.
type Survey struct {
	Self identity.Peer
	// Own are this aggregator's keys, by their IDs.
	Own    func() []string
	Roster func() Members
	// Expected are the nodes that should be here, by name.
	Expected func() []string
	// Ask fetches KeysPage of another member.
	Ask func(ctx context.Context, m roster.Member) (*http.Response, error)
}

// ServeOwn answers [KeysPage].
func (s *Survey) ServeOwn(w http.ResponseWriter, _ *http.Request) {
	answerJSON(w, roster.KeysInUse{Keys: append([]string{}, s.Own()...)})
}

// ServeAll answers [SurveyPath].
func (s *Survey) ServeAll(w http.ResponseWriter, r *http.Request) { answerJSON(w, s.all(r.Context())) }

func answerJSON(w http.ResponseWriter, data any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(data) // whoever asked may be gone
}

// all asks every member that is here, and names the nodes that are not.
func (s *Survey) all(ctx context.Context) []roster.MemberKeys {
	expected := s.Expected()
	missing := map[string]bool{}
	for _, node := range expected {
		missing[node] = true
	}
	members := s.Roster().Members()
	found := make([]roster.MemberKeys, len(members))
	places := make(chan struct{}, surveyed)
	var asking sync.WaitGroup
	for i, m := range members {
		places <- struct{}{}
		asking.Go(func() {
			defer func() { <-places }()
			found[i].Peer = m.Peer()
			if m.Role == identity.Agent {
				_, known := slices.BinarySearch(expected, m.Name)
				found[i].Unexpected = !known
			}
			if m.Peer() == s.Self {
				found[i].Keys = s.Own()
				return
			}
			keys, err := s.one(ctx, m)
			found[i].KeysInUse = keys
			if err != nil {
				found[i].Err = err.Error()
			}
		})
	}
	asking.Wait()
	for _, m := range found {
		if m.Peer.Role == identity.Agent {
			delete(missing, m.Peer.Name)
		}
	}
	for _, node := range slices.Sorted(maps.Keys(missing)) {
		found = append(found, roster.MemberKeys{Peer: identity.Peer{Role: identity.Agent, Name: node}, Err: "its agent is not here"})
	}
	return found
}

func (s *Survey) one(ctx context.Context, m roster.Member) (roster.KeysInUse, error) {
	ctx, cancel := context.WithTimeout(ctx, surveyTimeout)
	defer cancel()
	resp, err := s.Ask(ctx, m)
	if err != nil {
		return roster.KeysInUse{}, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return roster.KeysInUse{}, fmt.Errorf("%s: %s", KeysPage, resp.Status)
	}
	var keys roster.KeysInUse
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxKeys)).Decode(&keys); err != nil {
		return roster.KeysInUse{}, fmt.Errorf("%s: %w", KeysPage, err)
	}
	return keys, nil
}
