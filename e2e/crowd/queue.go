package crowd

// A queue is what a guest is still to be told. As in memberlist, what was said
// least often comes first, and news of a member replaces what was said of it
// before: when thousands of members change, the last word comes in the first
// round.
type queue struct {
	said  [][]note          // by how often they were said, each list by age
	words map[string]uint64 // by member: the number of its newest note that replaces others
	count uint64
}

// note is a message about a member.
type note struct {
	member  string
	word    uint64
	message []byte
}

// add queues a message about a member. If it does not replace those before,
// they are said as well, earlier.
func (q *queue) add(member string, message []byte, replace bool) {
	if q.words == nil {
		q.words = make(map[string]uint64)
	}
	if replace {
		q.count++
		q.words[member] = q.count
	}
	if len(q.said) == 0 {
		q.said = make([][]note, 1)
	}
	q.said[0] = append(q.said[0], note{member, q.words[member], message})
}

// next takes the messages of one packet, at most size bytes, one at least if
// there are any. Each comes so many times.
func (q *queue) next(size, copies int) [][]byte {
	var messages [][]byte
	var said []int // how often each was, before
	var notes []note
	size -= compoundHead
	for n := range q.said {
		for len(q.said[n]) > 0 && len(messages) < compoundMax {
			first := q.said[n][0]
			if first.word != q.words[first.member] {
				q.said[n] = q.said[n][1:] // replaced
				continue
			}
			if size -= compoundEach + len(first.message); size < 0 && len(messages) > 0 {
				q.again(notes, said, copies)
				return messages
			}
			q.said[n] = q.said[n][1:]
			messages, notes, said = append(messages, first.message), append(notes, first), append(said, n)
		}
	}
	q.again(notes, said, copies)
	return messages
}

// again puts notes back that are to be said again.
func (q *queue) again(notes []note, said []int, copies int) {
	for i, n := range notes {
		next := said[i] + 1
		if next == copies {
			continue
		}
		if len(q.said) == next {
			q.said = append(q.said, nil)
		}
		q.said[next] = append(q.said[next], n)
	}
}
