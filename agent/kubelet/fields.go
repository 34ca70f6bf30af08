package kubelet

import (
	"slices"
	"strings"

	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// A kind is what the value of a field is, and what becomes of it.
type kind uint8

const (
	aNumber  kind = iota // an unsigned integer: a metric of the entity
	aTime                // RFC 3339: one of its times
	aText                // a string: one of its names
	anObject             // of further fields
	theNode              // the object that is the node
	podList
	containerList // of a pod
	interfaceList // of a node's or pod's network
	unused        // skipped; in the tables because what is expected is read faster
)

// The times and the texts of an entity, by slot.
const (
	startedAt, cpuAt, memoryAt, numTimes       = 0, 1, 2, 3
	namespaceText, nameText, uidText, numTexts = 0, 1, 2, 3
)

// A field is a member of an object in the document. Members that are no field
// are skipped.
type field struct {
	path  string // in its entity, "cpu.psi.some.total": for notes
	kind  kind
	slot  int    // of a time or text; the model.Metric of a number
	limit uint64 // of a number: what is more is not believed

	name   string // the last part of path
	quoted string // the name as kubelets write it, with the colon
	fixed  bool   // null leaves it as it is
	fields []*field
}

// The tables below are k8s.io/kubelet's stats/v1alpha1.Summary in the kubelet's
// order, in which members are expected.
var (
	documentFields = tree([]field{{path: "node", kind: theNode}, {path: "pods", kind: podList}})

	nodeFields = tree(skipped("", "nodeName", "systemContainers"), statsFields, networkFields,
		diskFields("fs", model.RootFS), skipped("", "runtime", "rlimit"), swapFields)

	podFields = tree([]field{
		{path: "podRef.name", kind: aText, slot: nameText},
		{path: "podRef.namespace", kind: aText, slot: namespaceText},
		{path: "podRef.uid", kind: aText, slot: uidText},
	}, statsFields[:1], []field{
		{path: "containers", kind: containerList},
	}, statsFields[1:], networkFields, skipped("", "volume"),
		diskFields("ephemeral-storage", model.Ephemeral), skipped("", "process_stats"), swapFields)

	containerFields = tree([]field{
		{path: "name", kind: aText, slot: nameText},
	}, statsFields, diskFields("rootfs", model.RootFS), diskFields("logs", model.Logs), swapFields)

	interfaceFields = tree([]field{
		{path: "name", kind: aText, slot: nameText},
		{path: "rxBytes", slot: int(model.NetworkRx), limit: anyNumber},
		{path: "rxErrors", kind: unused},
		{path: "txBytes", slot: int(model.NetworkTx), limit: anyNumber},
		{path: "txErrors", kind: unused},
	})
)

// statsFields are what nodes, pods and containers have in common.
var statsFields = slices.Concat([]field{
	{path: "startTime", kind: aTime, slot: startedAt},
	{path: "cpu.time", kind: aTime, slot: cpuAt},
	{path: "cpu.usageNanoCores", slot: int(model.CPU), limit: maxNanoCores},
	{path: "cpu.usageCoreNanoSeconds", slot: int(model.CPUTotal), limit: anyNumber},
}, psiFields("cpu", model.PSICPUSome), []field{
	{path: "memory.time", kind: aTime, slot: memoryAt},
	{path: "memory.availableBytes", kind: unused},
	{path: "memory.usageBytes", slot: int(model.Usage), limit: maxBytes},
	{path: "memory.workingSetBytes", slot: int(model.WorkingSet), limit: maxBytes},
	{path: "memory.rssBytes", slot: int(model.RSS), limit: maxBytes},
	{path: "memory.pageFaults", kind: unused},
	{path: "memory.majorPageFaults", kind: unused},
}, psiFields("memory", model.PSIMemorySome), skipped("io.", "time"), psiFields("io", model.PSIIOSome))

// networkFields are those of nodes and pods.
var networkFields = []field{
	{path: "network.time", kind: unused},
	{path: "network.name", kind: unused},
	{path: "network.rxBytes", slot: int(model.NetworkRx), limit: anyNumber},
	{path: "network.rxErrors", kind: unused},
	{path: "network.txBytes", slot: int(model.NetworkTx), limit: anyNumber},
	{path: "network.txErrors", kind: unused},
	{path: "network.interfaces", kind: interfaceList},
}

var swapFields = append(skipped("swap.", "time", "swapAvailableBytes"),
	field{path: "swap.swapUsageBytes", slot: int(model.Swap), limit: maxBytes})

// psiFields are the pressure on a resource, of which some is the metric that
// some tasks waited, and the next one that all did.
func psiFields(resource string, some model.Metric) []field {
	member := func(which string, m model.Metric) []field {
		path := resource + ".psi." + which + "."
		return append([]field{{path: path + "total", slot: int(m), limit: anyNumber}}, skipped(path, "avg10", "avg60", "avg300")...)
	}
	return append(member("full", some+1), member("some", some)...)
}

// diskFields are a file system.
func diskFields(path string, used model.Metric) []field {
	return slices.Concat(
		skipped(path+".", "time", "availableBytes", "capacityBytes"),
		[]field{{path: path + ".usedBytes", slot: int(used), limit: maxBytes}},
		skipped(path+".", "inodesFree", "inodes", "inodesUsed"))
}

func skipped(prefix string, names ...string) []field {
	fields := make([]field, len(names))
	for i, name := range names {
		fields[i] = field{path: prefix + name, kind: unused}
	}
	return fields
}

// tree makes an object of fields, with objects of their own where paths have
// more than one part.
func tree(tables ...[]field) *field {
	root := &field{kind: anObject}
	for _, table := range tables {
		for _, leaf := range table {
			parent := root
			for i := range len(leaf.path) {
				if leaf.path[i] == '.' {
					parent = parent.child(field{path: leaf.path[:i], kind: anObject})
				}
			}
			parent.child(leaf)
		}
	}
	return root
}

// child returns the member that f describes, and adds it if it is new.
func (parent *field) child(f field) *field {
	for _, known := range parent.fields {
		if known.path == f.path {
			return known
		}
	}
	f.name = f.path[strings.LastIndexByte(f.path, '.')+1:]
	f.quoted = `"` + f.name + `":`
	switch f.name {
	case "node", "podRef", "full", "some", "total":
		f.fixed = true // in k8s.io/kubelet they are no pointers
	}
	parent.fields = append(parent.fields, &f)
	return &f
}

// find returns the member of that name and the place in the table to look
// first for the next one. Like in encoding/json a name in another case
// counts, if there is none in the right one. plain says that name is ASCII.
func (parent *field) find(name []byte, plain bool, guess int) (found *field, next int) {
	for i := guess; i < len(parent.fields); i++ {
		if string(name) == parent.fields[i].name {
			return parent.fields[i], i + 1
		}
	}
	for i := range guess {
		if string(name) == parent.fields[i].name {
			return parent.fields[i], i + 1
		}
	}
	for i, f := range parent.fields {
		if (len(name) == len(f.name) || !plain) && strings.EqualFold(string(name), f.name) {
			return f, i + 1
		}
	}
	return nil, guess
}
