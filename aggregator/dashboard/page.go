package dashboard

import (
	"errors"
	"fmt"
	"html"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/aggregator/agents"
	"github.com/rollcall-metrics/rollcall/pkg/coverage"
)

// page answers every path that is none of the contract's: whoever probes the scraper
// gets a 200 and text, whoever looks finds out why metrics may be missing. It asks
// nobody.
func (h *Handler) page(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, h.text(r.URL.String())) // fails when the reader went away
}

// maxURL is how much of a URL is repeated: what a person reads, not 4 MB of names.
const maxURL = 200

func (h *Handler) text(url string) string {
	var b strings.Builder
	if len(url) > maxURL {
		url = url[:maxURL] + "…"
	}
	fmt.Fprintf(&b, "URL: %s\n\nRollcall tells the Kubernetes Dashboard the last %v of nodes and pods, every %v.\n\n",
		html.EscapeString(url), short(h.cfg.Window), short(h.cfg.Resolution))
	s := h.snapshot.Status()
	asked, answered := 0, s.Nodes[coverage.OK]
	for _, n := range s.Nodes {
		asked += n
	}
	switch {
	case s.Expected == 0:
		b.WriteString("No agent is expected: no node of the cluster can run one, or none was heard of yet.\n")
	case s.Slot == nil:
		fmt.Fprintf(&b, "Agents: %d are expected. None was asked yet, as nobody has asked this aggregator for anything since it started.\n", s.Expected)
	default:
		fmt.Fprintf(&b, "Agents: %d are expected. When last asked, for %s (%v ago), %d told all, %d did not.\n",
			s.Expected, s.Slot.Format(time.RFC3339), short(time.Since(*s.Slot).Round(time.Second)), answered, asked-answered)
	}
	if s.Oldest != nil && s.Oldest.Slot.Before(*s.Slot) {
		fmt.Fprintf(&b, "Oldest: %s last had values for %s, %v before that.\n",
			s.Oldest.Node, s.Oldest.Slot.Format(time.RFC3339), short(s.Slot.Sub(s.Oldest.Slot)))
	}
	for i, m := range s.Missing {
		if i == 0 {
			b.WriteString("\nMissing:\n")
		}
		fmt.Fprintf(&b, "  %s: %s", m.Node, m.Outcome)
		if m.AgeSeconds > 0 {
			fmt.Fprintf(&b, ", %d s older", m.AgeSeconds)
		}
		if m.Error != "" {
			fmt.Fprintf(&b, ": %s", strings.ReplaceAll(m.Error, "\n", " "))
		}
		b.WriteByte('\n')
	}
	if more := asked - answered - len(s.Missing); more > 0 {
		fmt.Fprintf(&b, "  and %d more\n", more)
	}
	h.lacking(&b)
	if len(h.cfg.Namespaces) > 0 {
		fmt.Fprintf(&b, "\nPods are served of these namespaces only (--namespaces): %s.\n", strings.Join(h.cfg.Namespaces, ", "))
	}
	b.WriteString("\nMore: /debug/ at port 9811 of this aggregator (kubectl port-forward), and /api/v1/node.\n")
	return b.String()
}

// lacking tells of which nodes pages lack history.
func (h *Handler) lacking(b *strings.Builder) {
	lacking := h.windows.lacking()
	if len(lacking) == 0 {
		return
	}
	b.WriteString("\nHistory that is missing, of what was asked for in the last minutes:\n")
	for i, node := range slices.Sorted(maps.Keys(lacking)) {
		if i == coverage.MaxListed {
			fmt.Fprintf(b, "  and %d more\n", len(lacking)-i)
			break
		}
		why := lacking[node].Error()
		if known, ok := errors.AsType[*agents.Error](lacking[node]); ok {
			why = fmt.Sprintf("%s: %v", known.Outcome, known.Err)
		}
		fmt.Fprintf(b, "  %s: %s\n", node, strings.ReplaceAll(why, "\n", " "))
	}
}

// short is a duration without zeros at its end: 15m, not 15m0s.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}
