package standin

import (
	"strings"
	"testing"
	"time"
)

func TestNewNamesTheBadField(t *testing.T) {
	good := Config{Node: "n", Resolution: 15 * time.Second, Token: "t", Trace: &Trace{}}
	for name, c := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"no node":               {func(c *Config) { c.Node = "" }, "Node"},
		"negative pods":         {func(c *Config) { c.Pods = -1 }, "Pods"},
		"too many pods":         {func(c *Config) { c.Pods = maxPods + 1 }, "Pods"},
		"no resolution":         {func(c *Config) { c.Resolution = 0 }, "Resolution"},
		"fraction of a second":  {func(c *Config) { c.Resolution = 1500 * time.Millisecond }, "Resolution"},
		"no token, no security": {func(c *Config) { c.Token = "" }, "Token"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := good
			c.change(&cfg)
			if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is %v, want one that names %s", err, c.want)
			}
		})
	}
}
