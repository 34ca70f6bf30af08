package ring

import (
	"context"
	"log/slog"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// What is written after the guard froze does not count, also before the
// goroutine whose change failed has told the store.
func TestWriteAfterFreezing(t *testing.T) {
	st, b := someStore(t), someBlock()
	if err := st.writeRecord(0, b.appendRecord(nil)); err != nil {
		t.Fatal(err)
	}
	st.guard.frozen = func(error) {} // it has not come to telling
	st.guard.freeze(syscall.EIO)
	if err := st.writeRecord(0, b.appendRecord(nil)); err == nil {
		t.Error("a record that went nowhere is taken for written")
	}
	if _, err := st.writeBlock(b); err == nil {
		t.Error("a block that went nowhere is taken for written")
	}
	if err := st.deleteBlocks(3); err == nil {
		t.Error("a deletion that went nowhere is taken for done")
	}
	if err := st.close(); err != nil {
		t.Fatal(err)
	}
}

// To delete chunks Pebble has to flush those in memory, into a table that goes
// nowhere, and to read that table: it gives up.
func TestDeletionAfterFreezing(t *testing.T) {
	st, b := someStore(t), someBlock()
	if _, err := st.writeBlock(b); err != nil {
		t.Fatal(err)
	}
	st.guard.freeze(syscall.EIO)
	ended := make(chan error, 1)
	go func() {
		within := chunkKey(b.seq, b.groups[0].Header().Pod) // so that the table is not cut off as a whole
		ended <- st.db.Excise(context.Background(), pebble.KeyRange{Start: chunkPrefix(0), End: append(within, 0)})
	}()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("a table that went nowhere was read")
		}
	case <-time.After(30 * time.Second):
		t.Fatal("Pebble tries without an end")
	}
	if err := st.close(); err != nil {
		t.Fatal(err)
	}
}

// someStore is a new store in memory.
func someStore(t *testing.T) *store {
	t.Helper()
	l := listener{log: slog.New(slog.DiscardHandler), failed: func(error) {}, fatal: func(err error) { panic(err) }}
	st, err := openStore(config(vfs.NewMem()), "data", false, true, l)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// someBlock has number 7 and one slot, of the node and two pods.
func someBlock() *block {
	b := newBlock(7, t0, 15*time.Second)
	b.append(t0, at(t0, 2))
	return b
}
