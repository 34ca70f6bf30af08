package kubelet

import (
	"fmt"
	"io"
	"strconv"
)

// maxDepth is how deeply objects and lists may nest, which encoding/json
// refuses in the same place. The Summary API needs 8.
const maxDepth = 10_000

// A scanner reads JSON (RFC 8259) token by token, and accepts what
// encoding/json accepts. It allocates nothing but the values of strings with
// escapes.
//
// The first error stays: from then on nothing is found any more, so loops end
// by themselves and err is looked at once, at the end. Objects and lists are
// read with
//
//	for more := s.begin('{'); more; more = s.next('}') {
//
// where each turn reads a name and a value, or a value.
type scanner struct {
	data    []byte
	pos     int
	depth   int
	closers []byte // of what skip is inside of; its memory is used again
	err     error
}

// fail records that what stands at pos is not what may stand there.
func (s *scanner) fail(want string) {
	switch {
	case s.err != nil:
		return
	case s.pos >= len(s.data):
		s.err = fmt.Errorf("%w, want %s", io.ErrUnexpectedEOF, want)
	default:
		s.err = fmt.Errorf("invalid character %q at byte %d of %d, want %s", s.data[s.pos], s.pos, len(s.data), want)
	}
	s.data = s.data[:s.pos]
}

// peek goes to the next token and returns its first byte, 0 at the end.
func (s *scanner) peek() byte {
	data := s.data // in a register: half of the document is white space
	for i := s.pos; i < len(data); i++ {
		if c := data[i]; c > ' ' || c != ' ' && c != '\n' && c != '\r' && c != '\t' {
			s.pos = i
			return c
		}
	}
	s.pos = len(data)
	return 0
}

// begin reads the bracket that opens an object or a list, and tells whether
// there is anything in it; otherwise it reads the closing one, too.
func (s *scanner) begin(open byte) (more bool) {
	if s.peek() != open {
		s.fail("an object or a list")
		return false
	}
	if s.depth >= maxDepth {
		s.fail(fmt.Sprintf("at most %d objects and lists in each other", maxDepth))
		return false
	}
	s.depth++
	s.pos++
	if s.peek() == closer(open) {
		s.depth--
		s.pos++
		return false
	}
	return s.err == nil
}

// next reads what follows a value: a comma, or the end of the object or list.
func (s *scanner) next(closer byte) (more bool) {
	switch s.peek() {
	case ',':
		s.pos++
		return true
	case closer:
		s.depth--
		s.pos++
		return false
	}
	s.fail("a comma or a closing bracket")
	return false
}

// closer is the bracket that closes what open opens.
func closer(open byte) byte { return open + 2 } // so it is in ASCII

// name reads a member's name and the colon behind it. plain is as for text.
func (s *scanner) name() (name []byte, plain bool) {
	raw, plain := s.string()
	s.colon()
	if !plain {
		raw = unescape(raw)
	}
	return raw, plain
}

// member reads a member's name and colon if they stand here as in quoted.
func (s *scanner) member(quoted string) bool {
	s.peek()
	if rest := s.data[s.pos:]; len(rest) < len(quoted) || string(rest[:len(quoted)]) != quoted {
		return false
	}
	s.pos += len(quoted)
	return true
}

func (s *scanner) colon() {
	if s.pos < len(s.data) && s.data[s.pos] == ':' || s.peek() == ':' {
		s.pos++
		return
	}
	s.fail("a colon")
}

// text reads a string. Its value is a part of the data, if it can be.
func (s *scanner) text() []byte {
	raw, plain := s.string()
	if !plain {
		return unescape(raw)
	}
	return raw
}

