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

// keyFile keeps memberlist's keys like the file's. To replace a key in a
// fleet, add the new one as second everywhere, then swap the two, then remove
// the old one, with a minute between the steps: Secrets take that long to
// reach every pod.
type keyFile struct {
	path string
	ring *memberlist.Keyring
	log  *slog.Logger
	seen string // what the file was last time: its keys, or why it was broken
}

func openKeyFile(path string, log *slog.Logger) (*keyFile, error) {
	keys, err := identity.GossipKeys(path)
	if err != nil {
		return nil, err
	}
	ring, err := memberlist.NewKeyring(keys, keys[0])
	if err != nil {
		return nil, err
	}
	return &keyFile{path: path, ring: ring, log: log, seen: fingerprint(keys, nil)}, nil
}

// follow reads the file at each interval until ctx ends. A broken file keeps
// the old keys.
func (k *keyFile) follow(ctx context.Context, every time.Duration) {
	for wait(ctx, every) {
		keys, err := identity.GossipKeys(k.path)
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
func (k *keyFile) install(keys [][]byte) error {
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
