package kubelet

import (
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// escapeLen returns the length of the escape that b starts with, 0 if it is none.
func escapeLen(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if _, ok := hex4(b); ok {
			return 6
		}
	}
	return 0
}

// hex4 reads \uXXXX, the start of b.
func hex4(b []byte) (r rune, ok bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	for _, c := range b[2:6] {
		switch {
		case isDigit(c):
			c -= '0'
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// unescape returns the value of a string that a scanner has accepted. What is
// no UTF-8 and half a surrogate pair become U+FFFD, as in encoding/json.
func unescape(raw []byte) []byte {
	value := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); {
		if raw[i] != '\\' {
			r, size := utf8.DecodeRune(raw[i:])
			value = utf8.AppendRune(value, r)
			i += size
			continue
		}
		size := escapeLen(raw[i:])
		switch c := raw[i+1]; c {
		case 'b':
			value = append(value, '\b')
		case 'f':
			value = append(value, '\f')
		case 'n':
			value = append(value, '\n')
		case 'r':
			value = append(value, '\r')
		case 't':
			value = append(value, '\t')
		case 'u':
			r, _ := hex4(raw[i:])
			if utf16.IsSurrogate(r) {
				low, _ := hex4(raw[i+size:])
				if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
					size *= 2
				}
			}
			value = utf8.AppendRune(value, r)
		default:
			value = append(value, c)
		}
		i += size
	}
	return value
}

// nameBlock is the size of the pieces of memory that names share, in bytes.
// A name that somebody keeps keeps its piece: so they are small.
const nameBlock = 1 << 10

// names copies names out of the document, many into one piece of memory.
type names struct{ block strings.Builder }

func (n *names) keep(name []byte) string {
	if n.block.Cap()-n.block.Len() < len(name) {
		n.block = strings.Builder{}
		n.block.Grow(nameBlock)
	}
	start := n.block.Len()
	n.block.Write(name)
	return n.block.String()[start:]
}
