package standin

import "testing"

// BenchmarkBody is the cost of one answer, and its size.
func BenchmarkBody(b *testing.B) {
	for _, f := range []form{full, light} {
		b.Run(f.String(), func(b *testing.B) {
			k := newKubelet(b, nil)
			turn, size := k.turnAt(noon), 0
			for b.Loop() {
				body, err := k.body(turn, f)
				if err != nil {
					b.Fatal(err)
				}
				size = len(body)
				turn++
			}
			b.ReportMetric(float64(size), "B/document")
		})
	}
}

// BenchmarkTruth is the cost of the truth of one full slot.
func BenchmarkTruth(b *testing.B) {
	k := newKubelet(b, nil)
	k.served.note(k.turnAt(noon), full)
	for b.Loop() {
		k.Truth(noon.Unix(), noon.Unix())
	}
}

// BenchmarkLoadTrace is the cost of decoding the recording.
func BenchmarkLoadTrace(b *testing.B) {
	for b.Loop() {
		if _, err := LoadTrace(); err != nil {
			b.Fatal(err)
		}
	}
}
