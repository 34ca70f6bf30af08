package child

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
)

// A Job is what a child does: it gets a request, writes results, and, if it is
// to be looked at from outside, stays until ctx ends.
type Job func(ctx context.Context, p *Parent) error

// A Parent is the process that started this one, as the job sees it.
type Parent struct {
	lines chan []byte
	out   *json.Encoder
}

// Next waits for what the parent says next; the first is the request. It is
// io.EOF once the parent says no more.
func (p *Parent) Next(v any) error {
	line, ok := <-p.lines
	if !ok {
		return io.EOF
	}
	return json.Unmarshal(line, v)
}

// Result hands a result to the parent.
func (p *Parent) Result(v any) error { return p.out.Encode(v) }

// Main is main of a child: its argument names the job, what the parent says are
// lines of stdin, results are lines of stdout, and the end of stdin is the end
// of ctx. It returns the exit code.
func Main(args []string, jobs map[string]Job) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if len(args) != 1 || jobs[args[0]] == nil {
		fmt.Fprintln(os.Stderr, "this is a part of rollcall's benchmark, not for people; see docs/bench/README.md")
		return 2
	}
	p := &Parent{lines: make(chan []byte, 1), out: json.NewEncoder(os.Stdout)}
	go func() {
		defer close(p.lines)
		defer cancel() // first, so that a job without lines knows why
		for in := bufio.NewReader(os.Stdin); ; {
			line, err := in.ReadBytes('\n')
			if err != nil {
				return
			}
			p.lines <- line
		}
	}()
	err := jobs[args[0]](ctx, p)
	if err != nil && (!errors.Is(err, io.EOF) || ctx.Err() == nil) {
		fmt.Fprintf(os.Stderr, "%s: %v\n", args[0], err)
		return 1
	}
	return 0
}

// ErrorsOnly logs errors to stderr.
func ErrorsOnly() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
}
