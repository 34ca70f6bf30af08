package authority

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/identity"
	"github.com/rollcall-metrics/rollcall/pkg/roster"
)

const (
	// surveyEvery is how often a rotation asks all members which keys they have.
	surveyEvery = 5 * time.Second
	// named is how many members that lag behind are named.
	named = 5
)

// A Rotation replaces the gossip key while the fleet runs. It goes in three
// steps, and takes the next only when every expected node and every aggregator
// has taken the one before: all accept the new key; all use it; all have forgotten
// the old one. So there is always a key in common. Where it stops, it can be taken
// up again: the Secret holds how far it is.
//
// Whoever has the old key can claim to be any member. Names that nobody expects
// are ignored; what members say is asked for over mutual TLS; and where a node
// cannot be waited for, there is Without.
type Rotation struct {
	Secrets Secrets
	// Survey asks every member for its keys, and names expected nodes that are not
	// here.
	Survey func(ctx context.Context) ([]roster.MemberKeys, error)
	// Patience is how long one step may take: Secrets take a minute or two to
	// reach a pod.
	Patience time.Duration
	// Without are names of nodes and aggregators not to wait for: broken ones, or
	// those against whom the key is replaced. They may be cut off from gossip.
	Without []string
	// Progress is told to a person, line by line.
	Progress io.Writer
}

// Run rotates the key, or goes on with a rotation that was begun. If a member
// does not take a step in time, the error names it, and nothing is lost.
func (r *Rotation) Run(ctx context.Context, log *slog.Logger) error {
	keys, err := r.change(ctx, log, nil, func(keys []identity.GossipKey) []identity.GossipKey { return keys })
	if err != nil {
		return err
	}
	begun := len(keys) > 1
	if !begun {
		if begun, err = r.remembered(ctx, keys[0].ID()); err != nil {
			return err
		}
	}
	if begun {
		r.say("a rotation was begun before; going on with it")
	} else if keys, err = r.change(ctx, log, keys, func(keys []identity.GossipKey) []identity.GossipKey {
		return append(keys, identity.NewGossipKey(time.Now()))
	}); err != nil {
		return err
	}
	fresh, err := newest(keys)
	if err != nil {
		return err
	}
	id := fresh.ID()
	if !same(keys[0], fresh) {
		if err := r.await(ctx, "1 of 3: all accept key "+id, func(ids []string) bool { return slices.Contains(ids, id) }); err != nil {
			return err
		}
		if keys, err = r.change(ctx, log, keys, func(keys []identity.GossipKey) []identity.GossipKey { return withFirst(keys, fresh) }); err != nil {
			return err
		}
	}
	if err := r.await(ctx, "2 of 3: all use key "+id, func(ids []string) bool { return len(ids) > 0 && ids[0] == id }); err != nil {
		return err
	}
	if _, err := r.change(ctx, log, keys, func([]identity.GossipKey) []identity.GossipKey { return []identity.GossipKey{fresh} }); err != nil {
		return err
	}
	if err := r.await(ctx, "3 of 3: all have forgotten the others", func(ids []string) bool { return len(ids) == 1 && ids[0] == id }); err != nil {
		return err
	}
	r.say("done: gossip uses key " + id + " and no other")
	return nil
}

// remembered tells whether a member still has another key than the only one that
// there should be.
func (r *Rotation) remembered(ctx context.Context, only string) (bool, error) {
	members, err := r.members(ctx)
	return slices.ContainsFunc(members, func(m roster.MemberKeys) bool {
		return slices.ContainsFunc(m.Keys, func(id string) bool { return id != only })
	}), err
}

// members are those that a rotation waits for.
func (r *Rotation) members(ctx context.Context) ([]roster.MemberKeys, error) {
	members, err := r.Survey(ctx)
	return slices.DeleteFunc(members, func(m roster.MemberKeys) bool {
		return m.Unexpected || slices.Contains(r.Without, m.Peer.Name)
	}), err
}

// change changes the keys in the Secret, and returns what is there then. If from is
// not nil, they must be those before.
func (r *Rotation) change(ctx context.Context, log *slog.Logger, from []identity.GossipKey, f func([]identity.GossipKey) []identity.GossipKey) ([]identity.GossipKey, error) {
	var keys []identity.GossipKey
	err := update(ctx, r.Secrets, GossipSecret, gossipKey, func(content []byte) ([]byte, error) {
		found, err := identity.ParseGossipKeys("key "+gossipKey, content)
		if err != nil {
			return nil, err
		}
		if from != nil && !slices.EqualFunc(found, from, same) {
			return nil, errors.New("somebody else has changed the keys meanwhile; if that is another rotation, let it end")
		}
		keys = f(found)
		if slices.EqualFunc(keys, found, same) {
			return content, nil
		}
		return identity.EncodeGossipKeys(keys), nil
	}, log)
	if err != nil {
		return nil, fmt.Errorf("change Secret %s: %w", GossipSecret, err)
	}
	return keys, nil
}

// await surveys the members until all have taken the step.
func (r *Rotation) await(ctx context.Context, step string, taken func(ids []string) bool) error {
	r.say(step)
	limited, cancel := context.WithTimeout(ctx, r.Patience)
	defer cancel()
	said := ""
	for {
		members, err := r.members(limited)
		if err == nil {
			lagging := slices.DeleteFunc(slices.Clone(members), func(m roster.MemberKeys) bool { return taken(m.Keys) })
			if len(lagging) == 0 && len(members) > 0 {
				r.say(fmt.Sprintf("  %d of %d members", len(members), len(members)))
				return nil
			}
			err = fmt.Errorf("%d of %d members, still without it: %s", len(members)-len(lagging), len(members), names(lagging))
		}
		if text := err.Error(); text != said && limited.Err() == nil {
			said = text
			r.say("  " + text)
		}
		select {
		case <-limited.Done():
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("step %s: not after %v: %s; see what is wrong there, and run this again to go on, perhaps with --without", step, r.Patience, said)
		case <-time.After(surveyEvery):
		}
	}
}

func (r *Rotation) say(text string) { fmt.Fprintln(r.Progress, text) }

// newest is the key that was made last.
func newest(keys []identity.GossipKey) (identity.GossipKey, error) {
	chosen := keys[0]
	for _, k := range keys[1:] {
		if k.Made.Equal(chosen.Made) {
			return chosen, errors.New("there are several keys, and nobody wrote down (# made TIME) which is newer; remove all but the one in use, when no member needs another")
		}
		if k.Made.After(chosen.Made) {
			chosen = k
		}
	}
	return chosen, nil
}

func withFirst(keys []identity.GossipKey, first identity.GossipKey) []identity.GossipKey {
	rest := slices.DeleteFunc(slices.Clone(keys), func(k identity.GossipKey) bool { return same(k, first) })
	return append([]identity.GossipKey{first}, rest...)
}

func same(a, b identity.GossipKey) bool { return bytes.Equal(a.Key, b.Key) }

// names are some members, and what is wrong with them.
func names(members []roster.MemberKeys) string {
	var texts []string
	for _, m := range members[:min(len(members), named)] {
		text := m.Peer.String()
		if m.Err != "" {
			text += " (" + m.Err + ")"
		}
		texts = append(texts, text)
	}
	if more := len(members) - len(texts); more > 0 {
		texts = append(texts, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(texts, ", ")
}
