package roster

import (
	"bytes"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-metrics/rollcall/pkg/identity"
	"github.com/rollcall-metrics/rollcall/pkg/obs"
)

func newDelegate(own string, log *slog.Logger) *delegate {
	return &delegate{
		self:    lifeOf(identity.Agent, "node-0", time.UnixMilli(1000)),
		addr:    netip.AddrPortFrom(netip.MustParseAddr(own), port),
		metrics: newMetrics(prometheus.NewRegistry()),
		log:     log,
		rarely:  obs.NewRarely(1, time.Minute),
	}
}

// nodeOf is a member as memberlist describes it.
func nodeOf(name, addr string, m meta) *memberlist.Node {
	return &memberlist.Node{Name: name, Addr: net.ParseIP(addr), Port: port, Meta: m.encode()}
}

func TestNotifyAlive(t *testing.T) {
	agent := meta{role: identity.Agent, peerPort: 9810, start: time.Unix(1, 0)}
	aggregator := meta{role: identity.Aggregator, start: time.Unix(1, 0)}
	tests := map[string]struct {
		node *memberlist.Node
		own  string
		want string
	}{
		"agent":                 {nodeOf("node-1.example", "10.0.0.2", agent), "10.0.0.1", ""},
		"aggregator":            {nodeOf("aggregator/a-1", "10.0.0.2", aggregator), "10.0.0.1", ""},
		"IPv6":                  {nodeOf("node-1", "fd00::2", agent), "fd00::1", ""},
		"ourselves":             {nodeOf("node-0", "10.0.0.1", agent), "10.0.0.1", ""},
		"loopback on loopback":  {nodeOf("node-1", "127.0.0.2", agent), "127.0.0.1", ""},
		"with its start":        {nodeOf("node-1@mi8xk2p4", "10.0.0.2", agent), "10.0.0.1", ""},
		"with an empty start":   {nodeOf("node-1@", "10.0.0.2", agent), "10.0.0.1", badName},
		"empty name":            {nodeOf("", "10.0.0.2", agent), "10.0.0.1", badName},
		"upper case":            {nodeOf("Node", "10.0.0.2", agent), "10.0.0.1", badName},
		"other prefix":          {nodeOf("agent/node-1", "10.0.0.2", agent), "10.0.0.1", badName},
		"prefix only":           {nodeOf("aggregator/", "10.0.0.2", aggregator), "10.0.0.1", badName},
		"prefix twice":          {nodeOf("aggregator/aggregator/a", "10.0.0.2", aggregator), "10.0.0.1", badName},
		"long name":             {nodeOf(strings.Repeat("a", 254), "10.0.0.2", agent), "10.0.0.1", badName},
		"escape in name":        {nodeOf("a\x1b[2J", "10.0.0.2", agent), "10.0.0.1", badName},
		"no meta":               {&memberlist.Node{Name: "node-1", Addr: net.IPv4(10, 0, 0, 2), Port: port}, "10.0.0.1", badMeta},
		"agent as aggregator":   {nodeOf("aggregator/a", "10.0.0.2", agent), "10.0.0.1", wrongRole},
		"aggregator as agent":   {nodeOf("node-1", "10.0.0.2", aggregator), "10.0.0.1", wrongRole},
		"no address":            {nodeOf("node-1", "", agent), "10.0.0.1", badAddress},
		"three bytes":           {&memberlist.Node{Name: "node-1", Addr: net.IP{10, 0, 0}, Port: port, Meta: agent.encode()}, "10.0.0.1", badAddress},
		"no port":               {&memberlist.Node{Name: "node-1", Addr: net.IPv4(10, 0, 0, 2), Meta: agent.encode()}, "10.0.0.1", badAddress},
		"unspecified":           {nodeOf("node-1", "0.0.0.0", agent), "10.0.0.1", badAddress},
		"unspecified IPv6":      {nodeOf("node-1", "::", agent), "10.0.0.1", badAddress},
		"multicast":             {nodeOf("node-1", "224.0.0.1", agent), "10.0.0.1", badAddress},
		"broadcast":             {nodeOf("node-1", "255.255.255.255", agent), "10.0.0.1", badAddress},
		"loopback":              {nodeOf("node-1", "127.0.0.1", agent), "10.0.0.1", badAddress},
		"metadata service":      {nodeOf("node-1", "169.254.169.254", agent), "10.0.0.1", badAddress},
		"loopback, mapped":      {nodeOf("node-1", "::ffff:127.0.0.1", agent), "10.0.0.1", badAddress},
		"link-local, both IPv6": {nodeOf("node-1", "fe80::2", agent), "fe80::1", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			d := newDelegate(tt.own, slog.New(slog.DiscardHandler))
			if _, got := d.check(tt.node); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if err := d.NotifyAlive(tt.node); (err == nil) != (tt.want == "") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestRefusalsAreLoggedOnce(t *testing.T) {
	var logged bytes.Buffer
	d := newDelegate("10.0.0.1", slog.New(slog.NewTextHandler(&logged, nil)))
	for range 3 {
		_ = d.NotifyAlive(nodeOf("BAD"+strings.Repeat("X", 1000), "10.0.0.2", meta{}))
		d.NotifyConflict(nodeOf("node-1", "10.0.0.2", meta{}), nodeOf("node-1", "10.0.0.3", meta{}))
	}
	s := logged.String()
	if strings.Count(s, "\n") != 2 || !strings.Contains(s, "reason=bad_name") || !strings.Contains(s, "addr=10.0.0.2 other=10.0.0.3 reason=conflict") || len(s) > 600 {
		t.Errorf("logged:\n%s", s)
	}
}

// A process that started later has our name, or is ourselves, or our
// predecessor.
func TestContested(t *testing.T) {
	agent := meta{role: identity.Agent, peerPort: 9810}
	for name, want := range map[string]int{
		"node-0":            0,
		"node-0@rr":         0, // 999 in base 36
		"node-0@rs":         0, // ourselves
		"node-0@rt":         1,
		"node-1@rt":         0,
		"aggregator/node-0": 0,
	} {
		t.Run(name, func(t *testing.T) {
			var logged bytes.Buffer
			d := newDelegate("10.0.0.1", slog.New(slog.NewTextHandler(&logged, nil)))
			m := agent
			if strings.HasPrefix(name, aggregatorPrefix) {
				m.role = identity.Aggregator
			}
			if err := d.NotifyAlive(nodeOf(name, "10.0.0.2", m)); err != nil {
				t.Error(err)
			}
			if got := strings.Count(logged.String(), "another process has the name of this one"); got != want {
				t.Errorf("logged:\n%s", &logged)
			}
		})
	}
}

func TestMemberlistLog(t *testing.T) {
	tests := map[string]struct{ line, want string }{
		"debug":       {"[DEBUG] memberlist: Stream connection\n", "level=DEBUG msg=memberlist line=\"Stream connection\"\n"},
		"info":        {"[INFO] memberlist: Marking x\n", "level=INFO msg=memberlist line=\"Marking x\" not_logged_before=0\n"},
		"warning":     {"[WARN] memberlist: Was able\n", "level=WARN msg=memberlist line=\"Was able\" not_logged_before=0\n"},
		"error":       {"[ERR] memberlist: Decrypt\n", "level=ERROR msg=memberlist line=Decrypt not_logged_before=0\n"},
		"ERROR":       {"[ERROR] x y\n", "level=ERROR msg=memberlist line=\"x y\" not_logged_before=0\n"},
		"no level":    {"hello\n", "level=INFO msg=memberlist line=hello not_logged_before=0\n"},
		"ours before": {"[WARN] memberlist: ignoring alive message for 'x': refused\n", "level=DEBUG msg=memberlist line=\"ignoring alive message for 'x': refused\"\n"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var logged bytes.Buffer
			log := slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{
				Level: slog.LevelDebug,
				ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
					if a.Key == slog.TimeKey {
						return slog.Attr{}
					}
					return a
				},
			}))
			l := &memberlistLog{log: log, rarely: obs.NewRarely(2, time.Hour)}
			if n, err := l.Write([]byte(tt.line)); n != len(tt.line) || err != nil {
				t.Errorf("wrote %d, %v", n, err)
			}
			if logged.String() != tt.want {
				t.Errorf("got %q\nwant %q", logged.String(), tt.want)
			}
		})
	}
}
