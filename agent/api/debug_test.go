package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-metrics/rollcall/agent/kubelet"
	"github.com/rollcall-metrics/rollcall/agent/ring"
	"github.com/rollcall-metrics/rollcall/agent/sampler"
	"github.com/rollcall-metrics/rollcall/pkg/golden"
	"github.com/rollcall-metrics/rollcall/pkg/identity"
	"github.com/rollcall-metrics/rollcall/pkg/roster"
)

const browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"

// A fleet is a roster as a test wants it.
type members struct {
	alive      []roster.Member
	dead, left []roster.Departure
}

func (m members) Members() []roster.Member     { return m.alive }
func (m members) Departed() []roster.Departure { return m.dead }
func (m members) Left() []roster.Departure     { return m.left }

// In a bubble of synctest, all times follow from this one.
func ago(d time.Duration) time.Time { return time.Now().Add(-d) }

func member(name string, role identity.Role, i byte) roster.Member {
	m := roster.Member{Name: name, Role: role, Addr: netip.AddrFrom4([4]byte{10, 0, 0, i}), Version: "v1.2.3", Start: ago(time.Hour)}
	if role == identity.Agent {
		m.PeerPort = 9810
	}
	return m
}

// healthy are the pages of a node on which nothing is wrong.
func healthy() Pages {
	slot := ago(12 * time.Second).Unix()
	return Pages{
		Node: "node-1", Resolution: 15 * time.Second,
		Summary: func() sampler.Status {
			return sampler.Status{Slot: slot, Since: ago(time.Hour), Answer: kubelet.Answer{
				Form: kubelet.Light, Status: 200, At: ago(10 * time.Second), Took: 34 * time.Millisecond,
				Body: []byte(`{"node":{"nodeName":"node-1","cpu":{"usageNanoCores":250000000}},"pods":[]}`),
			}}
		},
		Ring: func() ring.Status {
			end := slot - slot%900
			return ring.Status{
				State: "disk", Dir: "/var/lib/rollcall", Oldest: end - 900, Newest: slot, DiskBytes: 12897484,
				Blocks: []ring.BlockInfo{{Seq: 1, Start: end - 900, First: end - 900, Last: end - 15, Resolution: 15, Slots: 60, Groups: 56, Bytes: 81920}},
				Open:   &ring.BlockInfo{Seq: 2, Start: end, First: end, Last: slot, Resolution: 15, Slots: 59, Groups: 56, Bytes: 71000},
			}
		},
		Roster: func() any {
			return members{alive: []roster.Member{
				member("node-1", identity.Agent, 1), member("node-2", identity.Agent, 2), member("rollcall-aggregator-0", identity.Aggregator, 3),
			}}
		},
		Config: map[string]string{"--node-name": "node-1", "--namespaces": "", "--max-disk": "128MiB"},
	}
}

func fails(err *kubelet.Error, a kubelet.Answer) func(*Pages) {
	return func(p *Pages) {
		a.At = ago(10 * time.Second)
		p.Summary = func() sampler.Status {
			return sampler.Status{Slot: ago(12 * time.Second).Unix(), Since: ago(675 * time.Second), Failures: 45, Err: err, Answer: a}
		}
	}
}

func ringIs(change func(*ring.Status)) func(*Pages) {
	return func(p *Pages) {
		s := p.Ring()
		change(&s)
		p.Ring = func() ring.Status { return s }
	}
}

func rosterIs(m func() members) func(*Pages) {
	return func(p *Pages) { p.Roster = func() any { return m() } }
}

var forbidden = &kubelet.Error{Kind: kubelet.Forbidden, Status: 403, Err: errors.New(
	`it answers "Forbidden (user=system:serviceaccount:rollcall:rollcall-agent, verb=get, resource=nodes, subresource(s)=[stats])": grant this user the verb get on the resource nodes/stats`)}

