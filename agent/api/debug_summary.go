package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/agent/kubelet"
	"github.com/rollcall-metrics/rollcall/agent/sampler"
	"github.com/rollcall-metrics/rollcall/pkg/obs"
)

const (
	// lateSlots is how many slots may pass without a sample before that is a
	// problem: one may be lost to a restart, and the next is under way.
	lateSlots = 3
	// shownBody is how much of the kubelet's answer people are shown, in bytes:
	// a full node's has a megabyte.
	shownBody = 64 << 10
	// shownNotes is how many notes of parts left out they are shown.
	shownNotes = 50
)

// summaryPage is /debug/summary: the kubelet's last answer.
type summaryPage struct {
	Problems []string  `json:"problems"`
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

	now  time.Time
	body []byte
}

func (p *Pages) summary() any {
	s, now := p.Summary(), time.Now()
	page := summaryPage{
		Problems: judgeSummary(s, now, p.Resolution),
		Slot:     s.Slot, Form: s.Answer.Form.String(), Status: s.Answer.Status,
		Failures: s.Failures, Since: s.Since, At: s.Answer.At,
		TookMs: s.Answer.Took.Milliseconds(), Bytes: len(s.Answer.Body), Skipped: s.Answer.Skipped,
		Body: string(s.Answer.Body), now: now, body: s.Answer.Body,
	}
	if !s.Answer.At.IsZero() {
		page.AgeMs = now.Sub(s.Answer.At).Milliseconds()
	}
	if s.Err != nil {
		page.Error = s.Err.Error()
	}
	if json.Valid(s.Answer.Body) {
		page.Body = json.RawMessage(s.Answer.Body)
	}
	return page
}

// judgeSummary says what is wrong with the kubelet's answers. resolution may
// be 0.
func judgeSummary(s sampler.Status, now time.Time, resolution time.Duration) []string {
	problems := []string{}
	if s.Slot == 0 {
		return append(problems, "The kubelet has not been asked yet: the agent has just started. Look again in a slot's time.")
	}
	if s.Err != nil {
		what, why := refusal(s)
		problems = append(problems, fmt.Sprintf("%s%s, %s in a row: %s", what, since(s.Since),
			obs.Count(s.Failures, "slot").Text, sentence(why)))
	}
	if late := now.Sub(s.Answer.At); resolution > 0 && !s.Answer.At.IsZero() && late > lateSlots*resolution {
		problems = append(problems, fmt.Sprintf("The agent has not asked the kubelet for %s, and should every %v: it is short of CPU, or stuck. "+
			"See whether its pod is throttled, and pprof/goroutine?debug=1.", obs.Span(late), resolution))
	}
	return problems
}

// refusal says what the kubelet does, why, and what to do about it. Most of
// the kubelet client's errors end with that.
func refusal(s sampler.Status) (what, why string) {
	why = s.Err.Error()
	e, ok := errors.AsType[*kubelet.Error](s.Err)
	if !ok {
		return "The kubelet's answer is of no use", why
	}
	if s.Err.Error() == e.Error() {
		why = e.Err.Error() // what says the rest
	}
	switch e.Kind {
	case kubelet.Unreachable:
		return "The kubelet cannot be reached", why
	case kubelet.Timeout:
		return "The kubelet does not answer in time", why
	case kubelet.Unauthorized:
		if e.Status == 0 {
			return "The agent has nothing to show to the kubelet", why + ": see how the service account's token is mounted"
		}
		return "The kubelet does not know the agent (401)", why
	case kubelet.Forbidden:
		return "The kubelet refuses the agent (403)", why + ", with a ClusterRole that is bound to the agent's service account"
	case kubelet.Failed:
		if s.Answer.Status == 200 {
			return "Only CPU and memory are read, as the kubelet fails to give the rest", why
		}
		return fmt.Sprintf("The kubelet fails (%d)", e.Status), why
	case kubelet.Malformed:
		return "The kubelet's answer is no summary", why + ": see the body below, and whether --kubelet-port is the kubelet's"
	case kubelet.Truncated:
		return "The kubelet's answer breaks off", why
	case kubelet.TooLarge:
		return "The kubelet's answer is too large", why
	}
	return "The kubelet gives no answer", why
}

// Verdict implements [obs.Presenter].
func (p summaryPage) Verdict() []string { return p.Problems }

// Sections implements [obs.Presenter].
func (p summaryPage) Sections() []obs.Section {
	if p.Slot == 0 {
		return nil
	}
	state := "good since"
	if p.Error != "" {
		state = "failing since"
	}
	status := obs.Text("no answer")
	if p.Status != 0 {
		status = obs.Number(p.Status)
	}
	sections := []obs.Section{{Facts: []obs.Fact{
		{Name: state, Value: obs.Time(p.now, p.Since)},
		{Name: "slots failed in a row", Value: obs.Number(p.Failures)},
		{Name: "last asked", Value: obs.Time(p.now, p.At)},
		{Name: "for the slot", Value: obs.Stamp(time.Unix(p.Slot, 0))},
		{Name: "form", Value: obs.Value{Text: p.Form, Exact: "light: CPU and memory; full, every fourth slot: storage and network, too"}},
		{Name: "HTTP status", Value: status},
		{Name: "took", Value: obs.Text(obs.Span(time.Duration(p.TookMs) * time.Millisecond))},
		{Name: "size", Value: obs.Bytes(int64(p.Bytes))},
	}}}
	if n := len(p.Skipped); n > 0 {
		s := obs.Section{Title: "Left out", Text: "Parts of the answer that made no sense. The rest is kept."}
		if n > shownNotes {
			s.Text, s.More = fmt.Sprintf("%s The first %d of %d:", s.Text, shownNotes, n), true
		}
		s.Body = strings.Join(p.Skipped[:min(n, shownNotes)], "\n")
		sections = append(sections, s)
	}
	return append(sections, p.bodySection())
}

func (p summaryPage) bodySection() obs.Section {
	s := obs.Section{Title: "The answer itself"}
	text := string(p.body)
	var pretty bytes.Buffer
	if json.Indent(&pretty, p.body, "", "  ") == nil {
		text = pretty.String()
	}
	var cut bool
	if s.Body, cut = obs.Cut(text, shownBody); cut {
		s.Text, s.More = fmt.Sprintf("The first %s of %s.", obs.Bytes(int64(len(s.Body))).Text, obs.Bytes(int64(len(text))).Text), true
	}
	if s.Body == "" {
		s.Text = "Empty."
	}
	return s
}
