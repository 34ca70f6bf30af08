// Command agentchild is the agent for the benchmark: what the real one is made
// of and hardly more, so that it weighs the same, but it can sample a day's
// history at speed before it runs.
package main

import (
	"os"

	"github.com/rollcall-metrics/rollcall/e2e/bench/child"
	"github.com/rollcall-metrics/rollcall/e2e/bench/job"
)

func main() {
	os.Exit(child.Main(os.Args[1:], map[string]child.Job{"agent": job.Agent, "feed": job.Feed, "roster": job.Roster}))
}
