package roster

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/rollcall-metrics/rollcall/pkg/identity"
)

func TestValidate(t *testing.T) {
	tests := map[string]struct {
		change func(*Config)
		err    string
	}{
		"good":                  {func(c *Config) {}, ""},
		"all interfaces":        {func(c *Config) { c.Bind, c.Advertise = netip.IPv4Unspecified(), c.Bind }, ""},
		"aggregator":            {func(c *Config) { c.Role, c.PeerPort = identity.Aggregator, 0 }, ""},
		"no role":               {func(c *Config) { c.Role = "" }, "unknown role"},
		"bad name":              {func(c *Config) { c.Name = "aggregator/x" }, "DNS-1123"},
		"no bind":               {func(c *Config) { c.Bind = netip.Addr{} }, "--gossip-bind"},
		"address to be guessed": {func(c *Config) { c.Bind = netip.IPv4Unspecified() }, "--gossip-advertise"},
		"multicast":             {func(c *Config) { c.Advertise = netip.MustParseAddr("224.0.0.1") }, "--gossip-advertise"},
		"no port":               {func(c *Config) { c.Port = 0 }, "--gossip-port 0"},
		"port too large":        {func(c *Config) { c.Port = 65536 }, "--gossip-port 65536"},
		"no peer port":          {func(c *Config) { c.PeerPort = 0 }, "peer port"},
		"long label":            {func(c *Config) { c.Label = strings.Repeat("x", 256) }, "--cluster-label has 256"},
		"bad join":              {func(c *Config) { c.Join = []string{"ok", "no port:"} }, `"no port:"`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := Config{Name: "node-1", Role: identity.Agent, Bind: netip.MustParseAddr("10.0.0.1"), Port: 7946, PeerPort: 9810}
			tt.change(&c)
			err := c.Validate()
			if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
				t.Errorf("got %v, want %q", err, tt.err)
			}
		})
	}
}
