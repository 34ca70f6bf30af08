package wire

import (
	"encoding/binary"
	"io"
	"net/http"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// writeAt is how much of an answer is gathered before it is written: 15 min of
// all pods of a node are 64 KiB, most answers are smaller than this.
const writeAt = 16 << 10

// The numbers of a Frame's fields, and of a Binned's.
const (
	fieldHeader protowire.Number = 1
	fieldChunk  protowire.Number = 2
	fieldEnd    protowire.Number = 3
	fieldBinned protowire.Number = 4
	fieldPod    protowire.Number = 5

	fieldValues  protowire.Number = 1
	fieldWeights protowire.Number = 2
)

// A Writer writes one answer. It is not safe for concurrent use.
type Writer struct {
	w       io.Writer
	buf     []byte
	chunks  uint64
	flushed bool
	failed  error

	unlisted error
}

// NewWriter starts an answer with its header. If w is an http.ResponseWriter,
// an answer that is smaller than 16 KiB gets a Content-Length.
func NewWriter(w io.Writer, h *Header) (*Writer, error) {
	fw := &Writer{w: w, buf: make([]byte, 0, 1<<10)}
	return fw, fw.message(fieldHeader, h)
}

// Chunk writes one chunk. It does not keep the bytes.
func (w *Writer) Chunk(b []byte) error {
	w.chunks++
	w.head(fieldChunk, protowire.SizeBytes(len(b)))
	w.buf = protowire.AppendBytes(w.buf, b)
	return w.flush(false)
}

// Binned writes the steps of a chunk; see Binned. It does not keep the bytes.
func (w *Writer) Binned(values, weights []byte) error {
	w.chunks++
	size := protowire.SizeTag(fieldValues) + protowire.SizeBytes(len(values))
	if len(weights) > 0 {
		size += protowire.SizeTag(fieldWeights) + protowire.SizeBytes(len(weights))
	}
	w.head(fieldBinned, protowire.SizeBytes(size))
	w.buf = binary.AppendUvarint(w.buf, uint64(size))
	w.buf = protowire.AppendTag(w.buf, fieldValues, protowire.BytesType)
	w.buf = protowire.AppendBytes(w.buf, values)
	if len(weights) > 0 {
		w.buf = protowire.AppendTag(w.buf, fieldWeights, protowire.BytesType)
		w.buf = protowire.AppendBytes(w.buf, weights)
	}
	return w.flush(false)
}

// Pod names a pod of which there are samples that are not in the answer.
func (w *Writer) Pod(namespace, name string) error {
	return w.message(fieldPod, &Pod{Namespace: namespace, Name: name})
}

// Unlisted says why there may be more pods than are named, if err is not nil.
func (w *Writer) Unlisted(err error) { w.unlisted = err }

// End ends the answer. why is what kept it from being complete, or nil.
func (w *Writer) End(known bool, why error) error {
	end := &End{Chunks: w.chunks, Known: known}
	if why != nil {
		end.Error = why.Error()
	}
	if w.unlisted != nil {
		end.Unlisted = w.unlisted.Error()
	}
	if err := w.message(fieldEnd, end); err != nil {
		return err
	}
	if r, ok := w.w.(http.ResponseWriter); ok && !w.flushed {
		r.Header().Set("Content-Length", strconv.Itoa(len(w.buf)))
	}
	return w.flush(true)
}

// message writes a frame that is a message.
func (w *Writer) message(field protowire.Number, m proto.Message) error {
	size := proto.Size(m)
	w.head(field, protowire.SizeBytes(size))
	w.buf = binary.AppendUvarint(w.buf, uint64(size))
	var err error
	if w.buf, err = (proto.MarshalOptions{UseCachedSize: true}).MarshalAppend(w.buf, m); err != nil {
		return err
	}
	return w.flush(false)
}

// head writes the size of a frame and the tag of its only field, whose value
// with its length takes size bytes.
func (w *Writer) head(field protowire.Number, size int) {
	w.buf = binary.AppendUvarint(w.buf, uint64(protowire.SizeTag(field)+size))
	w.buf = protowire.AppendTag(w.buf, field, protowire.BytesType)
}

// flush writes what has been gathered once it is enough, and always if force.
func (w *Writer) flush(force bool) error {
	if w.failed != nil || (!force && len(w.buf) < writeAt) {
		return w.failed
	}
	_, w.failed = w.w.Write(w.buf)
	w.buf, w.flushed = w.buf[:0], true
	return w.failed
}
