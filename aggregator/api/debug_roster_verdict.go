package api

import (
	"fmt"
	"strings"

	"github.com/rollcall-metrics/rollcall/pkg/obs"
	"github.com/rollcall-metrics/rollcall/pkg/roster"
)

// namesInVerdict is how many nodes a sentence names.
const namesInVerdict = 5

// judge says what is wrong, by cause.
func (p *rosterPage) judge() []string {
	problems := append([]string{}, p.Source.Problems...)
	c := p.Counts
	switch {
	case c.Expected == 0 && c.Agents == 0:
		return append(problems, "Nobody is expected and no agent is here: see whether agents are running, "+
			"whether their --join, --cluster-label and gossip key are those of this aggregator, and, if there is an --expected-nodes-file, what it lists.")
	case c.Expected > 0 && c.Found == 0 && c.Agents == 0:
		problems = append(problems, fmt.Sprintf("Of %s, no agent is here: see, on page config, whether --cluster-label and the file of --gossip-key-file are those of the agents, "+
			"and whether port 7946 (TCP and UDP, --gossip-port) is open between them and this aggregator, both ways.", obs.Count(c.Expected, "expected node").Text))
	}
	for _, kind := range []struct {
		state roster.State
		n     int
		text  string
	}{
		{roster.Dead, c.Dead, "went silent without a word: %s. See whether the node is up and its agent's pod is running."},
		{roster.Left, c.Left, "stopped and did not come back: %s. Good if the pod is being replaced, or the node is being drained; otherwise see why there is no new pod of the agent."},
		{roster.Unknown, c.Unknown, "were never heard of since this aggregator started, or not for a day: %s. See whether an agent is running there, and whether its log says why it cannot join (\"roster not joined\")."},
	} {
		if kind.n > 0 {
			problems = append(problems, fmt.Sprintf("%d of %s "+kind.text, kind.n, obs.Count(c.Expected, "expected node").Text, p.names(kind.state, kind.n)))
		}
	}
	return append(problems, p.judgeUnexpected()...)
}

// judgeUnexpected says what is wrong with agents that nobody asks.
func (p *rosterPage) judgeUnexpected() (problems []string) {
	reasons := make(map[string]string, len(p.Unsupported))
	for _, u := range p.Unsupported {
		reasons[u.Node] = u.Reason
	}
	var unwanted, unknown []string
	for _, m := range p.Unexpected {
		if _, ok := reasons[m.Name]; ok {
			unwanted = append(unwanted, m.Name)
		} else {
			unknown = append(unknown, m.Name)
		}
	}
	if n := len(unwanted); n > 0 {
		problems = append(problems, fmt.Sprintf("%s here that nobody asks, since no other would be started there now, such as %s (%s): change the agent's DaemonSet, or the node, until they agree.",
			obs.Count(n, "agent").Text, unwanted[0], reasons[unwanted[0]]))
	}
	if n := len(unknown); n > 0 {
		problems = append(problems, fmt.Sprintf("%s here that nobody expects and nobody asks, such as %s: see whether what says who is expected is up to date: %s.",
			obs.Count(n, "agent").Text, unknown[0], p.Source.Source))
	}
	return problems
}

// names are the first of those that are missing for the same reason.
func (p *rosterPage) names(state roster.State, n int) string {
	var names []string
	for _, m := range p.Missing {
		if m.state != state {
			continue
		}
		if len(names) == namesInVerdict {
			return fmt.Sprintf("%s and %d more", strings.Join(names, ", "), n-namesInVerdict)
		}
		name := m.Node
		if !m.Since.IsZero() {
			name += " (" + obs.Time(p.now, m.Since).Text + ")"
		}
		names = append(names, name)
	}
	return strings.Join(names, ", ")
}
