package job

import (
	"net/netip"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/roster"
)

// NodeName is the name of the node whose agent is measured.
const NodeName = "full-node"

// Resolution is the distance of slots in all measurements.
const Resolution = 15 * time.Second

// SlotSeconds is Resolution in seconds.
const SlotSeconds = int64(Resolution / time.Second)

// Loopback is where all of a benchmark listens.
var Loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// At is the address of a port.
func At(port uint16) string { return netip.AddrPortFrom(Loopback, port).String() }

// Ports are those of an agent's listeners.
type Ports struct{ Peer, Local, Metrics, Gossip uint16 }

// PromptTiming is the default timing without the wait before the first join,
// which is there for thousands.
func PromptTiming() roster.Timing {
	t := roster.DefaultTiming()
	t.StartJitter, t.JoinJitter = 0, 0
	return t
}
