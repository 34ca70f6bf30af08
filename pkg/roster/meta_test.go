package roster

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/identity"
)

func TestMetaRoundTrip(t *testing.T) {
	start := time.Unix(1795230885, 0)
	tests := map[string]struct{ in, want meta }{
		"agent": {
			meta{role: identity.Agent, peerPort: 9810, start: start, version: "v1.2.3"},
			meta{role: identity.Agent, peerPort: 9810, start: start, version: "v1.2.3"},
		},
		"aggregator, leaving": {
			meta{role: identity.Aggregator, leaving: true, start: start},
			meta{role: identity.Aggregator, leaving: true, start: start},
		},
		"long version": {
			meta{role: identity.Agent, peerPort: 65535, start: start, version: strings.Repeat("v", 1000)},
			meta{role: identity.Agent, peerPort: 65535, start: start, version: strings.Repeat("v", 24)},
		},
		"odd version": {
			meta{role: identity.Agent, peerPort: 1, start: start, version: "v1 ü\n"},
			meta{role: identity.Agent, peerPort: 1, start: start, version: "v1____"},
		},
		"fractions of a second": {
			meta{role: identity.Agent, peerPort: 1, start: start.Add(999 * time.Millisecond)},
			meta{role: identity.Agent, peerPort: 1, start: start},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b := tt.in.encode()
			if len(b) > metaMax {
				t.Errorf("%d bytes", len(b))
			}
			if got, err := decodeMeta(b); err != nil || got != tt.want {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

func TestDecodeMetaRefuses(t *testing.T) {
	good := meta{role: identity.Agent, peerPort: 9810, start: time.Unix(1, 0), version: "v1"}.encode()
	changed := func(i int, c byte) []byte {
		b := bytes.Clone(good)
		b[i] = c
		return b
	}
	tests := map[string]struct {
		meta []byte
		err  string
	}{
		"good":             {good, ""},
		"more to come":     {append(bytes.Clone(good), make([]byte, metaMax-len(good))...), ""},
		"unknown flags":    {changed(2, 0xfe), ""},
		"empty":            {nil, "at least 10"},
		"short":            {good[:9], "at least 10"},
		"65 bytes":         {append(bytes.Clone(good), make([]byte, metaMax+1-len(good))...), "at most 64"},
		"512 bytes":        {make([]byte, 512), "at most 64"},
		"another format":   {changed(0, 2), "format 2"},
		"role 0":           {changed(1, 0), "role 0"},
		"role 3":           {changed(1, 3), "role 3"},
		"no port":          {append(bytes.Clone(good[:3]), make([]byte, 10)...), "without a peer port"},
		"version too long": {changed(9, 3), "version of 3"},
		"version of 255":   {changed(9, 255), "version of 255"},
		"version beyond 24": {
			append(changed(9, 25), bytes.Repeat([]byte{'v'}, 30)...), "version of 25",
		},
		"control character": {changed(10, 0x1b), "printable"},
		"not ASCII":         {changed(10, 0xff), "printable"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := decodeMeta(tt.meta)
			if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
				t.Errorf("got %v, want %q", err, tt.err)
			}
		})
	}
}

func FuzzDecodeMeta(f *testing.F) {
	f.Add([]byte(nil))
	f.Add(meta{role: identity.Agent, peerPort: 9810, start: time.Unix(1, 0), version: "v1"}.encode())
	f.Add(meta{role: identity.Aggregator, leaving: true, start: time.Unix(1<<32-1, 0)}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeMeta(b)
		if err != nil {
			return
		}
		if _, err := m.start.MarshalJSON(); err != nil {
			t.Errorf("start cannot be shown: %v", err)
		}
		if again, err := decodeMeta(m.encode()); err != nil || again != m {
			t.Errorf("%+v became %+v, %v", m, again, err)
		}
	})
}
