package expected

import (
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/coverage"
	"github.com/rollcall-metrics/rollcall/pkg/identity"
)

// checkEvery is how old our view of the file may get. Nodes come and go by
// the minute, and reading 5000 lines takes 0.1 ms.
const checkEvery = 5 * time.Second

// A File expects the nodes that it lists, one a line: a name, and perhaps
// white space and the address of the gossip of its agent, with or without
// port. '#' begins a comment; blank lines do not count.
//
// It is read again when it has changed, which is looked for when someone asks,
// at most every 5 s; by content, since a Kubernetes ConfigMap is replaced by
// swapping a symbolic link. What cannot be used (an empty file, too) is logged
// once, and the old list stays. A File is safe for concurrent use.
type File struct {
	path string
	log  *slog.Logger
	now  atomic.Pointer[list]
	// problem is why the file as it is now cannot be used; nil: it can.
	problem atomic.Pointer[error]

	mu      sync.Mutex // held while looking at the file
	checked time.Time
	seen    string // what was found: the content, or why there was none
}

// OpenFile reads the file, and fails if it cannot be used. Errors name the
// file and, where it is one of content, the line.
func OpenFile(path string, log *slog.Logger) (*File, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("expected nodes: %w", err)
	}
	l, err := parse(path, content)
	if err != nil {
		return nil, fmt.Errorf("expected nodes: %w", err)
	}
	f := &File{path: path, log: log, checked: time.Now(), seen: string(content)}
	f.now.Store(l)
	log.Info("expected nodes read", "file", path, "nodes", len(l.nodes))
	return f, nil
}

// Nodes are the nodes in the file, by name. The slice is the caller's.
func (f *File) Nodes() []string { return slices.Clone(f.latest().nodes) }

// Addresses are the addresses in the file, by node; not all have one. The map
// is the caller's.
func (f *File) Addresses() map[string]string { return maps.Clone(f.latest().addresses) }

// Missing are the addresses of the nodes that have one and whose agents are
// not alive: what roster.Config.Missing wants to know.
func (f *File) Missing(s Snapshot) []string {
	l := f.latest()
	alive := map[string]bool{}
	for _, m := range s.ByRole(identity.Agent) {
		alive[m.Name] = true
	}
	var missing []string
	for _, node := range l.nodes {
		if address, ok := l.addresses[node]; ok && !alive[node] {
			missing = append(missing, address)
		}
	}
	return missing
}

// Unsupported is empty: a node that cannot run the agent should not be listed.
func (f *File) Unsupported() []coverage.Unsupported { return nil }

// Status names the file, and says why it cannot be used if it has changed for
// the worse.
func (f *File) Status() Status {
	s := Status{Source: "the file " + f.path}
	if err := f.problem.Load(); err != nil {
		s.Problems = append(s.Problems, fmt.Sprintf("The list of expected nodes cannot be read (%v): the list from before still counts. Mend the file.", *err))
	}
	return s
}

// latest looks at the file if it is time to. While one caller does, the others
// go on with what is there, so that a hanging disk holds up one.
func (f *File) latest() *list {
	if f.mu.TryLock() {
		defer f.mu.Unlock()
		if time.Since(f.checked) >= checkEvery {
			f.checked = time.Now()
			f.reload()
		}
	}
	return f.now.Load()
}

// reload takes over the file if it has changed, and logs once per change.
func (f *File) reload() {
	content, err := os.ReadFile(f.path)
	seen := string(content)
	if err != nil {
		seen = "\x00" + err.Error() // which no list begins with
	}
	if seen == f.seen {
		return
	}
	f.seen = seen
	old := f.now.Load()
	var l *list
	if err == nil {
		l, err = parse(f.path, content)
	}
	if err != nil {
		f.problem.Store(&err)
		f.log.Error("expected nodes not read, keeping the old ones", "err", err, "nodes", len(old.nodes))
		return
	}
	f.now.Store(l)
	f.problem.Store(nil)
	f.log.Info("expected nodes read", "file", f.path, "nodes", len(l.nodes), "before", len(old.nodes))
}
