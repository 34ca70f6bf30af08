package kubelet

import (
	"fmt"
	"strings"
)

const (
	// maxNotes is how many lines Skipped has at most: enough to see what is
	// wrong, few enough for a log record and the debug page.
	maxNotes = 20
	// maxNoteText is how many bytes of a name or message a note repeats.
	maxNoteText = 80
)

// notes collects what a document lost in decoding. The zero notes is ready.
type notes struct {
	lines []string
	more  int // notes beyond the last line
}

// add records what was skipped and where: "pod shop/cart container app", or
// "node". It formats nothing once the list is full.
func (n *notes) add(where place, format string, args ...any) {
	if len(n.lines) >= maxNotes-1 {
		n.more++
		return
	}
	n.lines = append(n.lines, where.String()+": "+fmt.Sprintf(format, args...))
}

// list returns the notes, the last of which counts those left out.
func (n *notes) list() []string {
	if n.more > 0 {
		return append(n.lines, fmt.Sprintf("and %d more", n.more))
	}
	return n.lines
}

// A place is what a note is about. It is turned into text only if needed.
type place struct {
	namespace, pod string // both empty: the node
	container      string
	whole          bool // the document
}

func (p place) String() string {
	switch {
	case p.whole:
		return "document"
	case p.pod == "" && p.namespace == "":
		return "node"
	case p.container == "":
		return "pod " + clean(p.namespace) + "/" + clean(p.pod)
	}
	return "pod " + clean(p.namespace) + "/" + clean(p.pod) + " container " + clean(p.container)
}

// clean makes text from outside fit for one line of a log: bounded, and
// quoted if it holds anything but plain characters.
func clean(s string) string {
	cut := ""
	if len(s) > maxNoteText {
		s, cut = strings.ToValidUTF8(s[:maxNoteText], ""), "…"
	}
	if quoted := fmt.Sprintf("%q", s); quoted != `"`+s+`"` || s == "" {
		return quoted + cut
	}
	return s + cut
}
