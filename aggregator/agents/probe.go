package agents

import (
	"context"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/model"
	"github.com/rollcall-metrics/rollcall/pkg/wire"
)

const (
	// maxProbe bounds the answer to a probe, in bytes: it has 200.
	maxProbe = 64 << 10
	// probed is how far back a probe asks: some slots of any resolution.
	probed = time.Minute
)

// Probe asks a node for its own newest values, which is about the least that
// it can be asked, to see whether it answers. As with [Client.Ask], it returns
// when ctx ends, and its error is an [*Error].
func (c *Client) Probe(ctx context.Context, node string) error {
	now := time.Now()
	q := model.Query{From: now.Add(-probed).Unix(), To: now.Unix()}
	_, err := c.ask(ctx, node, question{
		path: wire.ChunksPath, rawQuery: wire.Values(q).Encode(), most: min(c.budget, maxProbe),
	}, func(wire.Item) {})
	return err
}
