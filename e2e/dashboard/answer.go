package dashboard

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// A Metric is the end of a path: what is asked for.
type Metric string

// What the Dashboard asks for.
const (
	CPU    Metric = "cpu/usage_rate" // millicores
	Memory Metric = "memory/usage"   // bytes of the working set
)

// root is where the routes are.
const root = "/api/v1/dashboard"

// PodsPath is the path of a question about pods of a namespace.
func PodsPath(namespace string, names []string, m Metric) string {
	return root + "/namespaces/" + namespace + "/pod-list/" + strings.Join(names, ",") + "/metrics/" + string(m)
}

// NodePath is the path of a question about a node.
func NodePath(name string, m Metric) string {
	return root + "/nodes/" + name + "/metrics/" + string(m)
}

// list is what the Dashboard reads of an answer, as strictly as its types are.
type list struct {
	Items []struct {
		MetricPoints []struct {
			Timestamp time.Time `json:"timestamp"`
			Value     uint64    `json:"value"`
		} `json:"metricPoints"`
		MetricName string   `json:"metricName"`
		UIDs       []string `json:"uids"`
	} `json:"items"`
}

func (c *Client) list(ctx context.Context, path string) (l list, err error) {
	body, err := c.Get(ctx, path)
	if err != nil {
		return l, err
	}
	if err := json.Unmarshal(body, &l); err != nil {
		return l, fmt.Errorf("the whole answer is lost: %w", err)
	}
	return l, nil
}

func (l *list) series(i int) Series {
	s := Series{}
	for _, p := range l.Items[i].MetricPoints {
		s = append(s, Point{p.Timestamp.Unix(), p.Value})
	}
	return s
}

// Pods asks for pods of a namespace, once. What is not told is not in the map.
func (c *Client) Pods(ctx context.Context, namespace string, names []string, m Metric) (map[string]Series, error) {
	l, err := c.list(ctx, PodsPath(namespace, unique(names), m))
	if err != nil {
		return nil, err
	}
	told := map[string]Series{}
	for i := range l.Items {
		if uids := l.Items[i].UIDs; len(uids) > 0 {
			told[uids[0]] = l.series(i) // the last one of a name counts
		}
	}
	of := map[string]Series{}
	for _, name := range names {
		if s, ok := told[name]; ok {
			of[name] = s
		}
	}
	return of, nil
}

// Node asks for one node. Its series is the first one that comes; there is none if
// nothing is known.
func (c *Client) Node(ctx context.Context, name string, m Metric) (s Series, known bool, err error) {
	l, err := c.list(ctx, NodePath(name, m))
	if err != nil || len(l.Items) == 0 {
		return nil, false, err
	}
	return l.series(0), true, nil
}

// Groups asks for the pods of several workloads of a namespace, in one request, and
// returns the sum of each.
func (c *Client) Groups(ctx context.Context, namespace string, groups [][]string, m Metric) ([]Series, error) {
	var all []string
	for _, g := range groups {
		all = append(all, g...)
	}
	of, err := c.Pods(ctx, namespace, all, m)
	if err != nil {
		return nil, err
	}
	sums := make([]Series, len(groups))
	for i, g := range groups {
		var members []Series
		for _, name := range unique(g) {
			members = append(members, of[name])
		}
		sums[i] = Sum(members...)
	}
	return sums, nil
}

// unique are the names without repetitions, in their order.
func unique(names []string) []string {
	seen := make(map[string]bool, len(names))
	kept := make([]string, 0, len(names))
	for _, name := range names {
		if !seen[name] {
			seen[name] = true
			kept = append(kept, name)
		}
	}
	return kept
}
