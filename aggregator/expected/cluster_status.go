package expected

import (
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// Status tells when the API server last said something about nodes, and what
// of it cannot be asked.
func (c *Cluster) Status() Status {
	s := Status{Source: "the API server's nodes, and DaemonSet " + c.cfg.Namespace + "/" + c.cfg.DaemonSet}
	var verb string
	var f failure
	s.Contact, verb, f = c.toNodes.state()
	switch {
	case f.err != nil:
		s.Problems = append(s.Problems, fmt.Sprintf("The API server cannot be asked for nodes since %s (%s: %v): %s.%s",
			stamp(f.since), verb, f.err, c.withoutNodes(), hint(f.err, "nodes, with a ClusterRole")))
	case !c.latest().listed:
		s.Problems = append(s.Problems, "The API server has not said yet which nodes there are: "+c.withoutNodes()+".")
	}
	c.mu.Lock()
	absent := c.absent
	c.mu.Unlock()
	switch _, verb, f = c.toAgent.state(); {
	case f.err != nil:
		s.Problems = append(s.Problems, fmt.Sprintf("The API server cannot be asked for the agent's DaemonSet, %s in namespace %s, since %s (%s: %v): %s.%s",
			c.cfg.DaemonSet, c.cfg.Namespace, stamp(f.since), verb, f.err, c.withoutAgent(), hint(f.err, "daemonsets (apps), with a Role in that namespace")))
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

// hint is what to do about an error, if that is known.
func hint(err error, resource string) string {
	switch {
	case apierrors.IsForbidden(err):
		return " Grant this aggregator's service account list and watch on " + resource + "."
	case apierrors.IsUnauthorized(err):
		return " See whether the API server accepts this aggregator's service account token."
	case reasonOf(err) == "":
		return " See whether this aggregator reaches the API server."
	}
	return ""
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
