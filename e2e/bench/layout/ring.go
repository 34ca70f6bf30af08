package layout

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-metrics/rollcall/agent/ring"
	"github.com/rollcall-metrics/rollcall/pkg/chunk"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// A Ring is the agent's ring as a Store.
type Ring struct {
	*ring.Ring
	decoder chunk.Decoder
}

// OpenRing opens a ring, which has to be on disk.
func OpenRing(cfg ring.Config, log *slog.Logger) (*Ring, error) {
	r := &Ring{Ring: ring.Open(cfg, log, prometheus.NewRegistry())}
	if s := r.Status(); s.State != "disk" || s.Error != "" {
		return nil, errors.Join(fmt.Errorf("the ring in %s is not on disk but %q: %s", cfg.Dir, s.State, s.Error), r.Close())
	}
	return r, nil
}

// Read implements [Store].
func (r *Ring) Read(ctx context.Context, q Query) (numbers int, err error) {
	mq := model.Query{Pods: true, Namespace: q.Namespace, Pod: q.Pod, From: q.From, To: q.To}
	for c, err := range r.Chunks(ctx, mq) {
		if err != nil {
			return numbers, err
		}
		n, err := DecodeChunk(&r.decoder, c, q)
		if err != nil {
			return numbers, err
		}
		numbers += n
	}
	return numbers, nil
}
