package agents

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/rollcall-metrics/rollcall/pkg/wire"
)

// A head is what matters of the head of an answer in HTTP/1.1 (RFC 9112).
type head struct {
	status      int
	contentType string
	length      int64 // of the body in bytes; -1: not known
	chunked     bool
	last        bool // the connection is closed after the answer
}

var (
	errHead   = errors.New("malformed HTTP answer")
	errHeader = errors.New("the answer's header is too long")
)

// readHead reads the head of an answer. It takes less than net/http does, which
// is meant for servers of all kinds, and where that takes it, understands the
// same: an agent's head is one of net/http's server. Parsing it in full, with
// all headers, is a tenth of what a request costs.
func readHead(in *bufio.Reader) (head, error) {
	h := head{length: -1}
	line, err := readLine(in)
	if err != nil {
		return h, err
	}
	// "HTTP/1.1 200 OK"
	if len(line) < 13 || string(line[:9]) != "HTTP/1.1 " || line[12] != ' ' {
		return h, errHead
	}
	if h.status, err = strconv.Atoi(string(line[9:12])); err != nil || h.status < 200 {
		return h, errHead
	}
	for {
		if line, err = readLine(in); err != nil {
			return h, err
		}
		if len(line) == 0 {
			break
		}
		if err := h.field(line); err != nil {
			return h, err
		}
	}
	switch {
	case h.chunked && h.length >= 0:
		return h, fmt.Errorf("%w: its body has two lengths", errHead)
	case h.status == http.StatusNoContent || h.status == http.StatusNotModified:
		if h.chunked || h.length > 0 {
			return h, fmt.Errorf("%w: a body with status %d", errHead, h.status)
		}
		h.length = 0
	case !h.chunked && h.length < 0:
		h.last = true // it ends with the connection
	}
	return h, nil
}

// readLine reads a line without its end; it is valid until the next read.
func readLine(in *bufio.Reader) ([]byte, error) {
	line, err := in.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return nil, errHeader
	case errors.Is(err, io.EOF):
		return nil, io.ErrUnexpectedEOF
	case err != nil:
		return nil, err
	}
	return bytes.TrimSuffix(line[:len(line)-1], []byte("\r")), nil
}

// field takes what matters of a header field.
func (h *head) field(line []byte) error {
	name, value, ok := bytes.Cut(line, []byte(":"))
	if !ok || len(name) == 0 || bytes.ContainsAny(name, " \t") {
		return fmt.Errorf("%w: %.50q in its header", errHead, line)
	}
	value = bytes.Trim(value, " \t")
	switch {
	case is(name, "Content-Type"):
		if h.contentType = wire.ContentType; string(value) != wire.ContentType {
			h.contentType = string(value)
		}
	case is(name, "Content-Length"):
		n, err := strconv.ParseUint(string(value), 10, 63)
		if err != nil || (h.length >= 0 && h.length != int64(n)) {
			return fmt.Errorf("%w: a body of %.50q bytes", errHead, value)
		}
		h.length = int64(n)
	case is(name, "Transfer-Encoding"):
		if h.chunked || !is(value, "chunked") {
			return fmt.Errorf("%w: transfer encoding %.50q", errHead, value)
		}
		h.chunked = true
	case is(name, "Connection"):
		h.last = h.last || !is(value, "keep-alive")
	}
	return nil
}

// is tells whether b is s, but for upper and lower case.
func is(b []byte, s string) bool {
	return len(b) == len(s) && (string(b) == s || bytes.EqualFold(b, []byte(s)))
}
