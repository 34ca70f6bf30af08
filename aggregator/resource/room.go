package resource

import (
	"context"

	"golang.org/x/sync/semaphore"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

const (
	// maxObjects is how many pods' metrics of long lists there are at a time: one list
	// of all pods of the largest cluster, 150,000, and a third of it.
	maxObjects = 200_000
	// longList is from how many pods on a list is one of those: a page of client-go or
	// kubectl has 500, and a namespace is smaller.
	longList = 10_000
)

// rooms bound what long lists hold.
type rooms struct{ *semaphore.Weighted }

func newRooms() *rooms { return &rooms{semaphore.NewWeighted(maxObjects)} }

// take waits until there is room for a list of so many pods, and keeps it until ctx,
// the request's, ends: then all has been sent. Alone, each list has room.
func (r *rooms) take(ctx context.Context, objects int) error {
	if objects < longList {
		return nil
	}
	n := int64(min(objects, maxObjects))
	if err := r.Acquire(ctx, n); err != nil {
		return apierrors.NewServiceUnavailable("too many long lists at a time; ask page by page, with limit")
	}
	context.AfterFunc(ctx, func() { r.Release(n) })
	return nil
}
