package resource

import (
	"crypto/x509"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"
	core "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rollcall-metrics/rollcall/aggregator/follow/followtest"
	"github.com/rollcall-metrics/rollcall/aggregator/resource"
	"github.com/rollcall-metrics/rollcall/pkg/identity"
	"github.com/rollcall-metrics/rollcall/pkg/identity/identitytest"
)

// A fleet is nodes, an API server and two aggregators, in a bubble whose clock begins
// with a slot. A test calls it from one goroutine.
type fleet struct {
	t         *testing.T
	epoch     int64 // when it began, in Unix seconds
	authority *identitytest.Authority
	apis      []*followtest.Server // the API server, as each aggregator knows it
	pods      map[string]*core.Pod // at the API server, by "namespace/name"
	nodes     map[string]*node
	expected  expected
	joined    byte // nodes so far
	network   network
	all       []*aggregator
}

// inFleet runs a test with a fleet of these nodes, of which nothing runs yet.
func inFleet(t *testing.T, nodes []string, test func(f *fleet)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		authority, err := identitytest.New(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		f := &fleet{
			t: t, epoch: time.Now().Unix(), authority: authority,
			apis: []*followtest.Server{followtest.New(t), followtest.New(t)}, pods: map[string]*core.Pod{}, nodes: map[string]*node{}, network: newNetwork(),
		}
		for _, name := range nodes {
			f.join(name)
		}
		test(f)
	})
}

// join adds a node, whose kubelet measures it, and on which no agent runs yet.
func (f *fleet) join(name string) *node {
	n := &node{standIn: &standIn{}, fleet: f, name: name, disk: vfs.NewMem()}
	n.asks = n.standIn
	f.joined++
	n.at = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, f.joined}), 9810)
	n.add("", "", schedule{10, 0}).usage = usage{1500 * milli, 4096 * mebi}
	f.nodes[name] = n
	f.expected.set(name, true)
	f.t.Cleanup(n.kill)
	return n
}

// begin starts all agents and two aggregators.
func (f *fleet) begin() {
	for _, name := range f.expected.Nodes() {
		f.nodes[name].start()
	}
	for _, api := range f.apis {
		f.all = append(f.all, newAggregator(f, api))
	}
	synctest.Wait()
}

// until sleeps until so many seconds after the beginning.
func (f *fleet) until(second int64) {
	time.Sleep(time.Until(time.Unix(f.epoch+second, 0)))
	synctest.Wait()
}

// node is the first node.
func (f *fleet) node() *node { return f.nodes[f.expected.Nodes()[0]] }

// run has a pod "namespace/name/UID" run on a node, with these containers, which use
// what is usual and are measured every 10 s.
func (f *fleet) run(n *node, pod string, containers ...string) (all []*entity) {
	for _, name := range containers {
		all = append(all, n.add(pod, name, schedule{10, 0}))
	}
	f.tell(n, pod, containers...)
	return all
}

// tell has the API server say that a pod runs, with these containers.
func (f *fleet) tell(n *node, pod string, containers ...string) {
	ref := refOf(pod)
	p := &core.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: ref.Namespace, Name: ref.Name, UID: types.UID(ref.UID)},
		Spec:       core.PodSpec{NodeName: n.name},
		Status:     core.PodStatus{Phase: core.PodRunning},
	}
	for _, name := range containers {
		p.Spec.Containers = append(p.Spec.Containers, core.Container{Name: name})
		p.Status.ContainerStatuses = append(p.Status.ContainerStatuses, core.ContainerStatus{
			Name: name, State: core.ContainerState{Running: &core.ContainerStateRunning{StartedAt: metav1.Now()}},
		})
	}
	f.set(p)
}

func (f *fleet) set(p *core.Pod) {
	f.pods[p.Namespace+"/"+p.Name] = p
	for _, api := range f.apis {
		api.Set(p.DeepCopy()) // encoding an object changes it, for a while
	}
	synctest.Wait()
}

// edit changes a pod "namespace/name" at the API server.
func (f *fleet) edit(pod string, do func(*core.Pod)) {
	p := f.pods[pod].DeepCopy()
	do(p)
	f.set(p)
}

// forget deletes a pod at the API server.
func (f *fleet) forget(pod string) {
	for _, api := range f.apis {
		api.Remove(f.pods[pod])
	}
	delete(f.pods, pod)
	synctest.Wait()
}

// expect asks all aggregators for a pod "namespace/name" or a node, and compares.
func (f *fleet) expect(name, want string) {
	f.t.Helper()
	for i := range f.all {
		f.says(i, name, want)
	}
}

// says asks one.
func (f *fleet) says(aggregator int, name, want string) {
	f.t.Helper()
	if got := f.all[aggregator].show(name); !like(got, want) {
		f.t.Errorf("after %d s aggregator %d says of %s\n\t%s\nwant\n\t%s", time.Now().Unix()-f.epoch, aggregator, name, got, want)
	}
}

// like compares with a text in which … stands for anything.
func like(got, want string) bool {
	parts := strings.Split(want, "…")
	last := len(parts) - 1
	if last == 0 {
		return got == want
	}
	for i, part := range parts {
		at := strings.Index(got, part)
		if at < 0 || i == 0 && at > 0 {
			return false
		}
		got = got[at+len(part):]
	}
	return got == "" || parts[last] == ""
}

// identity is a certificate of the fleet's.
func (f *fleet) identity(role identity.Role, name string) *identity.Source {
	f.t.Helper()
	peer := identity.Peer{Role: role, Name: name}
	cert, err := f.authority.IssueInMemory(peer)
	if err != nil {
		f.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(f.authority.Cert)
	id := identity.New(peer, silent, prometheus.NewRegistry())
	if err := id.Install(cert, roots); err != nil {
		f.t.Fatal(err)
	}
	return id
}

// expected is who should answer, by the API server.
type expected struct {
	names   atomic.Pointer[[]string] // sorted, nil: none; aggregators look whenever they like
	labels  map[string]nodeLabels
	reasons map[string]string // why others cannot run the agent
}

// set adds or removes a node.
func (e *expected) set(name string, there bool) {
	names := slices.DeleteFunc(slices.Clone(e.Nodes()), func(n string) bool { return n == name })
	if there {
		names = append(names, name)
	}
	slices.Sort(names)
	e.names.Store(&names)
}

// Nodes implements [resource.Nodes], as the methods that follow do.
func (e *expected) Nodes() []string {
	if names := e.names.Load(); names != nil {
		return *names
	}
	return nil
}

func (e *expected) Reason(name string) string { return e.reasons[name] }

func (e *expected) Labels(name string) (resource.NodeLabels, bool) {
	return e.labels[name], slices.Contains(e.Nodes(), name)
}

type nodeLabels map[string]string

func (l nodeLabels) Has(label string) bool              { _, ok := l[label]; return ok }
func (l nodeLabels) Get(label string) string            { return l[label] }
func (l nodeLabels) Lookup(label string) (string, bool) { v, ok := l[label]; return v, ok }
func (l nodeLabels) Map() map[string]string             { return l }
