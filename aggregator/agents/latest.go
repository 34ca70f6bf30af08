package agents

import (
	"context"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/wire"
)

// maxLatest bounds the answer about a node's newest scrape, in bytes: 110 pods
// are 20 KB, and the names of 10,000 further pods 600 KB.
const maxLatest = 1 << 20

// maxRetention bounds what an agent says of how long it keeps samples, in
// seconds: a month.
const maxRetention = 31 * 86400

// A Latest is a node's newest scrape.
type Latest struct {
	// Resolution is the distance of its slots, Retention how long it keeps them.
	Resolution, Retention time.Duration
	// Ahead is how much its clock is ahead of this one, give or take the time that
	// the answer took; 0 if the node does not say.
	Ahead time.Duration
	// Chunks have one row each: the node itself first, then its pods by
	// namespace, name and UID. They share their memory.
	Chunks [][]byte
	// Pods are further pods that the node has samples of, by namespace and name.
	Pods []PodName
	// Unlisted says why there may be more of them; empty if these are all.
	Unlisted string
}

// A PodName is a pod, under all UIDs that it had.
type PodName struct{ Namespace, Name string }

// Latest asks a node for its newest scrape. As with [Client.Ask], it returns
// when ctx ends, tells take of bytes, its error is an [*Error], and of an
// answer that is not whole there is at most what the agent itself calls a part.
func (c *Client) Latest(ctx context.Context, node string, q wire.Latest, take func(bytes int) bool) (Latest, error) {
	var answer Latest
	in, err := c.ask(ctx, node, question{
		path: wire.LatestPath, rawQuery: c.latest.of(q, wire.Latest.Values), most: min(c.budget, maxLatest), take: take,
	}, func(item wire.Item) {
		switch {
		case item.Chunk != nil:
			answer.Chunks = append(answer.Chunks, item.Chunk)
		case item.Pod != "":
			answer.Pods = append(answer.Pods, PodName{item.Namespace, item.Pod})
		}
	})
	if in == nil {
		return Latest{}, err
	}
	answer.Resolution = time.Duration(in.Header.GetResolution()) * time.Second
	answer.Retention = time.Duration(min(in.Header.GetRetention(), maxRetention)) * time.Second
	if t := in.Header.GetTime(); t != 0 {
		answer.Ahead = time.Until(time.UnixMilli(int64(t)))
	}
	answer.Unlisted = in.End.GetUnlisted()
	return answer, err
}
