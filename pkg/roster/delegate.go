package roster

import (
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"sync/atomic"

	"github.com/hashicorp/memberlist"

	"github.com/rollcall-metrics/rollcall/pkg/identity"
)

// aggregatorPrefix keeps aggregators from colliding with agents: a '/' is in
// no node's name.
const aggregatorPrefix = "aggregator/"

// gossipName is a member's name in memberlist.
func gossipName(role identity.Role, name string) string {
	if role == identity.Aggregator {
		return aggregatorPrefix + name
	}
	return name
}

// splitGossipName is the reverse; the name may be invalid.
func splitGossipName(gossip string) (identity.Role, string) {
	if name, ok := strings.CutPrefix(gossip, aggregatorPrefix); ok {
		return identity.Aggregator, name
	}
	return identity.Agent, gossip
}

// delegate answers what memberlist asks. Most of it is asked under memberlist's
// lock: nothing here blocks or calls back.
type delegate struct {
	self      string // gossip name
	addr      netip.AddrPort
	meta      meta // but for leaving
	leaving   atomic.Bool
	contested atomic.Bool // set by NotifyMerge, cleared by the joiner
	metrics   *metrics
	log       *slog.Logger
	rarely    *rarely
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
)

// errRefused is all that memberlist gets to know: it would log the rest.
var errRefused = errors.New("refused")

// NotifyAlive refuses what cannot be a member. Whoever has the gossip key can
// claim anything else.
func (d *delegate) NotifyAlive(n *memberlist.Node) error {
	reason := d.check(n)
	if reason == "" {
		return nil
	}
	if skipped, ok := d.refuse(reason); ok {
		d.log.Warn("member refused", "member", cut(n.Name), "addr", n.Addr, "reason", reason, "not_logged_before", skipped)
	}
	return errRefused
}

// check returns why the node is refused, or "".
func (d *delegate) check(n *memberlist.Node) string {
	role, name := splitGossipName(n.Name)
	if !identity.ValidName(name) {
		return badName
	}
	m, err := decodeMeta(n.Meta)
	if err != nil {
		return badMeta
	}
	if m.role != role {
		return wrongRole
	}
	addr, ok := netip.AddrFromSlice(n.Addr)
	addr = addr.Unmap()
	own := d.addr.Addr()
	switch {
	case !ok || n.Port == 0 || cannotBe(addr):
		return badAddress
	// These mean something else on every machine: to us, ourselves, or a cloud's
	// metadata service.
	case addr.IsLoopback() && !own.IsLoopback(), addr.IsLinkLocalUnicast() && !own.IsLinkLocalUnicast():
		return badAddress
	}
	return ""
}

// cannotBe tells whether nobody can be reached at an address.
func cannotBe(a netip.Addr) bool {
	return !a.IsValid() || a.IsUnspecified() || a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// NotifyConflict comes when a name is alive at one address and is claimed from
// another: a restart with a new address before the old one was declared dead,
// two nodes with one name, or an attack.
func (d *delegate) NotifyConflict(existing, other *memberlist.Node) {
	if skipped, ok := d.refuse(conflict); ok {
		d.log.Warn("member claimed from another address", "member", cut(existing.Name), "addr", existing.Addr, "other", other.Addr, "reason", conflict, "not_logged_before", skipped)
	}
}

// NotifyMerge sees what a seed knew when we joined it. If that has our own name
// at another address, the seed may not have believed us, and we must join again
// once it has seen our predecessor die. Nothing else would tell us.
func (d *delegate) NotifyMerge(peers []*memberlist.Node) error {
	for _, n := range peers {
		if n.Name != d.self || n.State == memberlist.StateLeft {
			continue
		}
		addr, _ := netip.AddrFromSlice(n.Addr)
		if netip.AddrPortFrom(addr.Unmap(), n.Port) != d.addr {
			d.contested.Store(true)
		}
	}
	return nil
}

// refuse counts a refusal, and tells whether it is to be logged and how many
// of its kind were not.
func (d *delegate) refuse(reason string) (skipped int, log bool) {
	d.metrics.refused.WithLabelValues(reason).Inc()
	return d.rarely.allow(reason)
}

// cut shortens what a stranger wrote, for the log.
func cut(s string) string { return s[:min(len(s), 64)] }
