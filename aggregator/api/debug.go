package api

import (
	"context"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/aggregator/agents"
	"github.com/rollcall-metrics/rollcall/pkg/obs"
	"github.com/rollcall-metrics/rollcall/pkg/roster"
)

// nodePageTimeout bounds fetching a debug page of a node: a CPU profile takes
// 30 s unless it is told otherwise.
const nodePageTimeout = 2 * time.Minute

// Pages are where the debug pages get what they show.
type Pages struct {
	Expected Expected
	Roster   func() *roster.Snapshot
	Fanout   func() any
	Snapshot func() any
	// Resource is about metrics.k8s.io; nil: it is not served.
	Resource func() any
	// Config is shown as JSON and must hold no secrets.
	Config any
	// Node fetches a debug page of a node's agent.
	Node func(ctx context.Context, node, page, rawQuery string) (*http.Response, error)
}

// Debug returns the handler of /debug/.
func Debug(p Pages) http.Handler {
	mux := http.NewServeMux()
	pages := []obs.Page{
		{Name: "roster", Title: "Who should be here, and who is", Data: func() any { return compare(p.Expected, p.Roster(), time.Now()).cut() }},
		{Name: "fanout", Title: "How questions to nodes went", Data: p.Fanout},
		{Name: "snapshot", Title: "The newest values of all nodes", Data: p.Snapshot},
		{Name: "config", Title: "The flags in force", Data: func() any { return p.Config }},
	}
	if p.Resource != nil {
		pages = append(pages, obs.Page{Name: "resource", Title: "How metrics.k8s.io is served", Data: p.Resource})
	}
	obs.HandlePages(mux, "rollcall-aggregator", pages)
	mux.HandleFunc("GET "+everyone, p.allOfRoster)
	obs.HandlePprof(mux)
	mux.HandleFunc("GET /debug/nodes/{node}/{page...}", p.node)
	return mux
}

// node passes on a debug page of a node's agent, in the form that the reader
// prefers. Whatever the node says, it may not act in the reader's browser.
func (p *Pages) node(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), nodePageTimeout)
	defer cancel()
	query := r.URL.RawQuery
	if !r.URL.Query().Has("format") && obs.PrefersHTML(r) {
		query = strings.TrimPrefix(query+"&format=html", "&")
	}
	w.Header().Set("Vary", "Accept")
	resp, err := p.Node(ctx, r.PathValue("node"), r.PathValue("page"), query)
	if err != nil {
		http.Error(w, string(agents.Outcome(err))+": "+err.Error(), http.StatusBadGateway)
		return
	}
	defer resp.Body.Close()
	w.Header().Set("Content-Type", resp.Header.Get("Content-Type"))
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Content-Security-Policy", obs.PagesPolicy())
	w.WriteHeader(resp.StatusCode)
	_, _ = io.Copy(w, resp.Body) // broken when either side goes away
}
