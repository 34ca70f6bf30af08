package agents_test

import (
	"testing"

	"github.com/rollcall-metrics/rollcall/aggregator/agents"
	"github.com/rollcall-metrics/rollcall/aggregator/agents/agentstest"
)

func TestDirectConforms(t *testing.T) {
	agentstest.TestTransport(t, func(cfg agents.TransportConfig) agents.Transport { return agents.NewDirect(cfg) })
}

func TestHTTPConforms(t *testing.T) {
	agentstest.TestTransport(t, func(cfg agents.TransportConfig) agents.Transport { return agents.NewHTTP(cfg) })
}
