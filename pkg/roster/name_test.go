package roster

import (
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/identity"
)

func TestGossipName(t *testing.T) {
	start := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for want, l := range map[string]life{
		"node-1.example@mwqcvpc0":   lifeOf(identity.Agent, "node-1.example", start),
		"aggregator/pod-1@mwqcvpc0": lifeOf(identity.Aggregator, "pod-1", start),
		"aggregator/node-1":         {Peer: identity.Peer{Role: identity.Aggregator, Name: "node-1"}},
		"aggregator@1":              {Peer: identity.Peer{Role: identity.Agent, Name: "aggregator"}, start: 1},
		"node-1":                    lifeOf(identity.Agent, "node-1", time.Time{}), // a clock that is far off
		"node-1@3w5e11264sgsf":      {Peer: identity.Peer{Role: identity.Agent, Name: "node-1"}, start: 1<<64 - 1},
	} {
		if got := l.gossipName(); got != want {
			t.Errorf("%+v is %s, want %s", l, got, want)
		}
		if got, ok := parseGossipName(want); !ok || got != l {
			t.Errorf("%s is %+v, %v", want, got, ok)
		}
	}
	for _, bad := range []string{
		"", "@1", "node-1@", "node-1@0", "node-1@01", "node-1@A", "node-1@-1", "node-1@+1", "node-1@3w5e11264sgsg", "node-1@1@1",
		"Node", "aggregator/", "aggregator/@1", "aggregator/aggregator/x", "node/1@1",
	} {
		if l, ok := parseGossipName(bad); ok {
			t.Errorf("%q is %+v", bad, l)
		}
	}
}
