package kubelet

import (
	"strings"
	"testing"
	"time"
)

func TestConfigValidate(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*Config)
		flags  string // named by the error, in order; "": valid
	}{
		"good":            {func(*Config) {}, ""},
		"IPv6":            {func(c *Config) { c.Address = "fe80::1%eth0" }, ""},
		"no node":         {func(c *Config) { c.Node = "" }, "--node-name"},
		"no address":      {func(c *Config) { c.Address = "" }, "--kubelet-address"},
		"a name to dial":  {func(c *Config) { c.Address = "localhost" }, "--kubelet-address"},
		"port 0":          {func(c *Config) { c.Port = 0 }, "--kubelet-port"},
		"port too large":  {func(c *Config) { c.Port = 65536 }, "--kubelet-port"},
		"insecure and CA": {func(c *Config) { c.InsecureTLS = true; c.CAFile = "x" }, "--kubelet-insecure-tls --kubelet-certificate-authority"},
		"no key":          {func(c *Config) { c.ClientCert = "x" }, "--kubelet-client-certificate --kubelet-client-key"},
		"no certificate":  {func(c *Config) { c.ClientKey = "x" }, "--kubelet-client-certificate --kubelet-client-key"},
		"no timeout":      {func(c *Config) { c.Timeout = 0 }, "--kubelet-request-timeout"},
		"negative body":   {func(c *Config) { c.MaxBody = -1 }, "--kubelet-max-body"},
		"endless body":    {func(c *Config) { c.MaxBody = 1<<63 - 1 }, "--kubelet-max-body"},
		"all at once":     {func(c *Config) { *c = Config{} }, "--node-name --kubelet-address --kubelet-port --kubelet-request-timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := Config{Node: testNode, Address: "10.0.0.1", Port: 10250, Timeout: time.Second}
			test.change(&cfg)
			client, err := New(cfg)
			if err == nil {
				defer client.Close()
			}
			var flags []string
			if err != nil {
				for word := range strings.FieldsSeq(err.Error()) {
					if strings.HasPrefix(word, "--") {
						flags = append(flags, word)
					}
				}
			}
			if got := strings.Join(flags, " "); got != test.flags {
				t.Errorf("error %v names %q, want %q", err, got, test.flags)
			}
		})
	}
}

func TestKindsAndForms(t *testing.T) {
	for got, want := range map[string]string{
		Unreachable.String(): "unreachable", Timeout.String(): "timeout", Canceled.String(): "canceled",
		Unauthorized.String(): "unauthorized", Forbidden.String(): "forbidden", Failed.String(): "failed",
		Malformed.String(): "malformed", Truncated.String(): "truncated", TooLarge.String(): "too_large",
		Kind(0).String(): "kind_0", Light.String(): "light", Full.String(): "full", Form(9).String(): "form_9",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
