package dashboard

import (
	"net/url"
	"slices"
	"strings"

	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// Prefix is what all paths of the contract begin with.
const Prefix = "/api/v1/dashboard/"

// A question is what a request asks for.
type question struct {
	// namespace is that of the pods; empty is nodes.
	namespace string
	names     []string // each once, in the order of the path
	metric    model.Metric
	// named is the metric as the path names it, which the answer repeats.
	named string
}

// parse reads an escaped path. ok is false if it is none of the contract's two.
func parse(path string) (q question, ok bool) {
	rest, ok := strings.CutPrefix(path, Prefix)
	if !ok {
		return q, false
	}
	parts := strings.Split(rest, "/")
	for i := range parts {
		var err error
		if parts[i], err = url.PathUnescape(parts[i]); err != nil {
			return q, false
		}
	}
	var names string
	switch {
	case len(parts) == 5 && parts[0] == "nodes" && parts[2] == "metrics":
		names, q.named = parts[1], parts[3]
	case len(parts) == 7 && parts[0] == "namespaces" && parts[2] == "pod-list" && parts[4] == "metrics" && parts[1] != "":
		q.namespace, names, q.named = parts[1], parts[3], parts[5]
	default:
		return q, false
	}
	q.metric = model.WorkingSet
	if q.named == "cpu" {
		q.metric = model.CPU
	}
	q.names = once(strings.Split(names, ","))
	return q, true
}

// once leaves out what is empty or has been named before.
func once(names []string) []string {
	had := make(map[string]bool, len(names))
	return slices.DeleteFunc(names, func(name string) bool {
		again := name == "" || had[name]
		had[name] = true
		return again
	})
}
