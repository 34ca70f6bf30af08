// Package cli is what every command of Rollcall does the same way: flags, help,
// version, signals and exit codes.
package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/pflag"

	"github.com/rollcall-metrics/rollcall/pkg/obs"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	// exitUsage says that the command line is wrong: trying again is no use.
	exitUsage = 2
)

// A Config is a command's configuration.
type Config interface {
	// AddFlags adds the flags that fill it in.
	AddFlags(fs *pflag.FlagSet)
	// Validate says what is wrong with it, naming the flags.
	Validate() error
}

// A Command is a program.
type Command struct {
	Name string
	// About says in a few lines what the command does and how it is used; it
	// is the beginning of --help.
	About   string
	Version string
	// LogLevel is the default of --log-level; "" is info.
	LogLevel string
	Config   Config
	// Run does the work until ctx ends.
	Run func(ctx context.Context, log *slog.Logger) error
	// Subcommands do other things, and run if the first argument is their Name.
	// Their Version is the command's.
	Subcommands []Command
}

// Main runs the command with the process's arguments until it ends, or until
// SIGINT or SIGTERM ends its context; a second signal ends the process. It
// returns the exit code: 0, 1 if Run failed, 2 if the command line is wrong.
func (c *Command) Main() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // the next signal has its default effect
	return c.Exec(ctx, os.Args[1:], os.Stdout, os.Stderr)
}

// Exec is [Command.Main] with everything given. Logs go to stderr.
func (c *Command) Exec(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	for _, sub := range c.Subcommands {
		if len(args) > 0 && args[0] == sub.Name {
			sub.Name, sub.Version = c.Name+" "+sub.Name, c.Version
			return sub.Exec(ctx, args[1:], stdout, stderr)
		}
	}
	fs := pflag.NewFlagSet(c.Name, pflag.ContinueOnError)
	fs.SortFlags = false
	fs.SetOutput(io.Discard)
	fs.Usage = func() {} // a mistake gets one line, not a page
	c.Config.AddFlags(fs)
	level := fs.String("log-level", cmp.Or(c.LogLevel, "info"), "least level that is logged: debug, info, warn or error")
	format := fs.String("log-format", "text", "format of the log: text or json")
	version := fs.Bool("version", false, "print the version and exit")

	usage := func(err error) int {
		fmt.Fprintf(stderr, "%s: %s; see %s --help\n", c.Name, oneLine(err), c.Name)
		return exitUsage
	}
	switch err := fs.Parse(args); {
	case errors.Is(err, pflag.ErrHelp):
		fmt.Fprintf(stdout, "%s\n%s\nFlags:\n%s", strings.TrimSpace(c.About), c.commands(), fs.FlagUsagesWrapped(100))
		return exitOK
	case err != nil:
		return usage(err)
	case *version:
		fmt.Fprintln(stdout, c.Name, c.Version)
		return exitOK
	case fs.NArg() > 0:
		return usage(fmt.Errorf("unexpected argument %q", fs.Arg(0)))
	}
	log, err := obs.NewLogger(stderr, *level, *format)
	if err != nil {
		return usage(err)
	}
	if err := c.Config.Validate(); err != nil {
		return usage(err)
	}
	if err := c.Run(ctx, log); err != nil {
		fmt.Fprintf(stderr, "%s: %s\n", c.Name, oneLine(err))
		return exitFailed
	}
	return exitOK
}

// commands lists the subcommands for --help, with the first line of what they
// are about.
func (c *Command) commands() string {
	var b strings.Builder
	for i, sub := range c.Subcommands {
		if i == 0 {
			b.WriteString("\nCommands, each with its own --help:\n")
		}
		first, _, _ := strings.Cut(strings.TrimSpace(sub.About), "\n")
		fmt.Fprintf(&b, "  %-18s %s\n", sub.Name, first)
	}
	return b.String()
}

// oneLine joins the lines of joined errors.
func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

// Settings are the flags and their values, for a debug page. Secrets are in
// files, of which only the names are shown. fs may be nil.
func Settings(fs *pflag.FlagSet) map[string]string {
	s := map[string]string{}
	if fs != nil {
		fs.VisitAll(func(f *pflag.Flag) { s["--"+f.Name] = f.Value.String() })
	}
	return s
}
