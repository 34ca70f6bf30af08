package deps

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A rule says what no package below from may lead to, directly or not.
type rule struct {
	name string
	// from and never are import paths, each standing for itself and all
	// below it; those of this module are relative to it.
	from  string
	never []string
	// tests extends the rule to what the tests of from import.
	tests bool
}

func TestDirection(t *testing.T) {
	rules := []rule{
		{"pkg knows neither binary", "pkg", []string{"agent", "aggregator", "e2e"}, true},
		{"the agent does not know the aggregator", "agent", []string{"aggregator", "e2e"}, true},
		{"the aggregator does not know the agent", "aggregator", []string{"agent", "e2e"}, true},
		// These would add tens of megabytes to a process that runs on every
		// node and asks no API server anything.
		{"the agent has no Kubernetes client", "agent", []string{
			"k8s.io/api",
			"k8s.io/client-go/informers",
			"k8s.io/client-go/kubernetes",
			"k8s.io/client-go/listers",
		}, false},
	}
	noteSources(t)
	built, tested := load(t, false), load(t, true)
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			g := built
			if r.tests {
				g = tested
			}
			roots := g.below(r.from)
			if len(roots) == 0 {
				t.Fatalf("there is no package %s: was it moved? Then move the rule", r.from)
			}
			for _, never := range r.never {
				if chain := g.chain(roots, never); chain != nil {
					t.Errorf("%s leads to %s:\n\t%s", r.from, never, strings.Join(chain, "\n\timports "))
				}
			}
		})
	}
}

// The binaries are what the rules are about, so they must be there.
func TestBinariesExist(t *testing.T) {
	g := load(t, false)
	for _, path := range []string{"agent", "aggregator"} {
		if _, ok := g[module+path]; !ok {
			t.Errorf("there is no package %s%s", module, path)
		}
	}
}

func TestModelNeedsOnlyTheStandardLibrary(t *testing.T) {
	out := list(t, "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", "./pkg/model")
	if got := strings.Fields(out); !slices.Equal(got, []string{module + "pkg/model"}) {
		t.Errorf("pkg/model depends on %v", got)
	}
}

// list runs go list in the module's root.
func list(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list"}, args...)...)
	cmd.Dir = filepath.Join("..", "..")
	out, err := cmd.Output()
	if err != nil {
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
			t.Fatalf("%v: %v\n%s", cmd, err, exit.Stderr)
		}
		t.Fatalf("%v: %v", cmd, err)
	}
	return string(out)
}

// noteSources looks at every Go file of the module. go test reuses a result
// until a file changes that the test itself has looked at; what go list reads
// does not count.
func noteSources(t *testing.T) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join("..", ".."), func(path string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // Other packages' tests make and remove files.
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == ".git" || d.Name() == "bin"):
			return fs.SkipDir
		case filepath.Ext(path) == ".go":
			// For the look alone; the file may just have gone.
			_, _ = os.Stat(path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
