package wire

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/proto"
)

// maxFrame is the largest frame: a chunk of a pod with 500 containers at 15 s
// is 0.5 MB, and nothing larger than a node's whole budget makes sense.
const maxFrame = 4 << 20

var (
	// ErrTruncated says that a stream ended before its end frame.
	ErrTruncated = errors.New("the answer broke off")
	// ErrMalformed says that a stream is not one of frames.
	ErrMalformed = errors.New("the answer is not a stream of frames")
)

// A Writer writes one answer. It is not safe for concurrent use.
type Writer struct {
	w      *bufio.Writer
	frame  Frame
	chunk  Frame_Chunk
	chunks uint64
}

// NewWriter starts an answer with its header.
func NewWriter(w io.Writer, h *Header) (*Writer, error) {
	// 16 KiB: a node's 15 min of all pods is 64 KiB, its own are 600 bytes.
	fw := &Writer{w: bufio.NewWriterSize(w, 16<<10)}
	return fw, fw.write(&Frame{Kind: &Frame_Header{Header: h}})
}

// Chunk writes one chunk. It does not keep the bytes.
func (w *Writer) Chunk(b []byte) error {
	w.chunk.Chunk = b
	w.frame.Kind = &w.chunk
	w.chunks++
	return w.write(&w.frame)
}

// End ends the answer. why is what kept it from being complete, or nil.
func (w *Writer) End(known bool, why error) error {
	end := &End{Chunks: w.chunks, Known: known}
	if why != nil {
		end.Error = why.Error()
	}
	return errors.Join(w.write(&Frame{Kind: &Frame_End{End: end}}), w.w.Flush())
}

func (w *Writer) write(f *Frame) error {
	_, err := protodelim.MarshalTo(w.w, f)
	return err
}

// A Reader reads one answer. It is not safe for concurrent use.
type Reader struct {
	r      *bufio.Reader
	Header *Header
	End    *End // set once Chunk returned io.EOF
	chunks uint64
}

// NewReader reads an answer's header. Errors wrap [ErrTruncated],
// [ErrMalformed], or are those of r.
func NewReader(r io.Reader) (*Reader, error) {
	fr := &Reader{r: bufio.NewReaderSize(r, 4<<10)}
	f, err := fr.read()
	if err != nil {
		return nil, err
	}
	if fr.Header = f.GetHeader(); fr.Header == nil {
		return nil, fmt.Errorf("%w: it does not begin with a header", ErrMalformed)
	}
	return fr, nil
}

// Chunk returns the next chunk, which is the caller's, or io.EOF after the
// last one; then End is set. Errors are as with [NewReader].
func (r *Reader) Chunk() ([]byte, error) {
	f, err := r.read()
	if err != nil {
		return nil, err
	}
	switch k := f.Kind.(type) {
	case *Frame_Chunk:
		r.chunks++
		return k.Chunk, nil
	case *Frame_End:
		if k.End.GetChunks() != r.chunks {
			return nil, fmt.Errorf("%w: %d chunks came, %d were sent", ErrMalformed, r.chunks, k.End.GetChunks())
		}
		r.End = k.End
		return nil, io.EOF
	}
	return nil, fmt.Errorf("%w: frame of an unknown kind", ErrMalformed)
}

func (r *Reader) read() (*Frame, error) {
	f := new(Frame)
	err := protodelim.UnmarshalOptions{MaxSize: maxFrame}.UnmarshalFrom(r.r, f)
	var tooLarge *protodelim.SizeTooLargeError
	switch {
	case err == nil:
		return f, nil
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return nil, ErrTruncated
	case errors.As(err, &tooLarge):
		return nil, fmt.Errorf("%w: frame of %d bytes", ErrMalformed, tooLarge.Size)
	case errors.Is(err, proto.Error):
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return nil, err
}