// ordinary has the bytes that stand for themselves in a string.
var ordinary = func() (t [256]bool) {
	for c := ' '; c < 0x80; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// string reads a string and returns what stands between its quotes. If that
// is plain, it is its value as well: ASCII without escapes.
func (s *scanner) string() (raw []byte, plain bool) {
	if s.peek() != '"' {
		s.fail("a string")
		return nil, true
	}
	data, start := s.data, s.pos+1
	plain = true
	for i := start; ; i++ {
		for i < len(data) && ordinary[data[i]] {
			i++
		}
		switch {
		case i < len(data) && data[i] == '"':
			s.pos = i + 1
			return data[start:i], plain
		case i < len(data) && data[i] == '\\' && escapeLen(data[i:]) > 0:
			i += escapeLen(data[i:]) - 1
		case i >= len(data) || data[i] < 0x80:
			s.pos = i
			s.fail("the rest of a string")
			return nil, true
		}
		plain = false
	}
}

// number reads a number. It is ok if it is a uint64 without sign, fraction
// and exponent, which is what encoding/json takes for one.
func (s *scanner) number() (v uint64, ok bool) {
	s.peek()
	start := s.pos
	i, negative := start, false
	if i < len(s.data) && s.data[i] == '-' {
		i, negative = i+1, true
	}
	first := i
	for i < len(s.data) && isDigit(s.data[i]) {
		v = v*10 + uint64(s.data[i]-'0')
		i++
	}
	if n := i - first; n > 1 && s.data[first] == '0' {
		i = first + 1 // and another digit may not follow
	} else if n == 0 {
		s.pos = i
		s.fail("a value")
		return 0, false
	}
	s.pos = i
	if whole := !s.fraction(); negative || !whole {
		return 0, false
	}
	if i-first > len("9999999999999999999") { // what surely fits
		v, err := strconv.ParseUint(string(s.data[first:i]), 10, 64)
		return v, err == nil
	}
	return v, true
}

// fraction reads what may follow the digits before the decimal point.
func (s *scanner) fraction() (found bool) {
	if s.pos < len(s.data) && s.data[s.pos] == '.' {
		s.pos++
		s.digits()
		found = true
	}
	if s.pos < len(s.data) && s.data[s.pos]|0x20 == 'e' {
		s.pos++
		if s.pos < len(s.data) && (s.data[s.pos] == '+' || s.data[s.pos] == '-') {
			s.pos++
		}
		s.digits()
		found = true
	}
	return found
}

// digits reads one or more.
func (s *scanner) digits() {
	start := s.pos
	for s.pos < len(s.data) && isDigit(s.data[s.pos]) {
		s.pos++
	}
	if s.pos == start {
		s.fail("a digit")
	}
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// literal reads a word like null.
func (s *scanner) literal(word string) {
	for i := range len(word) {
		if s.pos >= len(s.data) || s.data[s.pos] != word[i] {
			s.fail(word)
			return
		}
		s.pos++
	}
}

// skip reads one value of any kind, and checks that it is one. It does not
// call itself: what nests deeply costs a byte a level.
func (s *scanner) skip() {
	s.closers = s.closers[:0]
	for s.err == nil {
		switch c := s.peek(); c {
		case '{', '[':
			if s.begin(c) {
				s.closers = append(s.closers, closer(c))
				s.skipName()
				continue
			}
		case '"':
			s.string()
		case 't':
			s.literal("true")
		case 'f':
			s.literal("false")
		case 'n':
			s.literal("null")
		default:
			s.number()
		}
		if !s.skipEnds() {
			return
		}
	}
}

// skipEnds reads, after a value, the ends of all that ends there. more tells
// whether another value follows that belongs to what is skipped.
func (s *scanner) skipEnds() (more bool) {
	for n := len(s.closers); n > 0; n = len(s.closers) {
		if s.next(s.closers[n-1]) {
			s.skipName()
			return true
		}
		s.closers = s.closers[:n-1]
	}
	return false
}

// skipName reads a member's name, if an object is being skipped.
func (s *scanner) skipName() {
	if s.closers[len(s.closers)-1] != '}' {
		return
	}
	s.string()
	s.colon()
}
