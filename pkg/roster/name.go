package roster

import (
	"strconv"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/identity"
)

// aggregatorPrefix keeps aggregators from colliding with agents: a '/' is in
// no node's name.
const aggregatorPrefix = "aggregator/"

// A life is one process of a member, and what gossip knows it by: its peer and,
// behind an '@', which is in no name, either, when it started:
//
//	node-1@mwqcvpc0          an agent
//	aggregator/pod-1@mwqcvpc0  an aggregator
//
// To gossip, a member that starts again is another one. Were it the same, who
// has not heard that the old process has left would refuse the new one's
// address, some of them for hours, and who hears of the leave after the new
// one would take that for gone; a killed one could not be back before it is
// declared dead. When a fleet is restarted a tenth at a time, a third of it
// went missing so.
type life struct {
	identity.Peer
	// start is in Unix milliseconds by the process's own clock; 0 if it does not say.
	start uint64
}

func lifeOf(role identity.Role, name string, start time.Time) life {
	return life{identity.Peer{Role: role, Name: name}, uint64(max(0, start.UnixMilli()))}
}

// gossipName is a process's name in memberlist.
func (l life) gossipName() string {
	name := l.Name
	if l.Role == identity.Aggregator {
		name = aggregatorPrefix + name
	}
	if l.start == 0 {
		return name
	}
	return name + "@" + strconv.FormatUint(l.start, 36)
}

// parseGossipName is the reverse. It tells whether the name can be one: whoever
// has the gossip key can claim any.
func parseGossipName(gossip string) (life, bool) {
	l := life{Peer: identity.Peer{Role: identity.Agent}}
	name, start, _ := strings.Cut(gossip, "@")
	if start != "" {
		l.start, _ = strconv.ParseUint(start, 36, 64)
	}
	if rest, ok := strings.CutPrefix(name, aggregatorPrefix); ok {
		l.Role, name = identity.Aggregator, rest
	}
	l.Name = name
	// Each has one name only: no zeros in front, no capitals, no empty start.
	return l, identity.ValidName(name) && l.gossipName() == gossip
}
