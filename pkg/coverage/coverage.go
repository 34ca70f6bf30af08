// Package coverage says which nodes an answer covers, and how each of the
// others ended.
package coverage

import (
	"cmp"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"
)

// An Outcome is how one node's answer ended.
type Outcome string

const (
	// OK: the node answered in full.
	OK Outcome = "ok"
	// Stale: the node did not answer; older values of it are used, with their age.
	Stale Outcome = "stale"
	// Truncated: the answer broke off or could not be read.
	Truncated Outcome = "truncated"
	// Timeout: no answer within the per-node timeout.
	Timeout Outcome = "timeout"
	// Refused: no connection, or the node said that it cannot answer; or its clock is
	// so wrong that nobody could tell how old its newest values are.
	Refused Outcome = "refused"
	// Unauthorized: one side's certificate was not accepted by the other.
	Unauthorized Outcome = "unauthorized"
	// VersionSkew: the node speaks another version of the peer API.
	VersionSkew Outcome = "version_skew"
	// NotInRoster: the node should be here, but its agent never reported, or left.
	NotInRoster Outcome = "not_in_roster"
	// Dead: the node's agent was here and stopped answering gossip.
	Dead Outcome = "dead"
	// OverBudget: the answer was larger than what a node or a query may take.
	OverBudget Outcome = "over_budget"
	// Canceled: whoever asked went away.
	Canceled Outcome = "canceled"
)

// MaxListed is how many missing nodes a coverage lists by name. The others
// are counted per outcome: 5000 lines of the same help nobody.
const MaxListed = 100

// A Missing is a node that did not answer.
type Missing struct {
	Node    string
	Outcome Outcome
	Elapsed time.Duration
	// Age is, if Outcome is Stale, how much older the values are that are used
	// than those that were asked for.
	Age time.Duration
	// Err says more, for people; it may be empty.
	Err string
}

// An Unsupported is a node that cannot run the agent, and why, for people. It
// should not answer, so it is not missing.
type Unsupported struct {
	Node   string `json:"node"`
	Reason string `json:"reason"`
}

// A Coverage says which nodes should have answered, and which did not. The
// zero Coverage is complete.
type Coverage struct {
	// Expected is how many nodes should have answered, Asked how many were
	// asked, Answered how many did so in full.
	Expected, Asked, Answered int
	// Missing are the others.
	Missing []Missing
	// Unsupported are, if all nodes were to answer, those that cannot, by name.
	// They count as nothing else, and the slice is not changed.
	Unsupported []Unsupported
}

// Complete tells whether every expected node answered.
func (c *Coverage) Complete() bool { return len(c.Missing) == 0 && c.Answered >= c.Expected }

// Share is the share of the expected nodes that answered, 0 to 1.
func (c *Coverage) Share() float64 {
	if c.Expected == 0 {
		return 1
	}
	return float64(c.Answered) / float64(c.Expected)
}

// Lose makes a node that answered a missing one: what it said turned out to
// be unreadable.
func (c *Coverage) Lose(m Missing) {
	if slices.ContainsFunc(c.Missing, func(o Missing) bool { return o.Node == m.Node }) {
		return
	}
	c.Answered--
	c.Missing = append(c.Missing, m)
}

// AppendJSON appends the coverage as the JSON object of the HTTP API, and
// sorts the missing nodes by name.
func (c *Coverage) AppendJSON(b []byte) []byte {
	slices.SortFunc(c.Missing, func(x, y Missing) int { return cmp.Compare(x.Node, y.Node) })
	b = append(b, `{"expected":`...)
	b = strconv.AppendInt(b, int64(c.Expected), 10)
	b = append(b, `,"asked":`...)
	b = strconv.AppendInt(b, int64(c.Asked), 10)
	b = append(b, `,"answered":`...)
	b = strconv.AppendInt(b, int64(c.Answered), 10)
	b = append(b, `,"complete":`...)
	b = strconv.AppendBool(b, c.Complete())
	b = append(b, `,"missing":[`...)
	listed := c.Missing[:min(len(c.Missing), MaxListed)]
	for i, m := range listed {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"node":`...)
		b = AppendString(b, m.Node)
		b = append(b, `,"outcome":"`...)
		b = append(b, m.Outcome...)
		b = append(b, `","elapsedMs":`...)
		b = strconv.AppendInt(b, m.Elapsed.Milliseconds(), 10)
		if m.Age > 0 {
			b = append(b, `,"ageSeconds":`...)
			b = strconv.AppendInt(b, int64(m.Age/time.Second), 10)
		}
		if m.Err != "" {
			b = append(b, `,"error":`...)
			b = AppendString(b, m.Err)
		}
		b = append(b, '}')
	}
	b = append(b, ']')
	if rest := c.Missing[len(listed):]; len(rest) > 0 {
		b = appendCounts(b, rest)
	}
	if len(c.Unsupported) > 0 {
		b = appendUnsupported(b, c.Unsupported)
	}
	return append(b, '}')
}

// appendUnsupported appends the first of them, and how many others there are.
func appendUnsupported(b []byte, all []Unsupported) []byte {
	listed := all[:min(len(all), MaxListed)]
	b = append(b, `,"unsupported":[`...)
	for i, u := range listed {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"node":`...)
		b = AppendString(b, u.Node)
		b = append(b, `,"reason":`...)
		b = AppendString(b, u.Reason)
		b = append(b, '}')
	}
	b = append(b, ']')
	if rest := len(all) - len(listed); rest > 0 {
		b = append(b, `,"unsupportedNotListed":`...)
		b = strconv.AppendInt(b, int64(rest), 10)
	}
	return b
}

// appendCounts appends how many of the nodes had which outcome.
func appendCounts(b []byte, rest []Missing) []byte {
	counts := map[Outcome]int{}
	for _, m := range rest {
		counts[m.Outcome]++
	}
	outcomes := make([]Outcome, 0, len(counts))
	for o := range counts {
		outcomes = append(outcomes, o)
	}
	slices.Sort(outcomes)
	b = append(b, `,"notListed":{`...)
	for i, o := range outcomes {
		if i > 0 {
			b = append(b, ',')
		}
		b = AppendString(b, string(o))
		b = append(b, ':')
		b = strconv.AppendInt(b, int64(counts[o]), 10)
	}
	return append(b, '}')
}

// AppendString appends s as a JSON string. What is not valid UTF-8 becomes
// the replacement character.
func AppendString(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r < 0x20:
			b = append(b, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return append(b, '"')
}
