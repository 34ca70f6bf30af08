package ring

import (
	"errors"
	"testing"

	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// Whatever a damaged store has for keys and values, salvaging it makes a store
// that can be read.
func FuzzKeys(f *testing.F) {
	b := someBlock()
	f.Add(recordKey(3), b.appendRecord(nil))
	f.Add(chunkKey(7, model.PodRef{}), b.groups[0].AppendChunk(nil))
	f.Add(chunkKey(7, b.groups[1].Header().Pod), b.groups[1].AppendChunk(nil))
	f.Add(chunkKey(1<<63, b.groups[1].Header().Pod), b.groups[1].AppendChunk(nil))
	f.Add(blockKey(7), []byte(`{"seq":7,"start":1795230000,"resolution":15,"slots":60,"groups":3}`))
	f.Add(blockKey(7), []byte(`{"seq":7,"start":-1,"resolution":0,"slots":-60,"groups":-3}`))
	f.Add([]byte{keySchema}, []byte{9})
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, k, v []byte) {
		st := someStore(t)
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
