package dashboard

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"
)

const (
	// patience is how long a check waits for a target to be whole: that a node answered
	// late once is no breach of the contract.
	patience = 2 * time.Minute
	// pause is how long a check waits before it looks again.
	pause = 200 * time.Millisecond
)

// A check is a part of the contract.
type check struct {
	name string
	// run says what is broken, nil if nothing. What may come right is a [notYet].
	run func(ctx context.Context, t *Target) error
}

// checks are all of them.
var checks = []check{
	{"health", healthy},
	{"pods as measured", podsAsMeasured},
	{"nodes as measured", nodesAsMeasured},
	{"sums of pods", sumsOfPods},
	{"sum of nodes", sumOfNodes},
	{"unknown pods", unknownPods},
	{"unknown namespace", unknownNamespace},
	{"unknown node", unknownNode},
	{"names asked twice", askedTwice},
	{"several nodes in one path", severalNodes},
	{"no names", noNames},
	{"escaped paths", escapedPaths},
	{"names of metrics", metricNames},
	{"parameters", parameters},
	{"accepted types", acceptedTypes},
	{"compression", compression},
	{"HEAD", heads},
	{"other paths", otherPaths},
	{"many names", manyNames},
	{"a page at once", pageAtOnce},
	{"no retries", noRetries}, // last, as it is about all answers so far
}

// TestContract is what every target has to pass.
func TestContract(t *testing.T, target Target) {
	t.Helper()
	if err := target.validate(); err != nil {
		t.Fatal(err)
	}
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			if err := c.settle(ctx, &target); err != nil {
				t.Error(err)
			}
		})
	}
}

// notYet is an error that may be none in a moment.
type notYet struct{ error }

func notYetf(format string, args ...any) error { return notYet{fmt.Errorf(format, args...)} }

// Unwrap is for errors.Is and As.
func (n notYet) Unwrap() error { return n.error }

// settle runs the check until it passes, or fails for good.
func (c check) settle(ctx context.Context, t *Target) error {
	again := time.NewTicker(pause)
	defer again.Stop()
	var last error // before it was too late
	for {
		err := c.run(ctx, t)
		if last != nil && ctx.Err() != nil {
			return fmt.Errorf("never: %w", last)
		}
		if _, wait := errors.AsType[notYet](err); !wait {
			return err
		}
		last = err
		select {
		case <-again.C:
		case <-ctx.Done():
			return fmt.Errorf("never: %w", last)
		}
	}
}

// items asks for a path, and takes the answer apart.
func (t *Target) items(ctx context.Context, path string) ([]item, error) {
	body, err := t.Client.Get(ctx, path)
	if err != nil {
		return nil, err
	}
	items, err := parse(body)
	if err != nil {
		return nil, fmt.Errorf("%.200s: %w", path, err)
	}
	return items, nil
}

// told is what a path tells of whom, in one order.
func (t *Target) told(path string) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		items, err := t.items(ctx, path)
		return canonical(items), err
	}
}

// same checks that two questions have the same answer, which may change with time: the
// first is asked before the other and after it, until it is the same both times.
func same(ctx context.Context, what string, one, other func(context.Context) (string, error)) error {
	before, err := one(ctx)
	if err != nil {
		return err
	}
	got, err := other(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	after, err := one(ctx)
	switch {
	case err != nil:
		return err
	case before != after:
		return notYetf("%s: the answer changes all the time", what)
	case before == "":
		return notYetf("%s: nothing is told", what)
	case got != before:
		return fmt.Errorf("%s: the answer is another:\n%.500s\nwant\n%.500s", what, got, before)
	}
	return nil
}
