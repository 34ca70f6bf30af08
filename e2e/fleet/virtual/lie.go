package virtual

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/chunk"
	"github.com/rollcall-metrics/rollcall/pkg/model"
	"github.com/rollcall-metrics/rollcall/pkg/wire"
)

// blockLength is the length of a block as a duration.
const blockLength = model.BlockSeconds * time.Second

// A lie is what an agent makes of its true answer.
type lie struct {
	copies  int           // how often each chunk comes, at least once
	rename  bool          // copies are said to be of other pods
	shift   time.Duration // how much later all is said to have been measured
	endless bool          // the first chunk comes again and again
}

// tell answers with the truth, altered. What is no answer stays as it is.
func (l lie) tell(truth http.Handler, w http.ResponseWriter, r *http.Request) {
	answer := &kept{header: http.Header{}, status: http.StatusOK}
	truth.ServeHTTP(answer, r)
	if answer.status != http.StatusOK || answer.header.Get("Content-Type") != wire.ContentType {
		http.Error(w, answer.body.String(), answer.status)
		return
	}
	w.Header().Set("Content-Type", wire.ContentType)
	_ = l.rewrite(r, w, answer.body.Bytes()) // fails when the aggregator has gone away
}

func (l lie) rewrite(r *http.Request, w http.ResponseWriter, answer []byte) error {
	in, err := wire.NewReader(bytes.NewReader(answer), int64(len(answer)))
	if err != nil {
		return err
	}
	out, err := wire.NewWriter(w, in.Header)
	if err != nil {
		return err
	}
	for {
		item, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		for i := 0; i < l.copies || l.endless; i++ {
			if err := errors.Join(r.Context().Err(), l.frame(out, item, i)); err != nil {
				return err
			}
		}
	}
	var failed error
	if text := in.End.GetError(); text != "" {
		failed = errors.New(text)
	}
	return out.End(in.End.GetKnown(), failed)
}

// frame writes the i-th copy of an item.
func (l lie) frame(out *wire.Writer, item wire.Item, i int) error {
	switch {
	case item.Values != nil:
		values, err := l.chunk(item.Values, i)
		if err != nil {
			return err
		}
		var weights []byte
		if len(item.Weights) > 0 {
			if weights, err = l.chunk(item.Weights, i); err != nil {
				return err
			}
		}
		return out.Binned(values, weights)
	case item.Chunk != nil:
		b, err := l.chunk(item.Chunk, i)
		if err != nil {
			return err
		}
		return out.Chunk(b)
	}
	return out.Pod(item.Namespace, l.pod(model.PodRef{Name: item.Pod}, i).Name)
}

// chunk is the i-th copy of a chunk.
func (l lie) chunk(b []byte, i int) ([]byte, error) {
	c, err := chunk.Parse(b)
	if err != nil {
		return nil, err
	}
	tuples := b[len(appendHeader(nil, c.Header)):]
	c.Pod = l.pod(c.Pod, i)
	c.Block += int64(l.shift / time.Second)
	return append(appendHeader(nil, c.Header), tuples...), nil
}

// pod is the i-th copy of a pod. There is one node only.
func (l lie) pod(ref model.PodRef, i int) model.PodRef {
	if l.rename && i > 0 && ref.Name != "" {
		ref.Name += "-x" + strconv.Itoa(i)
		ref.UID = uid(hash(ref.UID) + uint64(i))
	}
	return ref
}

// kept is an answer that has not been sent.
type kept struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (k *kept) Header() http.Header         { return k.header }
func (k *kept) WriteHeader(status int)      { k.status = status }
func (k *kept) Write(p []byte) (int, error) { return k.body.Write(p) }
