package expected

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
)

// nodeStore is where the reflector puts nodes.
type nodeStore struct{ *Cluster }

// Add implements cache.ReflectorStore, as the methods that follow do.
func (s nodeStore) Add(obj any) error {
	s.toNodes.heard()
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

func (s nodeStore) Update(obj any) error { return s.Add(obj) }

func (s nodeStore) Delete(obj any) error {
	s.toNodes.heard()
	n, ok := obj.(*corev1.Node)
	if !ok {
		return fmt.Errorf("%T is no node", obj)
	}
	s.change(func() { delete(s.nodes, n.Name) })
	return nil
}

func (s nodeStore) Replace(list []any, _ string) error {
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

func (nodeStore) Resync() error { return nil }

// Bookmark comes about once a minute if nothing else does.
func (s nodeStore) Bookmark(string) error {
	s.toNodes.heard()
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
