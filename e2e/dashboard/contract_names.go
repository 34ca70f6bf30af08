package dashboard

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// stranger is the name of nothing, and has the form of a UID: where the Dashboard of
// some versions has UIDs, nobody is found, and that is no error.
const stranger = "5c8f1a52-6f0e-4d8f-8e5b-2a0f6d1c9b11"

// unknownPods checks that pods that are not there are left out, and cost the others
// nothing.
func unknownPods(ctx context.Context, t *Target) error {
	with := append([]string{"nobody", stranger}, t.Pods...)
	for _, m := range []Metric{CPU, Memory} {
		if err := same(ctx, "with pods that are not there", t.told(PodsPath(t.Namespace, t.Pods, m)), t.told(PodsPath(t.Namespace, with, m))); err != nil {
			return err
		}
		if err := t.tellsNothing(ctx, PodsPath(t.Namespace, []string{"nobody", stranger}, m)); err != nil {
			return err
		}
		if err := t.tellsNothing(ctx, PodsPath(t.Namespace, []string{stranger}, m)); err != nil {
			return err
		}
	}
	return nil
}

// tellsNothing checks the answer of those that tell of nobody.
func (t *Target) tellsNothing(ctx context.Context, path string) error {
	body, err := t.Client.Get(ctx, path)
	if err != nil {
		return err
	}
	if !isNothing(body) {
		return fmt.Errorf("%s: %.300q, want %q", path, body, nothing)
	}
	return nil
}

func unknownNamespace(ctx context.Context, t *Target) error {
	for _, m := range []Metric{CPU, Memory} {
		if err := t.tellsNothing(ctx, PodsPath("nowhere", t.Pods, m)); err != nil {
			return err
		}
	}
	return nil
}

func unknownNode(ctx context.Context, t *Target) error {
	for _, m := range []Metric{CPU, Memory} {
		if err := t.tellsNothing(ctx, NodePath(stranger, m)); err != nil {
			return err
		}
	}
	return nil
}

// askedTwice checks that there is one item a name.
func askedTwice(ctx context.Context, t *Target) error {
	twice := append(slices.Clone(t.Pods), t.Pods...)
	return same(ctx, "all pods twice", t.told(PodsPath(t.Namespace, t.Pods, CPU)), t.told(PodsPath(t.Namespace, twice, CPU)))
}

// severalNodes checks that a list of nodes is one, though the Dashboard does not ask so.
func severalNodes(ctx context.Context, t *Target) error {
	one := func(ctx context.Context) (string, error) {
		var all []item
		for _, name := range t.Nodes[:2] {
			items, err := t.items(ctx, NodePath(name, Memory))
			if err != nil {
				return "", err
			}
			all = append(all, items...)
		}
		return canonical(all), nil
	}
	return same(ctx, "two nodes in one path", one, t.told(NodePath(t.Nodes[0]+","+t.Nodes[1]+",nobody", Memory)))
}

// noNames checks that names that are empty are nobody's.
func noNames(ctx context.Context, t *Target) error {
	a, b := t.Pods[0], t.Pods[1]
	for _, names := range []string{a + ",," + b, "," + a + "," + b, a + "," + b + ",", ",," + a + "," + b + ",,"} {
		err := same(ctx, fmt.Sprintf("the names %q", names), t.told(PodsPath(t.Namespace, []string{a, b}, CPU)), t.told(PodsPath(t.Namespace, []string{names}, CPU)))
		if err != nil {
			return err
		}
	}
	for _, names := range []string{",", ",,,"} {
		for _, path := range []string{PodsPath(t.Namespace, []string{names}, CPU), NodePath(names, CPU)} {
			if err := t.tellsNothing(ctx, path); err != nil {
				return err
			}
		}
	}
	return nil
}

// escapedPaths checks that a path means the same however it is escaped, commas
// included.
func escapedPaths(ctx context.Context, t *Target) error {
	for _, path := range []string{PodsPath(t.Namespace, t.Pods[:2], CPU), NodePath(t.Nodes[0], Memory)} {
		err := same(ctx, "an escaped path", t.told(path), t.toldOf(http.MethodGet, escaped(path), nil))
		if err != nil {
			return err
		}
	}
	return nil
}

// escaped has each byte of a path below the root escaped but those between its parts.
func escaped(path string) string {
	b := []byte(root)
	for _, c := range []byte(strings.TrimPrefix(path, root)) {
		if c == '/' {
			b = append(b, c)
			continue
		}
		b = fmt.Appendf(b, "%%%02X", c)
	}
	return string(b)
}

// toldOf is told, of a request that the Dashboard would not send.
func (t *Target) toldOf(method, path string, header http.Header) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		resp, err := t.Client.Do(ctx, method, path, header)
		if err != nil {
			return "", err
		}
		if err := isJSON(resp); err != nil {
			return "", err
		}
		items, err := parse(resp.Body)
		return canonical(items), err
	}
}

// metricNames checks that cpu alone is CPU, whatever comes after it, that everything
// else is memory, and that answers repeat what they were asked for.
func metricNames(ctx context.Context, t *Target) error {
	for _, tc := range []struct {
		asked string
		means Metric
		says  string
	}{
		{"cpu/usage_rate", CPU, "cpu"},
		{"cpu/anything", CPU, "cpu"},
		{"memory/usage", Memory, "memory"},
		{"memory/anything", Memory, "memory"},
		{"foo/usage", Memory, "foo"},
		{"CPU/usage_rate", Memory, "CPU"},
		{"cpu2/usage_rate", Memory, "cpu2"},
		{`a"quote\and<more>é/usage`, Memory, `a"quote\and<more>é`},
	} {
		for of, paths := range map[string][2]string{
			"pods": {PodsPath(t.Namespace, t.Pods, tc.means), PodsPath(t.Namespace, t.Pods, Metric(tc.asked))},
			"node": {NodePath(t.Nodes[0], tc.means), NodePath(t.Nodes[0], Metric(tc.asked))},
		} {
			what := fmt.Sprintf("%s, the metric %q", of, tc.asked)
			if err := same(ctx, what, t.told(paths[0]), t.told(paths[1])); err != nil {
				return err
			}
			items, err := t.items(ctx, paths[1])
			if err != nil {
				return err
			}
			for _, one := range items {
				if one.metric != tc.says {
					return fmt.Errorf("%s: metricName is %q, want %q", what, one.metric, tc.says)
				}
			}
		}
	}
	return nil
}

// manyNames asks for as many names as a path has room for, of which most are nobody's.
func manyNames(ctx context.Context, t *Target) error {
	names := make([]string, t.Names)
	for i := range names {
		names[i] = fmt.Sprintf("else-7c6b8d9f54-%010d", i)
	}
	for i, pod := range t.Pods { // among all of them
		names[i*len(names)/len(t.Pods)] = pod
	}
	for _, m := range []Metric{CPU, Memory} {
		err := same(ctx, fmt.Sprintf("%d names", len(names)), t.told(PodsPath(t.Namespace, t.Pods, m)), func(ctx context.Context) (string, error) {
			items, err := t.items(ctx, PodsPath(t.Namespace, names, m))
			return canonical(items), err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
