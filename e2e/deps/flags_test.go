package deps

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	agent "github.com/rollcall-metrics/rollcall/agent/app"
	aggregator "github.com/rollcall-metrics/rollcall/aggregator/app"
)

// TestFlagsOfManifests checks that every flag in the manifests is one of the
// program's that the manifest is for.
func TestFlagsOfManifests(t *testing.T) {
	known := map[string]*pflag.FlagSet{
		"agent":      pflag.NewFlagSet("", pflag.ContinueOnError),
		"aggregator": pflag.NewFlagSet("", pflag.ContinueOnError),
		"forwarder":  pflag.NewFlagSet("", pflag.ContinueOnError),
	}
	new(agent.Config).AddFlags(known["agent"])
	new(aggregator.Config).AddFlags(known["aggregator"])
	forwarder := aggregator.ForwardDashboard("")
	forwarder.Config.AddFlags(known["forwarder"])

	files, err := filepath.Glob("../../manifests/*/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	components, err := filepath.Glob("../../manifests/components/*/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, file := range append(files, components...) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		program := "agent"
		if strings.Contains(filepath.Base(file), "aggregator") || strings.Contains(string(text), "name: rollcall-aggregator") {
			program = "aggregator"
		}
		if strings.Contains(string(text), "- "+forwarder.Name+"\n") {
			program = "forwarder"
		}
		for _, m := range regexp.MustCompile(`(?m)^\s*(?:- |value: |args: \[.*)--([a-z-]+)`).FindAllStringSubmatch(string(text), -1) {
			found++
			if known[program].Lookup(m[1]) == nil {
				t.Errorf("%s: rollcall-%s has no flag --%s", file, program, m[1])
			}
		}
	}
	if found < 10 {
		t.Errorf("only %d flags found", found)
	}
}
