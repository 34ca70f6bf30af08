package ring

import (
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// Whatever a damaged store has for keys and values, salvaging it makes a store
// that can be read.
func FuzzKeys(f *testing.F) {
	b := newBlock(7, t0, 15*time.Second)
	b.append(t0, at(t0, 2))
	f.Add(recordKey(3), b.appendRecord(nil))
	f.Add(chunkKey(7, model.PodRef{}), b.groups[0].AppendChunk(nil))
	f.Add(chunkKey(7, b.groups[1].Header().Pod), b.groups[1].AppendChunk(nil))
	f.Add(chunkKey(1<<63, b.groups[1].Header().Pod), b.groups[1].AppendChunk(nil))
	f.Add(blockKey(7), []byte(`{"seq":7,"start":1795230000,"resolution":15,"slots":60,"groups":3}`))
	f.Add(blockKey(7), []byte(`{"seq":7,"start":-1,"resolution":0,"slots":-60,"groups":-3}`))
	f.Add([]byte{keySchema}, []byte{9})
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, k, v []byte) {
		l := listener{log: slog.New(slog.DiscardHandler), failed: func(error) {}, fatal: func(err error) { panic(err) }}
		st, err := openStore(config(vfs.NewMem()), "data", false, true, l)
		if err != nil {
			t.Fatal(err)
		}
		s := newSalvage(nil, "", st)
		s.take(k, v, 1)
		if err := errors.Join(s.finish(), s.batch.Close()); err != nil {
			t.Fatal(err)
		}
		if _, err := st.load(); err != nil {
			t.Errorf("what was salvaged cannot be read: %v", err)
		}
		if err := st.close(); err != nil {
			t.Fatal(err)
		}
	})
}
