package ring

import (
	"log/slog"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// What is written after the guard froze does not count, also before the
// goroutine whose change failed has told the store.
func TestWriteAfterFreezing(t *testing.T) {
	l := listener{log: slog.New(slog.DiscardHandler), failed: func(error) {}, fatal: func(err error) { panic(err) }}
	st, err := openStore(config(vfs.NewMem()), "data", false, true, l)
	if err != nil {
		t.Fatal(err)
	}
	b := newBlock(7, t0, 15*time.Second)
	b.append(t0, at(t0, 2))
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
