package expected

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
)

// nodeStore is where the reflector puts nodes.
type nodeStore struct{ *Cluster }

// Set implements follow.Store, as the methods that follow do.
func (s nodeStore) Set(obj any) error {
	n, ok := obj.(*corev1.Node)
	if !ok {
		return fmt.Errorf("%T is no node", obj)
	}
	kept := nodeOf(n)
	s.mu.Lock()
	old, known := s.nodes[n.Name]
	s.mu.Unlock()
	if known && old.same(kept) {
		return nil // its kubelet reports its health, mostly
	}
	s.change(func() { s.nodes[n.Name] = s.judged(n.Name, kept) })
	return nil
}

func (s nodeStore) Delete(obj any) error {
	n, ok := obj.(*corev1.Node)
	if !ok {
		return fmt.Errorf("%T is no node", obj)
	}
	s.change(func() { delete(s.nodes, n.Name) })
	return nil
}

func (s nodeStore) Replace(list []any) error {
	nodes := make(map[string]node, len(list))
	for _, obj := range list {
		n, ok := obj.(*corev1.Node)
		if !ok {
			return fmt.Errorf("%T is no node", obj)
		}
		nodes[n.Name] = nodeOf(n)
	}
	s.change(func() {
		s.nodes = nodes
		s.judge()
	})
	return nil
}

// judge judges all nodes by the rule. The caller holds c.mu.
func (c *Cluster) judge() {
	for name, n := range c.nodes {
		c.nodes[name] = c.judged(name, n)
	}
}

func (c *Cluster) judged(name string, n node) node {
	n.reason = c.rule.reason(n.full(name))
	return n
}
