// Package layout has ways to keep a node's history in Pebble: the agent's
// ring, and what else one might have done. The others are baselines for
// benchmarks: they store the same numbers with the same care (each slot
// synced), they answer the same reads, and they delete nothing.
package layout

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// A Query asks for all metrics of all pods, of one pod with its containers, or
// of one container.
type Query struct {
	// Namespace and Pod are empty for all pods. Container is empty for all.
	Namespace, Pod, Container string
	// From and To bound the slots, both included, in Unix seconds.
	From, To int64
}

// A Store keeps scrapes. It is not safe for concurrent use.
type Store interface {
	// Append adds the next slot's scrape; when it returns it is on disk.
	Append(slot int64, s *model.Scrape) error
	// Read reads all that the query asks for and counts the numbers.
	Read(ctx context.Context, q Query) (numbers int, err error)
	Close() error
}

// An Opener opens a store in a directory.
type Opener func(dir string) (Store, error)

// Baselines are the layouts that the agent does not use, by name.
func Baselines() map[string]Opener {
	return map[string]Opener{
		"series":  func(dir string) (Store, error) { return openSeries(dir) },
		"rows":    func(dir string) (Store, error) { return openRows(dir) },
		"records": func(dir string) (Store, error) { return openRecords(dir) },
	}
}

// Open opens a store of a layout.
func Open(name, dir string) (Store, error) {
	open := Baselines()[name]
	if open == nil {
		return nil, fmt.Errorf("no layout %q; there are %v", name, slices.Sorted(maps.Keys(Baselines())))
	}
	return open(dir)
}

// quiet is Pebble's logger of the baselines.
type quiet struct{}

func (quiet) Infof(string, ...any)      {}
func (quiet) Errorf(string, ...any)     {}
func (quiet) Fatalf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }

// scan calls f for each key from lower on that is below upper. key and value
// are valid during the call.
func scan(db *pebble.DB, lower, upper []byte, f func(key, value []byte) error) error {
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return err
	}
	for it.First(); it.Valid(); it.Next() {
		v, err := it.ValueAndErr()
		if err == nil {
			err = f(it.Key(), v)
		}
		if err != nil {
			_ = it.Close() // says the same
			return err
		}
	}
	if err := it.Error(); err != nil {
		_ = it.Close()
		return err
	}
	return it.Close()
}

// prefix is what the keys of an entity begin with; parts of it that are empty
// end it: "shop\0cart-1\0" is a prefix of all containers of cart-1.
func prefix(q Query) []byte {
	var k []byte
	for _, part := range []string{q.Namespace, q.Pod, q.Container} {
		if part == "" {
			break
		}
		k = append(append(k, part...), 0)
	}
	return k
}

// entityKey is the beginning of an entity's keys. The pod itself has no
// container's name; the UID comes last, as reads are by name.
func entityKey(dst []byte, pod model.PodRef, container string) []byte {
	for _, part := range []string{pod.Namespace, pod.Name, container, pod.UID} {
		dst = append(append(dst, part...), 0)
	}
	return dst
}

// after is the first key after all that begin with p.
func after(p []byte) []byte {
	p = slices.Clone(p)
	for i := len(p) - 1; i >= 0; i-- {
		if p[i] < 0xff {
			p[i]++
			return p[:i+1]
		}
	}
	return nil // no bound
}

// walk reads what the query asks for of keys that begin with [entityKey] and
// end with the slot: it seeks where each run of slots begins.
func walk(db *pebble.DB, q Query, decode func(value []byte) (numbers int)) (numbers int, err error) {
	p := prefix(q)
	if len(p) == 0 {
		p = []byte{1} // the node's own keys begin with 0
	}
	upper := after(p)
	if q.Namespace == "" {
		upper = nil
	}
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: p, UpperBound: upper})
	if err != nil {
		return 0, err
	}
	var seek []byte
	for ok := it.First(); ok; {
		n := len(it.Key()) - 4
		at := int64(binary.BigEndian.Uint32(it.Key()[n:]))
		switch {
		case at < q.From:
			seek = binary.BigEndian.AppendUint32(append(seek[:0], it.Key()[:n]...), uint32(q.From))
			ok = it.SeekGE(seek)
			continue
		case at > q.To:
			seek = binary.BigEndian.AppendUint32(append(seek[:0], it.Key()[:n]...), ^uint32(0))
			ok = it.SeekGE(seek)
			continue
		}
		v, err := it.ValueAndErr()
		if err != nil {
			return numbers, errors.Join(err, it.Close())
		}
		numbers += decode(v)
		ok = it.Next()
	}
	return numbers, errors.Join(it.Error(), it.Close())
}
