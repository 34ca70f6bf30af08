package roster

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/rollcall-metrics/rollcall/pkg/identity"
)

// KeysInUse is what a member says of its gossip keys on a debug page.
type KeysInUse struct {
	// Keys are the IDs of the keys it accepts, that which it uses itself first.
	Keys []string `json:"keys"`
}

// MemberKeys are a member's keys, as another one found out.
type MemberKeys struct {
	Peer identity.Peer `json:"peer"`
	KeysInUse
	// Err is why its keys are not known; it may be empty.
	Err string `json:"error,omitempty"`
	// Unexpected tells that nobody knows of such a node: whoever has the gossip key
	// can claim any name.
	Unexpected bool `json:"unexpected,omitempty"`
}

// A keyring keeps memberlist's keys like those that read returns. To replace a
// key in a fleet, add the new one as second everywhere, then swap the two, then
// remove the old one, each once all members have taken the step before.
type keyring struct {
	read func() ([][]byte, error)
	ring *memberlist.Keyring
	log  *slog.Logger
	seen string // what read returned last time: keys, or why there were none
}

func openKeyring(read func() ([][]byte, error), log *slog.Logger) (*keyring, error) {
	keys, err := read()
	if err != nil {
		return nil, err
	}
	ring, err := memberlist.NewKeyring(keys, keys[0])
	if err != nil {
		return nil, err
	}
	return &keyring{read: read, ring: ring, log: log, seen: fingerprint(keys, nil)}, nil
}

// ids are the keys in use, the primary first, by [identity.GossipKey.ID].
func (k *keyring) ids() []string {
	var ids []string
	for _, key := range k.ring.GetKeys() {
		ids = append(ids, identity.GossipKey{Key: key}.ID())
	}
	return ids
}

// follow reads the keys at each interval until ctx ends. Where that fails, the
// old ones stay.
func (k *keyring) follow(ctx context.Context, every time.Duration) {
	for wait(ctx, every) {
		keys, err := k.read()
		now := fingerprint(keys, err)
		if now == k.seen {
			continue
		}
		k.seen = now
		if err == nil {
			err = k.install(keys)
		}
		if err != nil {
			k.log.Error("gossip keys not reloaded, keeping the old ones", "error", err)
			continue
		}
		k.log.Info("gossip keys reloaded", "keys", len(keys))
	}
}

// install adds the new keys, uses the first, and removes those that are gone,
// in this order, so that there is always a key in common with the others.
func (k *keyring) install(keys [][]byte) error {
	for _, key := range keys {
		if err := k.ring.AddKey(key); err != nil {
			return err
		}
	}
	var gone [][]byte
	for _, key := range k.ring.GetKeys() {
		if !contains(keys, key) {
			gone = append(gone, key)
		}
	}
	// RemoveKey shifts the keys behind the removed one in a slice that readers of
	// the ring still hold: a race. Behind the last key there is nothing to shift,
	// so those that go must come last; UseKey moves a key to the front.
	if len(gone) > 0 {
		for _, key := range slices.Backward(keys[1:]) {
			if err := k.ring.UseKey(key); err != nil {
				return err
			}
		}
	}
	if err := k.ring.UseKey(keys[0]); err != nil {
		return err
	}
	for range gone {
		ring := k.ring.GetKeys()
		if err := k.ring.RemoveKey(ring[len(ring)-1]); err != nil {
			return err
		}
	}
	return nil
}

func contains(keys [][]byte, key []byte) bool {
	return slices.ContainsFunc(keys, func(k []byte) bool { return bytes.Equal(k, key) })
}

// fingerprint tells one state of the file from another.
func fingerprint(keys [][]byte, err error) string {
	if err != nil {
		return "error: " + err.Error()
	}
	return "keys: " + string(bytes.Join(keys, []byte{0}))
}
