package obs

import (
	"fmt"
	"strconv"
	"time"
)

// Text is a value that needs no other form.
func Text(s string) Value { return Value{Text: s} }

// Number is a plain number.
func Number[T int | int64](n T) Value { return Value{Text: strconv.FormatInt(int64(n), 10)} }

// Count is a number of things, of which the name of one is given.
func Count[T int | int64](n T, one string) Value {
	if n != 1 {
		one += "s"
	}
	return Value{Text: fmt.Sprintf("%d %s", n, one)}
}

// Bytes is a size: "12.3 MiB", and the exact one.
func Bytes(n int64) Value {
	exact := Count(n, "byte")
	if -1024 < n && n < 1024 {
		return exact
	}
	size, unit := float64(n), ""
	for _, unit = range []string{"KiB", "MiB", "GiB", "TiB"} {
		if size /= 1024; -1024 < size && size < 1024 {
			break
		}
	}
	return Value{Text: strconv.FormatFloat(size, 'f', 1, 64) + " " + unit, Exact: exact.Text}
}

// Time is a time as its distance from now, "12 s ago", and the time itself. A
// zero time is "never".
func Time(now, t time.Time) Value {
	if t.IsZero() {
		return Text("never")
	}
	v := Stamp(t)
	v.Exact = v.Text + ", Unix " + v.Exact
	if d := now.Sub(t); d >= 0 {
		v.Text = Span(d) + " ago"
	} else {
		v.Text = "in " + Span(-d) // a clock is wrong
	}
	return v
}

// Stamp is a time as RFC 3339 in UTC, and in Unix seconds.
func Stamp(t time.Time) Value {
	return Value{Text: t.UTC().Format(time.RFC3339), Exact: strconv.FormatInt(t.Unix(), 10)}
}

// Span is a duration with the two units that matter: "12 s", "3 min 20 s".
func Span(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < time.Hour:
		return twoUnits(d, time.Minute, "min", time.Second, "s")
	case d < 24*time.Hour:
		return twoUnits(d, time.Hour, "h", time.Minute, "min")
	}
	return twoUnits(d, 24*time.Hour, "d", time.Hour, "h")
}

func twoUnits(d, big time.Duration, bigName string, small time.Duration, smallName string) string {
	text := fmt.Sprintf("%d %s", d/big, bigName)
	if rest := d % big / small; rest > 0 {
		text += fmt.Sprintf(" %d %s", rest, smallName)
	}
	return text
}

// Cut shortens a long text to at most limit bytes, at the end of a line if
// there is one in the second half, and tells whether it did.
func Cut(text string, limit int) (string, bool) {
	if len(text) <= limit {
		return text, false
	}
	end := limit
	for end > 0 && text[end]&0xc0 == 0x80 { // within a character of UTF-8
		end--
	}
	for i := end - 1; i >= limit/2; i-- {
		if text[i] == '\n' {
			return text[:i+1], true
		}
	}
	return text[:end], true
}
