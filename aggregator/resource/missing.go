package resource

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/warning"

	"github.com/rollcall-metrics/rollcall/aggregator/pods"
	"github.com/rollcall-metrics/rollcall/aggregator/snapshot"
	"github.com/rollcall-metrics/rollcall/pkg/chunk"
	"github.com/rollcall-metrics/rollcall/pkg/coverage"
)

// notFound is a 404 that says why.
func notFound(resource schema.GroupResource, name, why string) error {
	err := apierrors.NewNotFound(resource, name)
	err.ErrStatus.Message += ": " + why
	return err
}

// whyNode says why there is nothing of a node, for people.
func (f *Fleet) whyNode(view *snapshot.View, node string) string {
	n, ok := view.On(node)
	if !ok {
		if why := f.Nodes.Reason(node); why != "" {
			return fmt.Sprintf("node %s cannot run the agent: %s", node, why)
		}
		if _, ok := f.Nodes.Labels(node); ok {
			return fmt.Sprintf("node %s is new, and was not asked yet", node)
		}
		return fmt.Sprintf("there is no node %s", node)
	}
	if m := n.Missing(); m != nil {
		return whyMissing(m)
	}
	return fmt.Sprintf("the kubelet of node %s does not report it", node)
}

func whyMissing(m *coverage.Missing) string {
	var b strings.Builder
	fmt.Fprintf(&b, "node %s: %s", m.Node, m.Outcome)
	if m.Err != "" {
		fmt.Fprintf(&b, " (%s)", m.Err)
	}
	return b.String()
}

// whyPod says why there is nothing of a pod that the API server says is running.
func (f *Fleet) whyPod(view *snapshot.View, p *pods.Pod) string {
	n, ok := view.On(p.Node)
	if ok && n.Missing() == nil {
		if others := n.Pods(p.Namespace, p.Name); len(others) > 0 {
			if names, err := chunk.NamesOf(others[0]); err == nil {
				return fmt.Sprintf("the kubelet of node %s still reports another pod of that name, with UID %s instead of %s", p.Node, names.UID, p.UID)
			}
		}
		return fmt.Sprintf("the kubelet of node %s has not measured it yet", p.Node)
	}
	return f.whyNode(view, p.Node)
}

// chunkOf is the pod's chunk by its own node; nil if there is none.
func chunkOf(n snapshot.NodeView, p *pods.Pod) []byte {
	for _, b := range n.Pods(p.Namespace, p.Name) {
		if names, err := chunk.NamesOf(b); err == nil && bytes.Equal(names.UID, []byte(p.UID)) {
			return b
		}
	}
	return nil
}

// mostWarned is how many nodes a warning names.
const mostWarned = 5

// absent counts what an answer lacks, by node, because the node does not answer.
type absent struct {
	nodes map[string]*lacking
}

type lacking struct {
	why   string
	count int
}

func (a *absent) add(m *coverage.Missing) {
	if a.nodes == nil {
		a.nodes = map[string]*lacking{}
	}
	l := a.nodes[m.Node]
	if l == nil {
		l = &lacking{why: whyMissing(m)}
		a.nodes[m.Node] = l
	}
	l.count++
}

// warn tells whoever asks what the answer lacks, as a warning, which kubectl
// prints: the objects have no place for it.
func (a *absent) warn(ctx context.Context, what string) {
	if len(a.nodes) == 0 {
		return
	}
	all := make([]*lacking, 0, len(a.nodes))
	total := 0
	for _, l := range a.nodes {
		all = append(all, l)
		total += l.count
	}
	slices.SortFunc(all, func(x, y *lacking) int {
		return cmp.Or(cmp.Compare(y.count, x.count), strings.Compare(x.why, y.why))
	})
	var b strings.Builder
	fmt.Fprintf(&b, "%d %s left out: ", total, what)
	for i, l := range all[:min(len(all), mostWarned)] {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(l.why)
	}
	if more := len(all) - mostWarned; more > 0 {
		fmt.Fprintf(&b, "; and %d more nodes", more)
	}
	warning.AddWarning(ctx, "", clean(b.String()))
}

// clean leaves out what a header may not have.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
}

// badRequest is a 400 that says what is wrong with the question.
func badRequest(format string, args ...any) error {
	return apierrors.NewBadRequest(fmt.Sprintf(format, args...))
}

// errNothing says that a node has said nothing about a pod; whyPod tells more.
var errNothing = errors.New("its node has not reported it")

// lacks finds a container that runs, by the API server, and was not measured.
// Both are by name.
func lacks(measured []container, running string) (string, bool) {
	if running == "" {
		return "", false
	}
	for name := range strings.SplitSeq(running, ",") {
		for len(measured) > 0 && measured[0].name < name {
			measured = measured[1:]
		}
		if len(measured) == 0 || measured[0].name != name {
			return name, true
		}
	}
	return "", false
}

func errLacks(name string) error {
	return fmt.Errorf("container %s has started, and was not measured yet", name)
}