func TestDebugGolden(t *testing.T) {
	cases := []struct {
		name, page string
		change     func(*Pages)
	}{
		{"overview", "", nil},
		{"overview, faults", "", func(p *Pages) {
			fails(forbidden, kubelet.Answer{Status: 403})(p)
			rosterIs(func() members { return members{alive: []roster.Member{member("node-1", identity.Agent, 1)}} })(p)
		}},
		{"summary", "summary", nil},
		{"summary, not asked yet", "summary", func(p *Pages) { p.Summary = func() sampler.Status { return sampler.Status{} } }},
		{"summary, forbidden", "summary", fails(forbidden, kubelet.Answer{Status: 403, Body: []byte("Forbidden (user=<system>)")})},
		{"summary, parts left out", "summary", func(p *Pages) {
			s := p.Summary()
			s.Answer.Skipped = []string{`pod shop/<b>: memory: "availableBytes" underflows`}
			p.Summary = func() sampler.Status { return s }
		}},
		{"ring", "ring", nil},
		{"ring, empty", "ring", ringIs(func(s *ring.Status) { *s = ring.Status{State: "disk", Dir: s.Dir, Blocks: []ring.BlockInfo{}} })},
		{"ring, gaps", "ring", ringIs(func(s *ring.Status) {
			s.Open.Gaps = []ring.Gap{{From: s.Open.Start + 30, To: s.Open.Start + 60, Why: "kubelet timeout: before an answer"}}
			s.Blocks[0].Start -= 7200
		})},
		{"ring, no samples", "ring", ringIs(func(s *ring.Status) { s.Newest -= 600; s.Open.Last = s.Newest })},
		{"ring, in memory", "ring", ringIs(func(s *ring.Status) {
			s.State, s.Error, s.Unstored = "memory", "open the ring in /var/lib/rollcall: no space left on device", 7
			s.Blocks = []ring.BlockInfo{}
		})},
		{"roster", "roster", nil},
		{"roster, alone", "roster", rosterIs(func() members { return members{alive: []roster.Member{member("node-1", identity.Agent, 1)}} })},
		{"roster, aggregator gone", "roster", rosterIs(func() members {
			return members{
				alive: []roster.Member{member("node-1", identity.Agent, 1)},
				dead: []roster.Departure{
					{Member: member("node-2", identity.Agent, 2), At: ago(time.Minute)},
					{Member: member("rollcall-aggregator-0", identity.Aggregator, 3), At: ago(2 * time.Minute)},
				},
				left: []roster.Departure{{Member: member("rollcall-aggregator-1", identity.Aggregator, 4), At: ago(time.Hour)}},
			}
		})},
		{"config", "config", nil},
	}
	style := regexp.MustCompile(`(?s)<style>.*</style>`)
	for _, c := range cases {
		for form, accept := range map[string]string{"html": browser, "json": "*/*"} {
			t.Run(c.name+" "+form, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					pages := healthy()
					if c.change != nil {
						c.change(&pages)
					}
					got := style.ReplaceAllString(ask(t, pages, c.page, accept), "<style>…</style>")
					if form == "json" {
						var answer struct{ Problems []string }
						if err := json.Unmarshal([]byte(got), &answer); err != nil || answer.Problems == nil {
							t.Errorf("%v, problems %v", err, answer.Problems)
						}
					}
					golden.Compare(t, strings.NewReplacer(",", "", " ", "_").Replace("debug "+c.name+"."+form), got)
				})
			})
		}
	}
}

