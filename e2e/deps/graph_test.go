package deps

import (
	"slices"
	"strings"
	"testing"
)

const module = "github.com/rollcall-metrics/rollcall/"

// A graph has every package that this module is built from, with its imports.
type graph map[string][]string

// load asks the go command for the graph, with or without what tests import.
func load(t *testing.T, tests bool) graph {
	t.Helper()
	args := []string{"-deps", "-f", `{{.ImportPath}}{{"\t"}}{{join .Imports "\t"}}`}
	if tests {
		args = append(args, "-test")
	}
	g := graph{}
	for line := range strings.Lines(list(t, append(args, "./...")...)) {
		fields := strings.Split(strings.TrimSpace(line), "\t")
		for i, f := range fields {
			// A package built for a test is "path [of the test]".
			fields[i], _, _ = strings.Cut(f, " ")
		}
		// An external test package is "path_test"; it belongs to path.
		path := strings.TrimSuffix(fields[0], "_test")
		g[path] = append(g[path], fields[1:]...)
	}
	return g
}

// below returns the packages at and below path, sorted.
func (g graph) below(path string) []string {
	var found []string
	for p := range g {
		if under(p, path) {
			found = append(found, p)
		}
	}
	slices.Sort(found)
	return found
}

// chain returns the shortest way from one of the roots to a package at or
// below target, or nil if there is none.
func (g graph) chain(roots []string, target string) []string {
	from := make(map[string]string, len(g))
	queue := slices.Clone(roots)
	for _, r := range roots {
		from[r] = ""
	}
	for len(queue) > 0 {
		p := queue[0]
		queue = queue[1:]
		if under(p, target) {
			var way []string
			for ; p != ""; p = from[p] {
				way = append(way, p)
			}
			slices.Reverse(way)
			return way
		}
		for _, imported := range g[p] {
			if _, seen := from[imported]; !seen {
				from[imported] = p
				queue = append(queue, imported)
			}
		}
	}
	return nil
}

// under tells whether p is path or below it; path without a host is relative
// to the module.
func under(p, path string) bool {
	if !strings.Contains(strings.Split(path, "/")[0], ".") {
		path = module + path
	}
	return p == path || strings.HasPrefix(p, path+"/")
}

func TestChain(t *testing.T) {
	g := graph{
		module + "agent":          {"fmt", module + "agent/ring", module + "pkg/obs"},
		module + "agent/ring":     {module + "pkg/obs"},
		module + "aggregator":     {module + "aggregator/agents", "k8s.io/api/core/v1"},
		module + "pkg/obs":        {"log/slog", module + "pkg/odd"},
		module + "pkg/odd":        {module + "aggregator"},
		module + "agentless/x":    {"k8s.io/api/core/v1"},
		"k8s.io/apimachinery/pkg": {"fmt"},
	}
	tests := []struct {
		name, from, target string
		want               []string
	}{
		{"the shortest way", "agent", "aggregator", []string{module + "agent", module + "pkg/obs", module + "pkg/odd", module + "aggregator"}},
		{"below the target, out of the module", "pkg/odd", "k8s.io/api", []string{module + "pkg/odd", module + "aggregator", "k8s.io/api/core/v1"}},
		{"no way", "agent", "e2e", nil},
		{"a name that only begins alike", "k8s.io/apimachinery", "k8s.io/api", nil},
		{"neither does below", "agentless", "agent", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			roots := g.below(tt.from)
			if len(roots) == 0 {
				t.Fatalf("nothing below %s", tt.from)
			}
			if got := g.chain(roots, tt.target); !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
