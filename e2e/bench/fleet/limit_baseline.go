package main

import (
	"context"
	"fmt"
	"time"

	"github.com/rollcall-metrics/rollcall/e2e/bench/child"
	"github.com/rollcall-metrics/rollcall/e2e/bench/limit"
	"github.com/rollcall-metrics/rollcall/pkg/identity"
	"github.com/rollcall-metrics/rollcall/pkg/model"
	"github.com/rollcall-metrics/rollcall/pkg/wire"
)

// The questions that are asked of agents, and whose answers are recorded.
const (
	latestNodes = iota // the newest slot that has ended, of the nodes themselves
	history            // 15 min of them
	newest             // what a snapshot asks for: the newest scrape
)

// inFlight is the aggregator's default, and so the limit's.
const inFlight = 256

// A limitBaseline asks for the same bytes as the aggregator over bare TLS.
type limitBaseline struct {
	server, client *child.Process
	paths          [2]string // of the aggregator, for what has one that is the same at any time
	orders         []limit.Order
	bytes          []int64 // of all answers, by question
}

// theLimit records what agents answer, and connects.
func (b *bench) theLimit(ctx context.Context) (*limitBaseline, error) {
	if b.limit != nil {
		return b.limit, nil
	}
	f, err := b.theFleet(ctx)
	if err != nil {
		return nil, err
	}
	to := b.cfg.ended()
	from := to - model.BlockSeconds + b.cfg.seconds()
	l := &limitBaseline{paths: [...]string{
		latestNodes: fmt.Sprintf("/api/v1/node?start=%d&end=%d", to, to),
		history:     fmt.Sprintf("/api/v1/node?start=%d&end=%d", from, to),
	}}
	targets := make([]string, 0, newest+1)
	for _, path := range l.paths {
		t, err := target(path, b.cfg.Resolution)
		if err != nil {
			return nil, err
		}
		targets = append(targets, t)
	}
	targets = append(targets, wire.LatestPath+"?"+wire.Latest{To: to, Since: to - b.cfg.seconds()}.Values().Encode())
	b.Progress("limit: recording the answers of %d agents", len(f.Nodes))
	bodies, err := record(ctx, f, targets)
	if err != nil {
		return nil, err
	}
	q := limit.ServerRequest{Files: f.Limit}
	for kind, of := range bodies {
		path := b.path(fmt.Sprintf("recording-%d", kind))
		if err := limit.WriteRecording(path, of); err != nil {
			return nil, err
		}
		q.Recordings = append(q.Recordings, path)
		var n int64
		for _, body := range of {
			n += int64(len(body))
		}
		l.bytes = append(l.bytes, n)
		l.orders = append(l.orders, limit.Order{Kind: kind, Size: len(targets[kind])})
	}
	var at limit.ServerResult
	if l.server, err = b.startJob(ctx, "limit-server", q, &at); err != nil {
		return nil, err
	}
	b.Progress("limit: connecting")
	l.client, err = b.startJob(ctx, "limit-client", limit.ClientRequest{
		Files: f.Aggregator, Server: identity.Peer{Role: identity.Agent, Name: limitName}, Addr: at.Addr, Nodes: len(f.Nodes), InFlight: inFlight,
	}, &limit.Round{})
	if err != nil {
		return nil, err
	}
	b.limit = l
	return l, nil
}

// ask asks all nodes once.
func (l *limitBaseline) ask(ctx context.Context, kind int) (cost, error) {
	return costOf(ctx, l.client, l.server, func() (time.Duration, error) {
		if err := l.client.Tell(l.orders[kind]); err != nil {
			return 0, err
		}
		var r limit.Round
		if err := l.client.Result(&r); err != nil {
			return 0, err
		}
		if r.Bytes != l.bytes[kind] {
			return 0, fmt.Errorf("the limit's client got %d bytes of %d", r.Bytes, l.bytes[kind])
		}
		return r.Wall, nil
	})
}
