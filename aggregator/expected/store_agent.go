package expected

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
)

// agentStore is where the reflector puts the agent's DaemonSet.
type agentStore struct{ *Cluster }

// Set implements follow.Store, as the methods that follow do.
func (s agentStore) Set(obj any) error {
	ds, ok := obj.(*appsv1.DaemonSet)
	if !ok {
		return fmt.Errorf("%T is no DaemonSet", obj)
	}
	s.setRule(newRule(ds))
	return nil
}

func (s agentStore) Delete(any) error {
	s.setRule(nil)
	return nil
}

func (s agentStore) Replace(list []any) error {
	if len(list) == 0 {
		s.setRule(nil)
		return nil
	}
	return s.Set(list[0])
}

// setRule takes over what the DaemonSet says, nil if there is none, and logs
// that once per change.
func (c *Cluster) setRule(r *rule) {
	c.mu.Lock()
	same := c.ruled && c.absent == (r == nil) && c.rule.same(r)
	c.mu.Unlock()
	if same {
		return // its pods come and go
	}
	c.change(func() {
		c.rule, c.absent, c.ruled = r, r == nil, true
		c.judge()
	})
	attrs := []any{"namespace", c.cfg.Namespace, "name", c.cfg.DaemonSet, "unsupported", len(c.Unsupported())}
	if r == nil {
		c.log.Warn("the agent's DaemonSet is not there, all nodes count as supported", attrs...)
	} else {
		c.log.Info("the agent's DaemonSet says which nodes are supported", attrs...)
	}
}

// unruled notes that the DaemonSet could not be read. What it said before, if
// anything, still counts: an API server that starts refuses everyone for a
// moment.
func (c *Cluster) unruled() {
	c.mu.Lock()
	ruled := c.ruled
	c.mu.Unlock()
	if !ruled {
		c.change(func() { c.ruled = true })
	}
}
