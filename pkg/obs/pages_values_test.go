package obs

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestValues(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 3, 15, 0, time.FixedZone("", 3600))
	for _, c := range []struct{ got, want Value }{
		{Bytes(0), Value{Text: "0 bytes"}},
		{Bytes(1), Value{Text: "1 byte"}},
		{Bytes(1023), Value{Text: "1023 bytes"}},
		{Bytes(1536), Value{Text: "1.5 KiB", Exact: "1536 bytes"}},
		{Bytes(128 << 20), Value{Text: "128.0 MiB", Exact: "134217728 bytes"}},
		{Bytes(5 << 50), Value{Text: "5120.0 TiB", Exact: "5629499534213120 bytes"}},
		{Count(1, "slot"), Value{Text: "1 slot"}},
		{Count(0, "slot"), Value{Text: "0 slots"}},
		{Number(-3), Value{Text: "-3"}},
		{Time(now, time.Time{}), Value{Text: "never"}},
		{Time(now, now.Add(-12*time.Second)), Value{Text: "12 s ago", Exact: "2026-11-21T11:03:03Z, Unix 1795258983"}},
		{Time(now, now.Add(time.Minute)), Value{Text: "in 1 min", Exact: "2026-11-21T11:04:15Z, Unix 1795259055"}},
	} {
		if c.got != c.want {
			t.Errorf("got %+v, want %+v", c.got, c.want)
		}
	}
	for d, want := range map[time.Duration]string{
		0: "0 ms", 900 * time.Millisecond: "900 ms", 59 * time.Second: "59 s", 200 * time.Second: "3 min 20 s",
		3 * time.Hour: "3 h", 26 * time.Hour: "1 d 2 h", 49 * time.Hour: "2 d 1 h",
	} {
		if got := Span(d); got != want {
			t.Errorf("%v: got %s, want %s", d, got, want)
		}
	}
}

func TestCut(t *testing.T) {
	for _, c := range []struct {
		text, want string
		limit      int
		cut        bool
	}{
		{"short", "short", 5, false},
		{"longer", "longe", 5, true},
		{"a line\nand another", "a line\n", 12, true},
		{"a\nlong line without end", "a\nlong line ", 12, true},
		{"ääää", "ää", 5, true},
		{"", "", 0, false},
	} {
		got, cut := Cut(c.text, c.limit)
		if got != c.want || cut != c.cut || !utf8.ValidString(got) {
			t.Errorf("%q: got %q, %t", c.text, got, cut)
		}
	}
	if got, _ := Cut(strings.Repeat("\x80", 100), 50); len(got) > 50 { // no UTF-8 at all
		t.Errorf("%d bytes", len(got))
	}
}
