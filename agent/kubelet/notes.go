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
func (n *notes) add(where place, text string) {
	if len(n.lines) >= maxNotes-1 {
		n.more++
		return
	}
	n.lines = append(n.lines, where.String()+": "+text)
}

// list returns the notes, the last of which counts those left out.
func (n *notes) list() []string {
	if n.more > 0 {
		return append(n.lines, fmt.Sprintf("and %d more", n.more))
	}
	return n.lines
}

// A flaw is a note whose place is not known yet: names may come last.
type flaw struct {
	container string // "": the node or the pod itself
	text      string
}

// flaw records what is wrong with what is being read. Like add, it formats
// nothing once there is enough.
func (d *decoder) flaw(format string, args ...any) {
	switch {
	case d.mute:
	case len(d.notes.lines)+len(d.flaws) >= maxNotes:
		d.notes.more++
	default:
		d.flaws = append(d.flaws, flaw{text: fmt.Sprintf(format, args...)})
	}
}

// otherType records that the next value is not of the type that the field
// wants, which costs that field only.
func (d *decoder) otherType(path string) {
	what := "number"
	switch d.scan.peek() {
	case '{':
		what = "object"
	case '[':
		what = "list"
	case '"':
		what = "string"
	case 't', 'f':
		what = "bool"
	}
	d.flaw("%s is a JSON %s", path, what)
}

// tell turns the flaws into notes, now that it is known where they are.
func (d *decoder) tell(where place) {
	for _, f := range d.flaws {
		where.container = f.container
		d.notes.add(where, f.text)
	}
	d.flaws = d.flaws[:0]
}

// A place is what a note is about. It is turned into text only if needed.
type place struct {
	namespace, pod []byte // both empty: the node
	container      string
	whole          bool // the document
}

func (p place) String() string {
	switch {
	case p.whole:
		return "document"
	case len(p.pod) == 0 && len(p.namespace) == 0:
		return "node"
	case p.container == "":
		return "pod " + clean(p.namespace) + "/" + clean(p.pod)
	}
	return "pod " + clean(p.namespace) + "/" + clean(p.pod) + " container " + clean([]byte(p.container))
}

// clean makes text from outside fit for one line of a log: bounded, and
// quoted if it holds anything but plain characters.
func clean(text []byte) string {
	s, cut := string(text[:min(len(text), maxNoteText)]), ""
	if len(text) > maxNoteText {
		s, cut = strings.ToValidUTF8(s, ""), "…"
	}
	if quoted := fmt.Sprintf("%q", s); quoted != `"`+s+`"` || s == "" {
		return quoted + cut
	}
	return s + cut
}
