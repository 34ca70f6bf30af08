package api

import (
	"net/http"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/agent/ring"
	"github.com/rollcall-metrics/rollcall/agent/sampler"
	"github.com/rollcall-metrics/rollcall/pkg/obs"
)

// Pages are where the debug pages get what they show.
type Pages struct {
	// Node is the node's name, Resolution the distance of slots. Without them
	// the pages cannot tell which member this is, and that sampling has ended.
	Node       string
	Resolution time.Duration
	Summary    func() sampler.Status
	Ring       func() ring.Status
	// Roster is shown in full if it returns a [Roster].
	Roster func() any
	// Waiting is why this agent is not in the roster yet, nil if it is; Keys are
	// the gossip keys in use, by their IDs. Both may be nil.
	Waiting func() error
	Keys    func() []string
	// Config is shown as it is, and must hold no secrets.
	Config any
}

// Debug returns the handler of /debug/.
func Debug(p Pages) http.Handler {
	mux := http.NewServeMux()
	obs.HandlePages(mux, strings.TrimSpace("rollcall-agent "+p.Node), []obs.Page{
		{Name: "summary", Title: "What the kubelet answers", Data: p.summary},
		{Name: "ring", Title: "The history that is kept", Data: p.ring},
		{Name: "roster", Title: "Who else is here", Data: p.roster},
		{Name: "keys", Title: "The gossip keys in use", Data: p.keys},
		{Name: "config", Title: "The flags in force", Data: p.config},
	})
	obs.HandlePprof(mux)
	return mux
}

// since is how long something has lasted, within a sentence.
func since(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return " since " + t.UTC().Format(time.RFC3339)
}

// oneLine joins the lines of joined errors.
func oneLine(text string) string { return strings.ReplaceAll(text, "\n", "; ") }

// sentence is an error's text as the end of a sentence.
func sentence(text string) string {
	text = oneLine(text)
	if strings.HasSuffix(text, "?") || strings.HasSuffix(text, ".") {
		return text
	}
	return text + "."
}

// orNone is a value that may be empty.
func orNone(text string) obs.Value {
	if text == "" {
		text = "none"
	}
	return obs.Text(text)
}
