// Package job is the side of the benchmark that runs in processes of its own,
// where CPU and memory are counted per process.
package job

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
)

// A Func is what a child does: it reads a request, writes results, and, if it
// is to be looked at from outside, stays until ctx ends.
type Func func(ctx context.Context, request []byte, result func(any) error) error

// Main is main of a child: its argument names the job, the request is the first
// line of stdin, results are lines of stdout, and the end of stdin is the end of
// ctx. It returns the exit code.
func Main(args []string, jobs map[string]Func) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	in := bufio.NewReader(os.Stdin)
	if len(args) != 1 || jobs[args[0]] == nil {
		fmt.Fprintln(os.Stderr, "this is a part of rollcall's benchmark, not for people; see go run ./e2e/bench --help")
		return 2
	}
	request, err := in.ReadBytes('\n')
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: no request: %v\n", args[0], err)
		return 2
	}
	go func() {
		_, _ = io.Copy(io.Discard, in)
		cancel()
	}()
	out := json.NewEncoder(os.Stdout)
	if err := jobs[args[0]](ctx, request, func(v any) error { return out.Encode(v) }); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", args[0], err)
		return 1
	}
	return 0
}

// ErrorsOnly logs errors to stderr.
func ErrorsOnly() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
}