func ask(t *testing.T, p Pages, page, accept string) string {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/debug/"+page, nil)
	r.Header.Set("Accept", accept)
	w := httptest.NewRecorder()
	Debug(p).ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Errorf("%d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func TestSummaryVerdict(t *testing.T) {
	ok := kubelet.Answer{Status: 200}
	for name, c := range map[string]struct {
		err    error
		answer kubelet.Answer
		want   string // what the verdict has, in this order, split by |
	}{
		"unreachable":   {&kubelet.Error{Kind: kubelet.Unreachable, Err: errors.New("nothing listens")}, kubelet.Answer{}, "cannot be reached since 1999-12-31T23:59:00Z, 1 slot in a row: nothing listens."},
		"timeout":       {&kubelet.Error{Kind: kubelet.Timeout, Err: errors.New("before an answer")}, kubelet.Answer{}, "does not answer in time"},
		"no token":      {&kubelet.Error{Kind: kubelet.Unauthorized, Err: errors.New("read the token")}, kubelet.Answer{}, "nothing to show|read the token|mounted"},
		"unauthorized":  {&kubelet.Error{Kind: kubelet.Unauthorized, Status: 401, Err: errors.New("x")}, kubelet.Answer{Status: 401}, "(401)"},
		"fails":         {&kubelet.Error{Kind: kubelet.Failed, Status: 500, Err: errors.New("x")}, kubelet.Answer{Status: 500}, "fails (500)"},
		"light works":   {errors.Join(fmt.Errorf("the full form fails: %w", &kubelet.Error{Kind: kubelet.Failed, Status: 500, Err: errors.New("x")}), errors.New("y")), ok, "Only CPU and memory|the full form fails|; y"},
		"malformed":     {&kubelet.Error{Kind: kubelet.Malformed, Status: 200, Err: errors.New("x")}, ok, "is no summary|x|body below"},
		"truncated":     {&kubelet.Error{Kind: kubelet.Truncated, Status: 200, Err: errors.New("x")}, ok, "breaks off"},
		"too large":     {&kubelet.Error{Kind: kubelet.TooLarge, Status: 200, Err: errors.New("x")}, ok, "too large"},
		"an unknown":    {&kubelet.Error{Kind: kubelet.Canceled, Err: errors.New("x")}, ok, "gives no answer"},
		"nothing in it": {errors.New("no measurement"), ok, "of no use|no measurement"},
	} {
		t.Run(name, func(t *testing.T) {
			now := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
			c.answer.At = now
			got := judgeSummary(sampler.Status{Slot: 1, Err: c.err, Failures: 1, Since: now.Add(-time.Minute), Answer: c.answer}, now, 0)
			if len(got) != 1 {
				t.Fatalf("verdict %q", got)
			}
			rest := got[0]
			for part := range strings.SplitSeq(c.want, "|") {
				var found bool
				if _, rest, found = strings.Cut(rest, part); !found {
					t.Errorf("%q lacks %q", got[0], part)
				}
			}
		})
	}
	now := time.Now()
	s := sampler.Status{Slot: 1, Answer: kubelet.Answer{At: now.Add(-2 * time.Minute)}}
	if got := judgeSummary(s, now, 15*time.Second); len(got) != 1 || !strings.Contains(got[0], "has not asked the kubelet for 2 min") {
		t.Errorf("a sampler that is stuck: %q", got)
	}
}

// What the kubelet or a member says stays a text.
func TestDebugEscapes(t *testing.T) {
	const hostile = `</pre></style><script>alert("x")</script><img src=x>`
	pages := healthy()
	pages.Node = hostile
	fails(&kubelet.Error{Kind: kubelet.Failed, Status: 500, Err: errors.New(hostile)},
		kubelet.Answer{Status: 500, Body: []byte(hostile), Skipped: []string{hostile}})(&pages)
	ringIs(func(s *ring.Status) {
		s.Dir, s.State, s.Error = hostile, "memory", hostile
		s.Open.Gaps = []ring.Gap{{From: s.Open.Start, To: s.Open.Start, Why: hostile}}
	})(&pages)
	rosterIs(func() members {
		m := member(hostile, identity.Agent, 1)
		m.Version = hostile
		return members{[]roster.Member{m}, []roster.Departure{{Member: m}}, []roster.Departure{{Member: m}}}
	})(&pages)
	pages.Config = map[string]string{hostile: hostile}
	for _, page := range []string{"", "summary", "ring", "roster", "config"} {
		html := ask(t, pages, page, browser)
		if strings.Contains(html, "<script") || strings.Contains(html, "<img") || strings.Count(html, "</style>") != 1 {
			t.Errorf("%s is not escaped:\n%s", page, html)
		}
		if page != "" && !strings.Contains(html, "&lt;script&gt;") {
			t.Errorf("%s does not show it", page)
		}
	}
}

// A page of a large fleet has all in its JSON, and to people what matters.
func TestRosterOfMany(t *testing.T) {
	var m members
	for i := range 5000 {
		a := member(fmt.Sprintf("node-%04d", i), identity.Agent, byte(i))
		if i%1000 == 0 {
			m.dead = append(m.dead, roster.Departure{Member: a, At: ago(time.Minute)})
		} else {
			m.alive = append(m.alive, a)
		}
	}
	m.alive = append(m.alive, member("z-aggregator", identity.Aggregator, 1))
	pages := healthy()
	rosterIs(func() members { return m })(&pages)
	html := ask(t, pages, "roster", browser)
	for _, want := range []string{"z-aggregator", "node-3000", ">4995<", "These are 4995"} {
		if !strings.Contains(html, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	if len(html) > 20<<10 {
		t.Errorf("the page has %d bytes", len(html))
	}
	var answer struct{ Members []roster.Member }
	if err := json.Unmarshal([]byte(ask(t, pages, "roster", "")), &answer); err != nil || len(answer.Members) != 4996 || answer.Members[0].Role != identity.Aggregator {
		t.Errorf("JSON: %v, %d members", err, len(answer.Members))
	}
}

// A body is cut for people, and whole for programs.
func TestLargeBody(t *testing.T) {
	body := `{"pods":["` + strings.Repeat("x", 100) + `"` + strings.Repeat(`,"`+strings.Repeat("x", 100)+`"`, 5000) + `]}`
	pages := healthy()
	pages.Summary = func() sampler.Status {
		return sampler.Status{Slot: 1, Answer: kubelet.Answer{Status: 200, At: time.Now(), Body: []byte(body)}}
	}
	if html := ask(t, pages, "summary", browser); len(html) > shownBody+shownBody/2 || !strings.Contains(html, "The first ") {
		t.Errorf("the page has %d bytes", len(html))
	}
	var answer struct{ Body json.RawMessage }
	if err := json.Unmarshal([]byte(ask(t, pages, "summary", "")), &answer); err != nil || len(answer.Body) < len(body) {
		t.Errorf("JSON: %v, %d bytes", err, len(answer.Body))
	}
}
