package authority

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/identity"
	"github.com/rollcall-metrics/rollcall/pkg/roster"
)

// lagging are members that take over the Secret some time after it changed, as
// mounted Secrets do.
type lagging struct {
	t       *testing.T
	s       *store
	lags    map[string]time.Duration // per member; negative is never
	history []struct {
		at   time.Time
		keys []identity.GossipKey
	}
	changes []string
}

func (l *lagging) survey(context.Context) ([]roster.MemberKeys, error) {
	keys, err := identity.ParseGossipKeys("", []byte(l.s.secret(GossipSecret, gossipKey)))
	if err != nil {
		return nil, err
	}
	text := ids(keys)
	if len(l.changes) == 0 || l.changes[len(l.changes)-1] != text {
		l.changes = append(l.changes, text)
		l.history = append(l.history, struct {
			at   time.Time
			keys []identity.GossipKey
		}{time.Now(), keys})
	}
	var members []roster.MemberKeys
	for name, lag := range l.lags {
		m := roster.MemberKeys{Peer: identity.Peer{Role: identity.Agent, Name: name}}
		m.Keys = strings.Fields(ids(l.history[0].keys))
		for _, h := range l.history[1:] {
			if lag >= 0 && time.Since(h.at) >= lag {
				m.Keys = strings.Fields(ids(h.keys))
			}
		}
		members = append(members, m)
	}
	// At every moment any two members have to understand each other: each accepts
	// what the other uses.
	for _, a := range members {
		for _, b := range members {
			if !contains(a.Keys, b.Keys[0]) {
				l.t.Errorf("%s uses %s, %s accepts %v", b.Peer.Name, b.Keys[0], a.Peer.Name, a.Keys)
			}
		}
	}
	return members, nil
}

func contains(list []string, s string) bool { return strings.Contains(strings.Join(list, " "), s) }

func ids(keys []identity.GossipKey) string {
	var ids []string
	for _, k := range keys {
		ids = append(ids, k.ID())
	}
	return strings.Join(ids, " ")
}

func TestRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		old := identity.NewGossipKey(time.Now())
		s.set(GossipSecret, gossipKey, identity.EncodeGossipKeys([]identity.GossipKey{old}))
		l := &lagging{t: t, s: s, lags: map[string]time.Duration{"node-1": 0, "node-2": 90 * time.Second, "node-3": 20 * time.Second}}
		if _, err := l.survey(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour) // of the bubble's clock
		var said strings.Builder
		r := Rotation{Secrets: secretStore{s}, Survey: l.survey, Patience: 10 * time.Minute, Progress: &said}
		if err := r.Run(t.Context(), slog.New(slog.DiscardHandler)); err != nil {
			t.Fatal(err)
		}
		// old, old+new, new+old, new.
		if len(l.changes) != 4 || l.changes[0] != old.ID() || len(l.changes[3]) != len(old.ID()) || l.changes[3] == old.ID() {
			t.Errorf("the keys went %q", l.changes)
		}
		for _, want := range []string{"1 of 3", "2 of 3", "3 of 3", "node-2", "3 of 3 members", "done"} {
			if !strings.Contains(said.String(), want) {
				t.Errorf("%q not in\n%s", want, &said)
			}
		}
	})
}

// A rotation that gives up, wherever it is, goes on where it was when it is run
// again.
func TestRotationGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		old := identity.NewGossipKey(time.Now())
		s.set(GossipSecret, gossipKey, identity.EncodeGossipKeys([]identity.GossipKey{old}))
		l := &lagging{t: t, s: s, lags: map[string]time.Duration{"node-1": 0, "node-2": -1}}
		var said strings.Builder
		r := Rotation{Secrets: secretStore{s}, Survey: l.survey, Patience: time.Minute, Progress: &said}
		log := slog.New(slog.DiscardHandler)
		if _, err := l.survey(t.Context()); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			time.Sleep(time.Second)
			if err := r.Run(t.Context(), log); err == nil || !strings.Contains(err.Error(), "node-2") || !strings.Contains(err.Error(), "step 1 of 3") {
				t.Fatalf("error %v does not name who lags behind", err)
			}
		}
		if n := len(strings.Fields(l.changes[len(l.changes)-1])); n != 2 {
			t.Fatalf("%d keys after three attempts", n)
		}
		l.lags["node-2"] = 70 * time.Second // longer than the patience with one step
		for attempts := 1; ; attempts++ {
			err := r.Run(t.Context(), log)
			if err == nil {
				break
			}
			if attempts == 5 {
				t.Fatal(err)
			}
		}
		if got := l.changes[len(l.changes)-1]; len(l.changes) != 4 || got == old.ID() {
			t.Errorf("the keys went %q", l.changes)
		}
	})
}

