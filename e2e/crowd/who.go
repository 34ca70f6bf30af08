package crowd

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/rollcall-metrics/rollcall/pkg/identity"
)

// A Member is who one of the crowd is.
type Member struct {
	Peer identity.Peer
	// Addr is an IPv4 address of this machine; no two members share one.
	Addr netip.Addr
	// PeerPort is where an agent says that it answers aggregators.
	PeerPort uint16
	// Start is when it was started. To gossip, who starts again is another one.
	Start time.Time
}

func (m *Member) validate() error {
	if err := m.Peer.Validate(); err != nil {
		return err
	}
	if m.Start.UnixMilli() <= 0 {
		return fmt.Errorf("%v starts at %v", m.Peer, m.Start)
	}
	if !m.Addr.Is4() || !m.Addr.IsLoopback() {
		return fmt.Errorf("%v at %v: not an address in 127.0.0.0/8", m.Peer, m.Addr)
	}
	return nil
}

// strangers are members that nobody has given names: the first are aggregators.
func strangers(members, aggregators int) []Member {
	now := time.Now()
	all := make([]Member, members)
	for i := range all {
		all[i] = Member{
			Peer: identity.Peer{Role: identity.Agent, Name: fmt.Sprintf("crowd-%05d", i)},
			Addr: addrOf(i), PeerPort: PeerPort, Start: now,
		}
		if i < aggregators {
			all[i].Peer.Role, all[i].PeerPort = identity.Aggregator, 0
		}
	}
	return all
}

// addrOf is the address of member i.
func addrOf(i int) netip.Addr {
	i++ // not 127.100.0.0, which looks like a network
	return netip.AddrFrom4([4]byte{127, 100, byte(i >> 8), byte(i)})
}

// gossipName is the gossipName of pkg/roster/name.go.
func gossipName(m *Member) string {
	name := m.Peer.Name
	if m.Peer.Role == identity.Aggregator {
		name = "aggregator/" + name
	}
	return name + "@" + strconv.FormatInt(m.Start.UnixMilli(), 36)
}

// process is a member as it has just started.
func (m *Member) process(port uint16) *member {
	return &member{
		name:        gossipName(m),
		addr:        netip.AddrPortFrom(m.Addr, port),
		meta:        encodeMeta(m, false),
		vsn:         version,
		incarnation: 1,
		state:       memberlist.StateAlive,
	}
}

// encodeMeta is the encode of pkg/roster/meta.go.
func encodeMeta(m *Member, leaving bool) []byte {
	const program = "crowd"
	b := make([]byte, 10, 10+len(program))
	b[0], b[1] = 1, 2
	if m.Peer.Role == identity.Agent {
		b[1] = 1
		binary.BigEndian.PutUint16(b[3:], m.PeerPort)
	}
	if leaving {
		b[2] = 1
	}
	binary.BigEndian.PutUint32(b[5:], uint32(m.Start.Unix()))
	b[9] = byte(len(program))
	return append(b, program...)
}
