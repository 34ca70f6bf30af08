package identity

import (
	"crypto/x509"
	"net/url"
	"strings"
	"testing"
)

func TestValidName(t *testing.T) {
	tests := map[string]struct {
		name string
		want bool
	}{
		"short":             {"a", true},
		"digits":            {"10", true},
		"node":              {"ip-10-0-0-1.eu-west-1.compute.internal", true},
		"label of 100":      {strings.Repeat("a", 100), true},
		"253 bytes":         {strings.Repeat("a", 253), true},
		"254 bytes":         {strings.Repeat("a", 254), false},
		"empty":             {"", false},
		"upper case":        {"Node", false},
		"underscore":        {"node_1", false},
		"slash":             {"a/b", false},
		"leading dash":      {"-a", false},
		"trailing dash":     {"a-", false},
		"leading dot":       {".a", false},
		"trailing dot":      {"a.", false},
		"empty label":       {"a..b", false},
		"dash after dot":    {"a.-b", false},
		"dash before dot":   {"a-.b", false},
		"not ASCII":         {"nöde", false},
		"newline":           {"a\nb", false},
		"terminal escapes":  {"\x1b[31m", false},
		"double inner dash": {"a--b", true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := ValidName(tt.name); got != tt.want {
				t.Errorf("ValidName(%q) = %v", tt.name, got)
			}
		})
	}
}

func TestPeerOf(t *testing.T) {
	agent := Peer{Agent, "node-1"}
	tests := map[string]struct {
		uris []string
		want Peer
		err  string
	}{
		"agent":          {[]string{"rollcall://agent/node-1"}, agent, ""},
		"aggregator":     {[]string{"rollcall://aggregator/a.b"}, Peer{Aggregator, "a.b"}, ""},
		"other schemes":  {[]string{"spiffe://x/y", "rollcall://agent/node-1"}, agent, ""},
		"none":           {nil, Peer{}, "no rollcall URI"},
		"only others":    {[]string{"spiffe://x/y"}, Peer{}, "no rollcall URI"},
		"two":            {[]string{"rollcall://agent/a", "rollcall://aggregator/a"}, Peer{}, "several"},
		"twice the same": {[]string{"rollcall://agent/a", "rollcall://agent/a"}, Peer{}, "several"},
		"unknown role":   {[]string{"rollcall://admin/a"}, Peer{}, "unknown role"},
		"no role":        {[]string{"rollcall:///a"}, Peer{}, "unknown role"},
		"opaque":         {[]string{"rollcall:agent"}, Peer{}, "unknown role"},
		"no name":        {[]string{"rollcall://agent"}, Peer{}, "DNS-1123"},
		"empty name":     {[]string{"rollcall://agent/"}, Peer{}, "DNS-1123"},
		"longer path":    {[]string{"rollcall://agent/a/b"}, Peer{}, "DNS-1123"},
		"double slash":   {[]string{"rollcall://agent//a"}, Peer{}, "DNS-1123"},
		"bad name":       {[]string{"rollcall://agent/A"}, Peer{}, "DNS-1123"},
		"port":           {[]string{"rollcall://agent:1/a"}, Peer{}, "unknown role"},
		"user":           {[]string{"rollcall://me@agent/a"}, Peer{}, "is not rollcall://agent/a"},
		"query":          {[]string{"rollcall://agent/a?x"}, Peer{}, "is not rollcall://agent/a"},
		"empty query":    {[]string{"rollcall://agent/a?"}, Peer{}, "is not rollcall://agent/a"},
		"fragment":       {[]string{"rollcall://agent/a#x"}, Peer{}, "is not rollcall://agent/a"},
		"escape":         {[]string{"rollcall://agent/%61"}, Peer{}, "is not rollcall://agent/a"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			cert := &x509.Certificate{}
			for _, uri := range tt.uris {
				u, err := url.Parse(uri)
				if err != nil {
					t.Fatal(err)
				}
				cert.URIs = append(cert.URIs, u)
			}
			got, err := PeerOf(cert)
			if tt.err == "" && (err != nil || got != tt.want) {
				t.Errorf("got %v, %v", got, err)
			}
			if tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
				t.Errorf("got %v, %v, want an error with %q", got, err, tt.err)
			}
		})
	}
	if s := agent.String(); s != "rollcall://agent/node-1" {
		t.Errorf("String: %s", s)
	}
}
