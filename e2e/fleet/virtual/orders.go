package virtual

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// Actions are what [Fleet.Order] knows.
const Actions = "stop|kill|start|restart|move|reboot|vanish|return"

// atOnce is how many agents are started or stopped at a time.
const atOnce = 64

// Select finds nodes: "node-1,node-7..node-9", or "all".
func (f *Fleet) Select(nodes string) ([]string, error) {
	if nodes == "all" {
		return f.Nodes(), nil
	}
	var names []string
	for item := range strings.SplitSeq(nodes, ",") {
		first, last, isRange := strings.Cut(item, "..")
		if !isRange {
			last = first
		}
		from, errFrom := f.agent(first)
		to, errTo := f.agent(last)
		if err := errors.Join(errFrom, errTo); err != nil {
			return nil, err
		}
		if from.node > to.node {
			return nil, fmt.Errorf("nodes %q go backwards", item)
		}
		for i := from.node; i <= to.node; i++ {
			names = append(names, f.agents[i].name)
		}
	}
	return names, nil
}

// SetFault makes agents fail in one way, or none, from now on. Gossip goes on.
func (f *Fleet) SetFault(nodes []string, fault Fault) error {
	agents, _, err := f.find(nodes)
	for _, a := range agents {
		a.set(fault)
	}
	return err
}

// Order does something to agents at once. ctx is that of the fleet: what is
// started lives as long.
//
//   - stop: they leave gossip, serve on until others have heard of it, and end.
//   - kill: they end; connections are reset, new ones refused, and gossip takes
//     them for dead after a while.
//   - start: they are there again.
//   - restart: stop and start, with a new start time.
//   - move: as restart, at another address: between two of each node's.
//   - reboot: kill, and start at the other address at once.
//   - vanish: packets get lost, those of gossip too, as when a zone is cut off.
//   - return: they do not any more.
func (f *Fleet) Order(ctx context.Context, nodes []string, action string) error {
	agents, members, err := f.find(nodes)
	if err != nil {
		return err
	}
	switch action {
	case "stop":
		return f.stop(ctx, agents, members)
	case "kill":
		return f.kill(agents, members)
	case "start":
		return f.start(ctx, agents, members)
	case "restart":
		return errors.Join(f.stop(ctx, agents, members), f.start(ctx, agents, members))
	case "move":
		return errors.Join(f.stop(ctx, agents, members), f.move(agents), f.start(ctx, agents, members))
	case "reboot":
		return errors.Join(f.kill(agents, members), f.move(agents), f.start(ctx, agents, members))
	case "vanish":
		for _, a := range agents {
			a.set(Fault{Kind: Blackhole})
		}
		f.crowd.Fail(members...)
		return nil
	case "return":
		for _, a := range agents {
			a.set(Fault{Kind: None})
		}
		f.crowd.Recover(members...)
		return nil
	}
	return fmt.Errorf("action %q is none of %s", action, strings.ReplaceAll(Actions, "|", ", "))
}

// find finds agents, and their members of the crowd.
func (f *Fleet) find(nodes []string) (agents []*agent, members []int, err error) {
	for _, name := range nodes {
		a, err := f.agent(name)
		if err != nil {
			return nil, nil, err
		}
		agents, members = append(agents, a), append(members, a.node)
	}
	return agents, members, nil
}

// each does something to all, many at a time.
func each(agents []*agent, do func(*agent) error) error {
	var g errgroup.Group
	g.SetLimit(atOnce)
	for _, a := range agents {
		g.Go(func() error {
			a.orders.Lock()
			defer a.orders.Unlock()
			return do(a)
		})
	}
	return g.Wait()
}

func (f *Fleet) stop(ctx context.Context, agents []*agent, members []int) error {
	f.crowd.Leave(members...)
	select {
	case <-time.After(f.cfg.Timing.LeaveSpread):
	case <-ctx.Done():
	}
	return each(agents, func(a *agent) error { return a.stop(false) })
}

func (f *Fleet) kill(agents []*agent, members []int) error {
	err := each(agents, func(a *agent) error { return a.stop(true) })
	f.crowd.Fail(members...)
	return err
}

func (f *Fleet) start(ctx context.Context, agents []*agent, members []int) error {
	err := each(agents, func(a *agent) error { return a.start(ctx) })
	f.crowd.Return(members...)
	return err
}

func (f *Fleet) move(agents []*agent) error {
	return each(agents, func(a *agent) error {
		to := f.cfg.Spare(a.node)
		if a.addr == to {
			to = f.cfg.Host(a.node)
		}
		if err := f.crowd.Move(a.node, to); err != nil {
			return err
		}
		a.addr = to
		return nil
	})
}
