// Package member is the life of a process of the fleet, agent or aggregator:
// it listens, serves, enters the roster, leaves it, and stops serving, in this
// order.
package member

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/obs"
	"github.com/rollcall-metrics/rollcall/pkg/roster"
)

// leaveTimeout bounds saying goodbye: the announcement takes 2 s to reach
// everyone, and a pod has 30 s in all.
const leaveTimeout = 10 * time.Second

// ErrCrash as the cause of a context's end makes [Run] end as a crash would:
// without leaving the roster. For fleets that test faults.
var ErrCrash = errors.New("end as a crash would")

// Crashed tells whether ctx ended for [ErrCrash].
func Crashed(ctx context.Context) bool { return errors.Is(context.Cause(ctx), ErrCrash) }

// An Address is where to listen, and the flag that says so.
type Address struct{ Flag, Addr string }

// Listen opens all listeners or none. wrap, if not nil, may put faults between
// them and the network. Errors name the flag; see [obs.Listen].
func Listen(ctx context.Context, wrap func(net.Listener) net.Listener, addrs ...Address) ([]net.Listener, error) {
	var listeners []net.Listener
	for _, a := range addrs {
		l, err := obs.Listen(ctx, a.Flag, a.Addr)
		if err != nil {
			return nil, errors.Join(err, Close(listeners))
		}
		if wrap != nil {
			l = wrap(l)
		}
		listeners = append(listeners, l)
	}
	return listeners, nil
}

// Close closes all listeners.
func Close(listeners []net.Listener) error {
	var errs []error
	for _, l := range listeners {
		errs = append(errs, l.Close())
	}
	return errors.Join(errs...)
}

// Run serves until ctx ends or a server fails. Meanwhile it enters the roster,
// which may take as long as it likes but must end with its ctx; if it fails, so
// does Run. At the end Run leaves the roster, and goes on serving meanwhile, since
// others ask until they have heard of it; then it lets answers in flight finish.
// It returns once no handler runs any more, with what went wrong.
func Run(ctx context.Context, enter func(context.Context) (*roster.Roster, error), log *slog.Logger, servers ...obs.Server) error {
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var running sync.WaitGroup
	failed := make(chan error, len(servers)+1)
	for _, s := range servers {
		running.Go(func() {
			if err := obs.Serve(serving, log, s); err != nil {
				failed <- err
			}
		})
	}
	entering, giveUp := context.WithCancel(ctx)
	defer giveUp()
	entered := make(chan *roster.Roster, 1)
	running.Go(func() {
		r, err := enter(entering)
		if err != nil && entering.Err() == nil {
			failed <- err
		}
		entered <- r // nil if it failed
	})
	var errs []error
	select {
	case <-ctx.Done():
	case err := <-failed:
		errs = append(errs, err)
	}
	giveUp()
	if r := <-entered; r != nil {
		errs = append(errs, leave(ctx, r))
	}
	stop()
	running.Wait()
	close(failed)
	for err := range failed {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func leave(ctx context.Context, r *roster.Roster) error {
	if Crashed(ctx) {
		return r.Kill()
	}
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTimeout)
	defer cancel()
	return r.Close(limited)
}
