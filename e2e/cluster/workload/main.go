// Command workload is what the pods of the tests run: one static binary, which
// needs nothing of its image, and a subcommand for each part.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/pflag"
)

const about = `
workload is what pods of the tests of a cluster run. It ends at SIGTERM.

  workload pause                            waits
  workload serve --listen :8080             answers every request with its host name
  workload burn --millicores 50             uses CPU and memory
  workload load --url http://… --every 1s   asks a URL, and counts failures
  workload intrude --agent … --aggregator … tries to get into a fleet of Rollcall

See workload <command> --help.
`

// A command is a subcommand: flags are its own, run ends with ctx.
type command struct {
	flags *pflag.FlagSet
	run   func(ctx context.Context) error
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(exec(ctx, os.Args[1:]))
}

// exec runs a command line and returns the exit code.
func exec(ctx context.Context, args []string) int {
	commands := map[string]func() command{"pause": pause, "serve": serve, "burn": burn, "load": load, "intrude": intrude}
	if len(args) == 0 || commands[args[0]] == nil {
		fmt.Fprint(os.Stderr, about)
		return 2
	}
	c := commands[args[0]]()
	if err := c.flags.Parse(args[1:]); errors.Is(err, pflag.ErrHelp) {
		return 0
	} else if err != nil {
		fmt.Fprintf(os.Stderr, "workload %s: %v\n", args[0], err)
		return 2
	}
	if err := c.run(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "workload %s: %v\n", args[0], err)
		return 1
	}
	return 0
}

// pause waits, as the container that holds a pod's namespaces does.
func pause() command {
	return command{
		flags: pflag.NewFlagSet("pause", pflag.ContinueOnError),
		run: func(ctx context.Context) error {
			<-ctx.Done()
			return nil
		},
	}
}
