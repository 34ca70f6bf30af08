package api

import (
	"strings"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/agent/ring"
)

func TestStoreVerdict(t *testing.T) {
	const space = "write slot 15: no space left on device"
	for name, c := range map[string]struct {
		store ring.Status
		want  string // what the verdicts have, in this order, split by |; "" is none
	}{
		"well":             {ring.Status{State: "disk", FreeBytes: 1 << 30}, ""},
		"nearly full":      {ring.Status{State: "disk", FreeBytes: 32 << 20, MaxDisk: 128 << 20}, "nearly full: 32.0 MiB are free|--max-disk (now 128.0 MiB)"},
		"full":             {ring.Status{State: "read-only", Error: space, FreeBytes: 1 << 20}, "New samples are kept in memory only (the history on disk is served)|3 slots so far|no space left|Free some space there|1.0 MiB are left|--max-disk"},
		"no room":          {ring.Status{State: "memory", Error: "no room"}, "Samples are kept in memory only|Free some space"},
		"since":            {ring.Status{State: "memory", Since: time.Unix(0, 0)}, "memory only since 1970-01-01T00:00:00Z, 3 slots"},
		"no permission":    {ring.Status{State: "memory", Error: "mkdir: permission denied"}, "Let the agent's user write to /data"},
		"read-only volume": {ring.Status{State: "read-only", Error: "read-only file system"}, "Mount the volume writable"},
		"two agents":       {ring.Status{State: "memory", Error: "the directory is in use by another process"}, "Is another agent running"},
		"another version":  {ring.Status{State: "memory", Error: "store of another schema version: use another --data-dir"}, "left as it is"},
		"hangs":            {ring.Status{State: "disk-ish", Error: "the disk of /data has not answered for 5s"}, "kernel log and the load"},
		"something else":   {ring.Status{State: "memory", Error: "a\nb"}, "a; b. See the agent's log"},
		"lost chunks":      {ring.Status{State: "disk", Lost: 1}, "1 chunk of the history could not be read"},
	} {
		t.Run(name, func(t *testing.T) {
			c.store.Dir, c.store.Unstored = "/data", 3
			p := ringPage{Status: c.store}
			got := strings.Join(p.judgeStore(), "\n")
			if c.want == "" && got != "" {
				t.Errorf("verdict %q", got)
			}
			rest := got
			for part := range strings.SplitSeq(c.want, "|") {
				var found bool
				if _, rest, found = strings.Cut(rest, part); !found {
					t.Errorf("%q lacks %q", got, part)
				}
			}
		})
	}
}

func TestSlotVerdict(t *testing.T) {
	now := time.Unix(1795230000, 0)
	for name, c := range map[string]struct {
		newest int64
		want   string
	}{
		"now":                    {now.Unix(), ""},
		"the one before":         {now.Unix() - 15, ""},
		"late, but not too late": {now.Unix() - 60, ""},
		"late":                   {now.Unix() - 75, "No sample has come for 1 min 15 s, and one should every 15s"},
		"of another clock":       {now.Unix() + 3600, "set back by 1 h"},
		"none":                   {0, "no sample yet"},
	} {
		t.Run(name, func(t *testing.T) {
			p := ringPage{now: now, Status: ring.Status{Newest: c.newest, Open: &ring.BlockInfo{Resolution: 15, Slots: 1}}}
			got := p.judgeSlots()
			if c.want == "" && len(got) == 0 {
				return
			}
			if len(got) != 1 || c.want == "" || !strings.Contains(got[0], c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
