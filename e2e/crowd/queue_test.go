package crowd

import (
	"fmt"
	"strings"
	"testing"
)

func TestQueue(t *testing.T) {
	t.Parallel()
	const copies = 3
	add := func(q *queue, message string, replace bool) {
		q.add(message[:1], []byte(message), replace) // the member is the first letter
	}
	// next is one packet with room for n messages of two letters.
	next := func(q *queue, n int) string {
		size := compoundHead + n*(compoundEach+2)
		var all []string
		for _, m := range q.next(size, copies) {
			all = append(all, string(m))
		}
		return strings.Join(all, " ")
	}
	var q queue
	check := func(n int, want string) {
		t.Helper()
		if got := next(&q, n); got != want {
			t.Errorf("said %q, want %q", got, want)
		}
	}
	check(2, "")
	add(&q, "a1", true)
	add(&q, "b1", true)
	add(&q, "c1", true)
	check(2, "a1 b1")
	add(&q, "d1", true)
	check(2, "c1 d1") // before what was said once
	add(&q, "a2", true)
	check(4, "a2 b1 c1 d1") // in place of a1
	add(&q, "e1", true)
	add(&q, "e2", false)
	check(2, "e1 e2")
	check(1, "a2")
	add(&q, "e3", true)
	check(9, "e3 b1 c1 d1 a2")
	check(9, "e3")
	check(9, "e3")
	check(9, "")

	// Something is said even if it is too long.
	add(&q, "long and longer", true)
	check(1, "long and longer")

	// However many there are, each comes so many times.
	q = queue{}
	for i := range 1000 {
		q.add(fmt.Sprint(i), []byte("xx"), true)
	}
	total := 0
	for {
		n := len(q.next(1200, copies))
		if n == 0 {
			break
		}
		total += n
	}
	if total != 1000*copies {
		t.Errorf("%d messages, want %d", total, 1000*copies)
	}
}
