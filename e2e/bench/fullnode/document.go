package fullnode

import (
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// A writer writes JSON as the kubelet does: indented by one space.
type writer struct {
	b      []byte
	depth  int
	begun  bool // the innermost object or list has a member
	indent bool
	bare   bool // no PSI
}

func (w *writer) member(name string) {
	if w.begun {
		w.b = append(w.b, ',')
	}
	w.begun = true
	w.line()
	if name != "" {
		w.b = append(append(append(w.b, '"'), name...), '"', ':')
		if w.indent {
			w.b = append(w.b, ' ')
		}
	}
}

func (w *writer) line() {
	if !w.indent {
		return
	}
	w.b = append(w.b, '\n')
	for range w.depth {
		w.b = append(w.b, ' ')
	}
}

// nest writes an object or a list; a member of a list has no name.
func (w *writer) nest(name string, brackets string, content func()) {
	if w.depth > 0 {
		w.member(name)
	}
	w.b = append(w.b, brackets[0])
	w.depth++
	w.begun = false
	content()
	w.depth--
	if w.begun {
		w.line()
	}
	w.b = append(w.b, brackets[1])
	w.begun = true
}

func (w *writer) object(name string, content func()) { w.nest(name, "{}", content) }
func (w *writer) list(name string, content func())   { w.nest(name, "[]", content) }

func (w *writer) number(name string, x uint64) {
	w.member(name)
	w.b = strconv.AppendUint(w.b, x, 10)
}

// text writes a string that needs no escapes.
func (w *writer) text(name, s string) {
	w.member(name)
	w.b = append(append(append(w.b, '"'), s...), '"')
}

func (w *writer) time(name string, unix int64) {
	w.member(name)
	w.b = append(w.b, '"')
	w.b = time.Unix(unix, 0).UTC().AppendFormat(w.b, time.RFC3339)
	w.b = append(w.b, '"')
}

// AppendDocument appends the answer for the slot of the last Next, as the
// kubelet writes it; without indent it is the same without white space. Pods
// come in another order each time.
func (n *Node) AppendDocument(dst []byte, full, indent bool) []byte {
	return n.append(&writer{b: dst, indent: indent}, full, false)
}

// AppendRecordedForm appends the full answer without PSI of containers, which
// the recorded kubelet had not.
func (n *Node) AppendRecordedForm(dst []byte) []byte {
	return n.append(&writer{b: dst, indent: true}, true, true)
}

func (n *Node) append(w *writer, full, bareContainers bool) []byte {
	w.object("", func() {
		w.object("node", func() { n.writeNode(w, full) })
		w.list("pods", func() {
			order := rand.New(rand.NewPCG(uint64(n.slot), 1)).Perm(len(n.pods))
			for _, i := range order {
				w.object("", func() { n.writePod(w, &n.pods[i], full, bareContainers) })
			}
		})
	})
	return w.b
}

func (n *Node) writeNode(w *writer, full bool) {
	s := &n.node.sample
	w.text("nodeName", "full-node")
	w.list("systemContainers", func() {
		w.object("", func() {
			w.text("name", "pods")
			w.time("startTime", s.Start+1300)
			writeUsage(w, s, true, full)
		})
	})
	w.time("startTime", s.Start)
	writeUsage(w, s, true, full)
	if !full {
		return
	}
	measured := int64(value(s, model.Measured))
	w.object("network", func() {
		w.time("time", measured)
		link := func(name string, rx, tx uint64) {
			w.text("name", name)
			w.number("rxBytes", rx)
			w.number("rxErrors", 0)
			w.number("txBytes", tx)
			w.number("txErrors", 0)
		}
		rx, tx := value(s, model.NetworkRx), value(s, model.NetworkTx)
		link("eth0", rx, tx)
		w.list("interfaces", func() {
			w.object("", func() { link("eth0", rx, tx) })
			for i := range Pods { // one veth for each pod
				w.object("", func() { link("veth"+strconv.Itoa(10000+i), rx/Pods, tx/Pods) })
			}
		})
	})
	writeDisk(w, "fs", measured, value(s, model.RootFS))
	w.object("runtime", func() {
		writeDisk(w, "imageFs", measured, value(s, model.RootFS)/3)
		writeDisk(w, "containerFs", measured, value(s, model.RootFS)/3)
	})
	w.object("rlimit", func() {
		w.time("time", measured)
		w.number("maxpid", 32768)
		w.number("curproc", 1812)
	})
}

func (n *Node) writePod(w *writer, p *pod, full, bareContainers bool) {
	s := &p.entities[0].sample
	w.object("podRef", func() {
		w.text("name", p.ref.Name)
		w.text("namespace", p.ref.Namespace)
		w.text("uid", p.ref.UID)
	})
	w.time("startTime", s.Start)
	w.bare = bareContainers
	w.list("containers", func() {
		for i := range p.entities[1:] {
			w.object("", func() { writeContainer(w, &p.entities[1+i].sample, full) })
		}
	})
	w.bare = false
	writeUsage(w, s, false, full)
	if !full {
		return
	}
	measured := int64(value(s, model.Measured))
	if s.Has(model.NetworkRx) {
		w.object("network", func() {
			w.time("time", measured)
			w.text("name", "eth0")
			w.number("rxBytes", value(s, model.NetworkRx))
			w.number("rxErrors", 0)
			w.number("txBytes", value(s, model.NetworkTx))
			w.number("txErrors", 0)
		})
	}
	w.list("volume", func() {
		w.object("", func() {
			writeDiskFields(w, s.Start+25, 12288)
			w.text("name", "kube-api-access-4mvrc")
		})
	})
	writeDisk(w, "ephemeral-storage", measured, value(s, model.Ephemeral))
}

func writeContainer(w *writer, s *model.Sample, full bool) {
	w.text("name", s.Name)
	w.time("startTime", s.Start)
	writeUsage(w, s, true, full)
	if full {
		measured := int64(value(s, model.Measured))
		writeDisk(w, "rootfs", measured, value(s, model.RootFS))
		writeDisk(w, "logs", measured, value(s, model.Logs))
	}
}

// writeUsage writes what every entity has. In the light form there is no io.
func writeUsage(w *writer, s *model.Sample, available, full bool) {
	measured := int64(value(s, model.Measured))
	spent := value(s, model.CPUTotal)
	w.object("cpu", func() {
		w.time("time", measured)
		w.number("usageNanoCores", value(s, model.CPU))
		w.number("usageCoreNanoSeconds", spent)
		writePSI(w, s, model.PSICPUSome)
	})
	w.object("memory", func() {
		w.time("time", measured)
		if available {
			w.number("availableBytes", 1<<34)
		}
		w.number("usageBytes", value(s, model.Usage))
		w.number("workingSetBytes", value(s, model.WorkingSet))
		w.number("rssBytes", value(s, model.RSS))
		w.number("pageFaults", spent>>20)
		w.number("majorPageFaults", 0)
		writePSI(w, s, model.PSIMemorySome)
	})
	if full {
		w.object("io", func() {
			w.time("time", measured)
			writePSI(w, s, model.PSIIOSome)
		})
	}
	w.object("swap", func() {
		w.time("time", measured)
		if available {
			w.number("swapAvailableBytes", 0)
		}
		w.number("swapUsageBytes", value(s, model.Swap))
	})
}

// writePSI writes some's metric and the one after it, full's.
func writePSI(w *writer, s *model.Sample, some model.Metric) {
	if w.bare {
		return
	}
	data := func(total uint64) {
		w.number("total", total)
		for _, name := range []string{"avg10", "avg60", "avg300"} {
			w.number(name, 0)
		}
	}
	w.object("psi", func() {
		w.object("full", func() { data(value(s, some+1)) })
		w.object("some", func() { data(value(s, some)) })
	})
}

func writeDisk(w *writer, name string, at int64, used uint64) {
	w.object(name, func() { writeDiskFields(w, at, used) })
}

func writeDiskFields(w *writer, at int64, used uint64) {
	w.time("time", at)
	w.number("availableBytes", 78701215744)
	w.number("capacityBytes", 270553174016)
	w.number("usedBytes", used)
	w.number("inodesFree", 16286460)
	w.number("inodes", 16777216)
	w.number("inodesUsed", 16)
}

func value(s *model.Sample, m model.Metric) uint64 {
	x, _ := s.Get(m)
	return x
}
