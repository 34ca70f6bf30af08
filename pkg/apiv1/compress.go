package apiv1

import (
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/klauspost/compress/gzhttp"
	"github.com/klauspost/compress/gzip"
)

// maxCompressing is how many answers are compressed at a time, at 0.8 MB each
// for as long as the client takes to receive them: 20 MB. Further ones are sent
// as they are, which takes a tenth of the memory.
const maxCompressing = 24

// Compressed compresses the answers of h with zstd or gzip, whichever the
// client prefers, if it accepts one at all and the answer is larger than a
// packet. It streams, and no other goroutine works for it.
//
// gzip uses its fastest level: on such JSON it takes a third of the CPU of the
// default for a tenth more bytes.
func Compressed(h http.Handler) http.Handler {
	wrap, err := gzhttp.NewWrapper(gzhttp.CompressionLevel(gzip.BestSpeed))
	if err != nil {
		panic(err) // of a level that does not exist
	}
	return wrap(h)
}

// A Crowd counts the answers that are being compressed by [Compressed]. The zero
// Crowd is ready to use.
type Crowd struct{ inside atomic.Int32 }

// Enter lets an answer be compressed if there is room; leave has to be called
// when it has been written.
func (c *Crowd) Enter(answer http.Header, r *http.Request) (leave func()) {
	accepted := r.Header.Get("Accept-Encoding")
	if !strings.Contains(accepted, "gzip") && !strings.Contains(accepted, "zstd") {
		return func() {}
	}
	if c.inside.Add(1) > maxCompressing {
		answer.Set(gzhttp.HeaderNoCompression, "1")
	}
	return func() { c.inside.Add(-1) }
}