// Whoever has the old key can claim names, and lie: that holds up nothing.
func TestRotationAgainstAThief(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		s.set(GossipSecret, gossipKey, identity.EncodeGossipKeys([]identity.GossipKey{identity.NewGossipKey(time.Now())}))
		l := &lagging{t: t, s: s, lags: map[string]time.Duration{"node-1": 0}}
		if _, err := l.survey(t.Context()); err != nil {
			t.Fatal(err)
		}
		survey := func(ctx context.Context) ([]roster.MemberKeys, error) {
			members, err := l.survey(ctx)
			return append(members,
				roster.MemberKeys{Peer: identity.Peer{Role: identity.Agent, Name: "made-up"}, Unexpected: true, Err: "timeout"},
				roster.MemberKeys{Peer: identity.Peer{Role: identity.Agent, Name: "broken-into"}, KeysInUse: roster.KeysInUse{Keys: []string{"another"}}}), err
		}
		log := slog.New(slog.DiscardHandler)
		r := Rotation{Secrets: secretStore{s}, Survey: survey, Patience: time.Minute, Progress: &strings.Builder{}}
		time.Sleep(time.Second)
		if err := r.Run(t.Context(), log); err == nil || !strings.Contains(err.Error(), "broken-into") || strings.Contains(err.Error(), "made-up") {
			t.Fatalf("error %v", err)
		}
		r.Without = []string{"broken-into"}
		if err := r.Run(t.Context(), log); err != nil {
			t.Fatal(err)
		}
		if len(l.changes) < 3 || l.changes[len(l.changes)-1] == l.changes[0] {
			t.Errorf("the keys went %q", l.changes)
		}
	})
}

// Two at once, or somebody's editor: who is slower gives up, and takes nothing away.
func TestRotationMeetsAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		s.set(GossipSecret, gossipKey, identity.EncodeGossipKeys([]identity.GossipKey{identity.NewGossipKey(time.Now())}))
		l := &lagging{t: t, s: s, lags: map[string]time.Duration{"node-1": 0}}
		other := identity.NewGossipKey(time.Now().Add(time.Hour))
		if _, err := l.survey(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		survey := func(ctx context.Context) ([]roster.MemberKeys, error) {
			if text := s.secret(GossipSecret, gossipKey); strings.Count(text, "made") == 2 { // it waits for the first step
				keys, err := identity.ParseGossipKeys("", []byte(text))
				if err != nil {
					return nil, err
				}
				s.set(GossipSecret, gossipKey, identity.EncodeGossipKeys(append(keys, other)))
			}
			return l.survey(ctx)
		}
		r := Rotation{Secrets: secretStore{s}, Survey: survey, Patience: time.Minute, Progress: &strings.Builder{}}
		if err := r.Run(t.Context(), slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "somebody else") {
			t.Errorf("error %v", err)
		}
		if !strings.Contains(l.changes[len(l.changes)-1], other.ID()) {
			t.Error("the other's key is gone")
		}
		two := []identity.GossipKey{{Key: old(1)}, {Key: old(2)}}
		s.set(GossipSecret, gossipKey, identity.EncodeGossipKeys(two))
		if err := r.Run(t.Context(), slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "which is newer") {
			t.Errorf("two keys without dates: %v", err)
		}
	})
}

func old(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }

func TestRotationFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		r := Rotation{Secrets: secretStore{s}, Patience: time.Minute, Progress: &strings.Builder{}, Survey: func(ctx context.Context) ([]roster.MemberKeys, error) {
			return nil, cmp.Or(ctx.Err(), errors.New("connection refused"))
		}}
		log := slog.New(slog.DiscardHandler)
		if err := r.Run(t.Context(), log); err == nil || !strings.Contains(err.Error(), "no key") {
			t.Errorf("without any key: %v", err)
		}
		s.set(GossipSecret, gossipKey, identity.EncodeGossipKeys([]identity.GossipKey{identity.NewGossipKey(time.Now())}))
		if err := r.Run(t.Context(), log); err == nil || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("without an aggregator: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := r.Run(ctx, log); !errors.Is(err, context.Canceled) {
			t.Errorf("ended by the user: %v", err)
		}
	})
}
