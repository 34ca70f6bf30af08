package standin

// A moment is a time in the recording, told by the answers: lag seconds before
// the request of the first answer that showed it. So a measurement that is
// shown again stays the same one, wherever the answers are moved to.
type moment struct {
	at  int32 // number of the answer
	lag int32 // −1 (measured while the kubelet was answering) to about 30
}

// stepSeconds is from one recorded answer to the next, rounded down: they are
// 15 or 16 s apart.
const stepSeconds = 15

// A timeline is when each recorded answer was asked for, in Unix seconds.
type timeline []int64

// moment places t, a time found in the newest answer, where the answer before
// showed last, if any.
func (l timeline) moment(t int64, last *moment) moment {
	if last != nil && l[last.at]-int64(last.lag) == t {
		return *last
	}
	newest := len(l) - 1
	return moment{at: int32(newest), lag: int32(l[newest] - t)}
}

// span is the time from the first answer to the last, in seconds.
func (l timeline) span() int64 { return l[len(l)-1] - l[0] }
