package cli

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
)

// Bytes is the value of a flag that is a size: a number of bytes, or one with
// Ki, Mi or Gi behind it, as in Kubernetes; a B at the end is allowed.
type Bytes int64

var byteUnits = []struct {
	suffix string
	shift  int
}{{"Gi", 30}, {"Mi", 20}, {"Ki", 10}}

// String is the size in the largest unit that it is a multiple of.
func (b Bytes) String() string {
	for _, u := range byteUnits {
		if b != 0 && b%(1<<u.shift) == 0 {
			return fmt.Sprintf("%d%s", b>>u.shift, u.suffix)
		}
	}
	return strconv.FormatInt(int64(b), 10)
}

// Set parses a size.
func (b *Bytes) Set(s string) error {
	digits, shift := strings.TrimSuffix(s, "B"), 0
	for _, u := range byteUnits {
		if rest, ok := strings.CutSuffix(digits, u.suffix); ok {
			digits, shift = rest, u.shift
			break
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 0 || bits.Len64(uint64(n))+shift > 62 {
		return fmt.Errorf("%q is no size; try 134217728 or 128Mi", s)
	}
	*b = Bytes(n << shift)
	return nil
}

// Type implements pflag.Value.
func (Bytes) Type() string { return "bytes" }
