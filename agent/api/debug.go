package api

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/rollcall-metrics/rollcall/agent/ring"
	"github.com/rollcall-metrics/rollcall/agent/sampler"
	"github.com/rollcall-metrics/rollcall/pkg/obs"
)

// Pages are where the debug pages get what they show.
type Pages struct {
	Summary func() sampler.Status
	Ring    func() ring.Status
	// Roster and Config are shown as JSON. Config must hold no secrets.
	Roster func() any
	Config any
}

// Debug returns the handler of /debug/.
func Debug(p Pages) http.Handler {
	mux := http.NewServeMux()
	obs.HandlePages(mux, map[string]func() any{
		"summary": func() any { return summary(p.Summary()) },
		"ring":    func() any { return p.Ring() },
		"roster":  p.Roster,
		"config":  func() any { return p.Config },
	})
	obs.HandlePprof(mux)
	return mux
}

// summaryPage is /debug/summary: the kubelet's last answer.
type summaryPage struct {
	Slot     int64     `json:"slot"`
	Form     string    `json:"form"`
	Status   int       `json:"status"`
	Error    string    `json:"error,omitempty"`
	Failures int       `json:"failures"`
	Since    time.Time `json:"since,omitzero"`
	At       time.Time `json:"at,omitzero"`
	AgeMs    int64     `json:"ageMs"`
	TookMs   int64     `json:"tookMs"`
	Bytes    int       `json:"bytes"`
	Skipped  []string  `json:"skipped,omitempty"`
	// Body is the answer: the JSON itself, or a string if it is none.
	Body any `json:"body"`
}

func summary(s sampler.Status) summaryPage {
	p := summaryPage{
		Slot: s.Slot, Form: s.Answer.Form.String(), Status: s.Answer.Status,
		Failures: s.Failures, Since: s.Since, At: s.Answer.At,
		TookMs: s.Answer.Took.Milliseconds(), Bytes: len(s.Answer.Body), Skipped: s.Answer.Skipped,
		Body: string(s.Answer.Body),
	}
	if !s.Answer.At.IsZero() {
		p.AgeMs = time.Since(s.Answer.At).Milliseconds()
	}
	if s.Err != nil {
		p.Error = s.Err.Error()
	}
	if json.Valid(s.Answer.Body) {
		p.Body = json.RawMessage(s.Answer.Body)
	}
	return p
}
