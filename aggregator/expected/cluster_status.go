package expected

import (
	"fmt"
	"time"

	"github.com/rollcall-metrics/rollcall/aggregator/follow"
)

// Status tells when the API server last said something about nodes, and what
// of it cannot be asked.
func (c *Cluster) Status() Status {
	s := Status{Source: "the API server's nodes, and DaemonSet " + c.cfg.Namespace + "/" + c.cfg.DaemonSet}
	var failed *follow.Failure
	s.Contact, failed = c.toNodes.State()
	switch {
	case failed != nil:
		s.Problems = append(s.Problems, fmt.Sprintf("The API server cannot be asked for nodes since %s (%s: %v): %s.%s",
			stamp(failed.Since), failed.Verb, failed.Err, c.withoutNodes(), failed.Hint("nodes, with a ClusterRole")))
	case !c.latest().listed:
		s.Problems = append(s.Problems, "The API server has not said yet which nodes there are: "+c.withoutNodes()+".")
	}
	c.mu.Lock()
	absent := c.absent
	c.mu.Unlock()
	switch _, failed = c.toAgent.State(); {
	case failed != nil:
		s.Problems = append(s.Problems, fmt.Sprintf("The API server cannot be asked for the agent's DaemonSet, %s in namespace %s, since %s (%s: %v): %s.%s",
			c.cfg.DaemonSet, c.cfg.Namespace, stamp(failed.Since), failed.Verb, failed.Err, c.withoutAgent(), failed.Hint("daemonsets (apps), with a Role in that namespace")))
	case absent:
		s.Problems = append(s.Problems, fmt.Sprintf("There is no DaemonSet %s in namespace %s: %s. See whether the agent's DaemonSet has another name or namespace.",
			c.cfg.DaemonSet, c.cfg.Namespace, c.withoutAgent()))
	}
	return s
}

// withoutNodes says who is expected as long as the API server does not.
func (c *Cluster) withoutNodes() string {
	if c.latest().listed {
		return "those that it named last are still expected"
	}
	return "expected are those that the roster knows or knew"
}

// withoutAgent says which nodes are supported as long as it cannot be asked.
func (c *Cluster) withoutAgent() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rule != nil {
		return "what it wanted last still counts"
	}
	return "all nodes count as supported"
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
