package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

const (
	// maxFrame is the largest frame: a chunk of a pod with 500 containers at 15 s
	// is 0.5 MB, and nothing larger than a node's whole budget makes sense.
	maxFrame = 4 << 20
	// firstBuffer is what is read at first of an answer of unknown size, in bytes;
	// most answers are smaller. Then it is twice as much each time, up to maxBuffer.
	firstBuffer, maxBuffer = 1 << 10, 256 << 10
)

var (
	// ErrTruncated says that a stream ended before its end frame.
	ErrTruncated = errors.New("the answer broke off")
	// ErrMalformed says that a stream is not one of frames.
	ErrMalformed = errors.New("the answer is not a stream of frames")
)

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}

// An Item is what one frame between header and end holds: either a chunk, or
// binned values, perhaps with weights, or the name of a pod. The bytes are the
// caller's; all items of an answer share their memory.
type Item struct {
	Chunk           []byte
	Values, Weights []byte // see [Binned]
	Namespace, Pod  string
}

// A Reader reads one answer. It holds what it has read, and asks for memory
// only as bytes arrive, whatever sizes they claim. It is not safe for
// concurrent use.
type Reader struct {
	r      io.Reader
	buf    []byte // what has been read; frames before pos are done
	pos    int
	ended  error // of r
	Header *Header
	End    *End // set once Next returned io.EOF
	chunks uint64
	// Where Header and End point.
	header Header
	end    End
}

// NewReader reads an answer's header. size is how many bytes the whole answer
// is said to have, or -1. Errors wrap [ErrTruncated], [ErrMalformed], or are
// those of r.
func NewReader(r io.Reader, size int64) (*Reader, error) {
	if size <= 0 || size > maxBuffer {
		size = firstBuffer
	}
	fr := &Reader{r: r, buf: make([]byte, 0, size)}
	field, b, err := fr.frame()
	if err != nil {
		return nil, err
	}
	if field != fieldHeader {
		return nil, malformed("it does not begin with a header")
	}
	fr.Header = &fr.header
	return fr, header(b, &fr.header)
}

// Next returns what comes next, or io.EOF after the last; then End is set.
// Errors are as with [NewReader].
func (r *Reader) Next() (Item, error) {
	field, b, err := r.frame()
	if err != nil {
		return Item{}, err
	}
	switch field {
	case fieldChunk:
		r.chunks++
		return Item{Chunk: b}, nil
	case fieldBinned:
		r.chunks++
		return binned(b)
	case fieldPod:
		return pod(b)
	case fieldEnd:
		if err := end(b, &r.end); err != nil {
			return Item{}, err
		}
		r.End = &r.end
		if r.End.GetChunks() != r.chunks {
			return Item{}, malformed("%d chunks came, %d were sent", r.chunks, r.End.GetChunks())
		}
		return Item{}, io.EOF
	}
	return Item{}, malformed("frame of an unknown kind")
}

// The messages are taken apart by hand: of a node's short answer, reflection
// would be a tenth of all that it costs.

func header(b []byte, h *Header) error {
	err := fields(b, func(field protowire.Number, value []byte, number uint64) {
		switch field {
		case 1:
			h.Node = string(value)
		case 2:
			h.Resolution = uint32(number)
		case 3:
			h.Retention = number
		case 4:
			h.Time = number
		}
	})
	if err == nil && !utf8.ValidString(h.Node) {
		err = malformed("name of the node")
	}
	return err
}

func end(b []byte, e *End) error {
	return fields(b, func(field protowire.Number, value []byte, number uint64) {
		switch field {
		case 1:
			e.Chunks = number
		case 2:
			e.Known = number != 0
		case 3:
			e.Error = strings.ToValidUTF8(string(value), "\uFFFD")
		case 4:
			e.Unlisted = strings.ToValidUTF8(string(value), "\uFFFD")
		}
	})
}

func binned(b []byte) (item Item, err error) {
	err = fields(b, func(field protowire.Number, value []byte, _ uint64) {
		switch field {
		case fieldValues:
			item.Values = value
		case fieldWeights:
			item.Weights = value
		}
	})
	if err == nil && item.Values == nil {
		err = malformed("steps without values")
	}
	return item, err
}

func pod(b []byte) (item Item, err error) {
	err = fields(b, func(field protowire.Number, value []byte, _ uint64) {
		switch field {
		case 1:
			item.Namespace = string(value)
		case 2:
			item.Pod = string(value)
		}
	})
	if err == nil && (item.Namespace == "" || item.Pod == "" || !utf8.ValidString(item.Namespace) || !utf8.ValidString(item.Pod)) {
		err = malformed("pod without a name")
	}
	return item, err
}

// frame reads the next frame, which has one field of a known kind.
func (r *Reader) frame() (field protowire.Number, value []byte, err error) {
	size, err := r.size()
	if err != nil {
		return 0, nil, err
	}
	if err := r.need(size); err != nil {
		return 0, nil, err
	}
	frame := r.buf[r.pos : r.pos+size : r.pos+size]
	r.pos += size
	err = fields(frame, func(f protowire.Number, v []byte, _ uint64) {
		if f <= fieldPod && v != nil {
			field, value = f, v
		}
	})
	return field, value, err
}

// fields takes a message apart: its fields of bytes, which are not nil, and its
// numbers.
func fields(b []byte, take func(field protowire.Number, value []byte, number uint64)) error {
	for len(b) > 0 {
		field, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return malformed("%v", protowire.ParseError(n))
		}
		b = b[n:]
		switch kind {
		case protowire.BytesType:
			var value []byte
			if value, n = protowire.ConsumeBytes(b); n >= 0 {
				take(field, value, 0)
			}
		case protowire.VarintType:
			var number uint64
			if number, n = protowire.ConsumeVarint(b); n >= 0 {
				take(field, nil, number)
			}
		default:
			n = protowire.ConsumeFieldValue(field, kind, b)
		}
		if n < 0 {
			return malformed("%v", protowire.ParseError(n))
		}
		b = b[n:]
	}
	return nil
}

// size reads the length of the next frame.
func (r *Reader) size() (int, error) {
	for want := 1; want <= binary.MaxVarintLen64; want++ {
		if err := r.need(want); err != nil {
			return 0, err
		}
		if size, n := binary.Uvarint(r.buf[r.pos:]); n > 0 {
			if size > maxFrame {
				return 0, malformed("frame of %d bytes", size)
			}
			r.pos += n
			return int(size), nil
		}
	}
	return 0, malformed("length of a frame")
}

// need reads until n bytes after pos are there.
func (r *Reader) need(n int) error {
	for len(r.buf)-r.pos < n {
		if r.ended != nil {
			if errors.Is(r.ended, io.EOF) || errors.Is(r.ended, io.ErrUnexpectedEOF) {
				return ErrTruncated
			}
			return r.ended
		}
		if len(r.buf) == cap(r.buf) {
			r.grow()
		}
		var m int
		m, r.ended = r.r.Read(r.buf[len(r.buf):cap(r.buf)])
		r.buf = r.buf[:len(r.buf)+m]
	}
	return nil
}

// grow goes on in a new buffer, since items refer to the old one. It has room
// for as much as there is of the frame that is being read, and more.
func (r *Reader) grow() {
	rest := r.buf[r.pos:]
	buf := make([]byte, len(rest), len(rest)+max(len(rest), min(2*cap(r.buf), maxBuffer)))
	copy(buf, rest)
	r.buf, r.pos = buf, 0
}
