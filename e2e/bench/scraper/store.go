package main

// A store has the last two cycles: CPU use is the difference of two points.
type store struct {
	lastNodes, prevNodes map[string]point
	lastPods, prevPods   map[pod]map[string]point
}

// take makes a cycle the last one. Of those that it does not have, nothing is
// kept; a point that is the same as before leaves its predecessor alone.
func (s *store) take(b *batch) {
	nodes, prevNodes := make(map[string]point, len(b.nodes)), make(map[string]point, len(b.nodes))
	for name, p := range b.nodes {
		nodes[name] = p
		if prev, ok := earlier(p, s.lastNodes[name], s.prevNodes[name]); ok {
			prevNodes[name] = prev
		}
	}
	pods, prevPods := make(map[pod]map[string]point, len(b.pods)), make(map[pod]map[string]point, len(b.pods))
	for ref, containers := range b.pods {
		last, prev := make(map[string]point, len(containers)), make(map[string]point, len(containers))
		for name, p := range containers {
			last[name] = p
			if before, ok := earlier(p, s.lastPods[ref][name], s.prevPods[ref][name]); ok && p.start.Before(before.at) {
				prev[name] = before
			}
		}
		pods[ref] = last
		if len(prev) > 0 {
			prevPods[ref] = prev
		}
	}
	s.lastNodes, s.prevNodes, s.lastPods, s.prevPods = nodes, prevNodes, pods, prevPods
}

// earlier is which of two older points goes with p.
func earlier(p, last, prev point) (point, bool) {
	switch {
	case !last.at.IsZero() && last.at.Before(p.at):
		return last, true
	case !prev.at.IsZero() && prev.at.Before(p.at):
		return prev, true
	}
	return point{}, false
}

// rates counts the containers that have two points.
func (s *store) rates() (n int) {
	for _, containers := range s.prevPods {
		n += len(containers)
	}
	return n
}
