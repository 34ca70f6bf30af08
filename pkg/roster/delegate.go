package roster

import (
	"errors"
	"log/slog"
	"net/netip"
	"sync/atomic"

	"github.com/hashicorp/memberlist"

	"github.com/rollcall-metrics/rollcall/pkg/obs"
)

// delegate answers what memberlist asks. Most of it is asked under memberlist's
// lock: nothing here blocks or calls back.
type delegate struct {
	self    life
	addr    netip.AddrPort
	meta    meta // but for leaving
	leaving atomic.Bool
	metrics *metrics
	log     *slog.Logger
	rarely  *obs.Rarely
}

func (d *delegate) NodeMeta(int) []byte {
	m := d.meta
	m.leaving = d.leaving.Load()
	return m.encode()
}

// Gossip carries membership only: what else others send is dropped.
func (d *delegate) NotifyMsg([]byte)                {}
func (d *delegate) GetBroadcasts(_, _ int) [][]byte { return nil }
func (d *delegate) LocalState(bool) []byte          { return nil }
func (d *delegate) MergeRemoteState([]byte, bool)   {}

// Reasons for which a member is refused; labels of the refused counter.
const (
	badName    = "bad_name"
	badMeta    = "bad_meta"
	wrongRole  = "wrong_role"
	badAddress = "bad_address"
	conflict   = "conflict"
	wrongLabel = "wrong_label" // of another cluster, or no member at all
	noKey      = "no_key"      // not encrypted, or with a key that is not ours
)

// errRefused is all that memberlist gets to know: it would log the rest.
var errRefused = errors.New("refused")

// NotifyAlive refuses what cannot be a member. Whoever has the gossip key can
// claim anything else.
func (d *delegate) NotifyAlive(n *memberlist.Node) error {
	l, reason := d.check(n)
	if reason == "" {
		// Of all, this process knows best that it still runs.
		if l.Peer == d.self.Peer && l.start > d.self.start {
			d.contested(n)
		}
		return nil
	}
	if skipped, ok := d.refuse(reason); ok {
		d.log.Warn("member refused", "member", cut(n.Name), "addr", n.Addr, "reason", reason, "not_logged_before", skipped)
	}
	return errRefused
}

// check returns who the node is, and why it is refused, or "".
func (d *delegate) check(n *memberlist.Node) (life, string) {
	l, ok := parseGossipName(n.Name)
	if !ok {
		return l, badName
	}
	m, err := decodeMeta(n.Meta)
	if err != nil {
		return l, badMeta
	}
	if m.role != l.Role {
		return l, wrongRole
	}
	addr, ok := netip.AddrFromSlice(n.Addr)
	addr = addr.Unmap()
	own := d.addr.Addr()
	switch {
	case !ok || n.Port == 0 || cannotBe(addr):
		return l, badAddress
	// These mean something else on every machine: to us, ourselves, or a cloud's
	// metadata service.
	case addr.IsLoopback() && !own.IsLoopback(), addr.IsLinkLocalUnicast() && !own.IsLinkLocalUnicast():
		return l, badAddress
	}
	return l, ""
}

// cannotBe tells whether nobody can be reached at an address.
func cannotBe(a netip.Addr) bool {
	return !a.IsValid() || a.IsUnspecified() || a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// contested says that another process has the name of this one, and that the
// fleet believes it, since it started later.
func (d *delegate) contested(n *memberlist.Node) {
	if skipped, ok := d.refuse(conflict); ok {
		d.log.Error("another process has the name of this one, and started later", "member", cut(n.Name), "addr", n.Addr, "not_logged_before", skipped)
	}
}

// NotifyConflict comes when what is alive at one address is claimed from
// another: an attack, since a process does not change its address.
func (d *delegate) NotifyConflict(existing, other *memberlist.Node) {
	if skipped, ok := d.refuse(conflict); ok {
		d.log.Warn("member claimed from another address", "member", cut(existing.Name), "addr", existing.Addr, "other", other.Addr, "reason", conflict, "not_logged_before", skipped)
	}
}

// refuse counts a refusal, and tells whether it is to be logged and how many
// of its kind were not.
func (d *delegate) refuse(reason string) (skipped int, log bool) {
	d.metrics.refused.WithLabelValues(reason).Inc()
	return d.rarely.Allow(reason)
}

// cut shortens what a stranger wrote, for the log.
func cut(s string) string { return s[:min(len(s), 64)] }
