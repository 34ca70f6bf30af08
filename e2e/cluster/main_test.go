package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/e2e/cluster/build"
	"github.com/rollcall-metrics/rollcall/e2e/cluster/cluster"
	"github.com/rollcall-metrics/rollcall/e2e/cluster/sandbox"
)

// patience is far more than anything takes, for machines that are busy.
const patience = 2 * time.Minute

// TestMain runs the tests in a sandbox, if this machine can run one.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := sandbox.Possible(); err != nil {
		fmt.Fprintf(os.Stderr, "SKIPPED: %v\n", err)
		os.Exit(m.Run())
	}
	os.Exit(sandbox.Run(sandbox.Program{
		Prepare: func(ctx context.Context, out *sandbox.Outside) error {
			return cluster.Prepare(ctx, out, progress(), images())
		},
		Work: m.Run,
	}))
}

// images are those that the tests need which -run and -skip select. Each takes
// seconds to build, and metrics-server, the first time, minutes.
func images() (all build.Choice) {
	run, _, _ := strings.Cut(flag.Lookup("test.run").Value.String(), "/")
	skip := flag.Lookup("test.skip").Value.String()
	matches := func(pattern, test string) bool {
		matched, err := regexp.MatchString(pattern, test)
		return matched && err == nil
	}
	selected := func(test string) bool { return matches(run, test) && (skip == "" || !matches(skip, test)) }
	all.MetricsServer = selected("TestMetricsAPI")
	if all.MetricsServer || selected("TestRollcall") {
		all.Tags = append(all.Tags, oldTag)
	}
	if selected("TestRollcall") {
		all.Tags = append(all.Tags, newTag)
	}
	return all
}

// startCluster starts a cluster for a test. What helps to find out why it fails
// is logged if it does, for the namespaces given.
func startCluster(t *testing.T, cfg cluster.Config, namespaces ...string) *cluster.Cluster {
	t.Helper()
	if !sandbox.Inside() {
		t.Skip(sandbox.Possible())
	}
	ctx, cancel := context.WithTimeout(t.Context(), startWithin)
	defer cancel()
	cfg.Progress = t.Logf
	c, err := cluster.Start(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			c.Diagnose(ctx, t.Output(), namespaces...)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}
