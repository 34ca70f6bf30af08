package identity

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"time"
)

// A GossipKey encrypts gossip.
type GossipKey struct {
	Key []byte // 16, 24 or 32 bytes: AES-128, -192 or -256
	// Made is when it was made, if the file says.
	Made time.Time
}

// NewGossipKey makes a random AES-256 key.
func NewGossipKey(now time.Time) GossipKey {
	key := make([]byte, 32)
	rand.Read(key) // never fails
	return GossipKey{Key: key, Made: now.UTC().Truncate(time.Second)}
}

// ID tells one key from another, and nothing else about it: 8 bytes of its
// SHA-256 in hexadecimal.
func (k GossipKey) ID() string {
	sum := sha256.Sum256(k.Key)
	return hex.EncodeToString(sum[:8])
}

// GossipKeys reads the keys in a file, the primary first; see [ParseGossipKeys].
func GossipKeys(path string) ([][]byte, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("gossip keys: %w", err)
	}
	parsed, err := ParseGossipKeys(path, content)
	if err != nil {
		return nil, fmt.Errorf("gossip keys: %w", err)
	}
	keys := make([][]byte, len(parsed))
	for i, k := range parsed {
		keys[i] = k.Key
	}
	return keys, nil
}

// made begins the comment before a key that says when it was made.
const made = "# made "

// EncodeGossipKeys writes keys as [ParseGossipKeys] reads them.
func EncodeGossipKeys(keys []GossipKey) []byte {
	var b bytes.Buffer
	for _, k := range keys {
		if !k.Made.IsZero() {
			fmt.Fprintf(&b, "%s%s\n", made, k.Made.UTC().Format(time.RFC3339))
		}
		fmt.Fprintln(&b, base64.StdEncoding.EncodeToString(k.Key))
	}
	return b.Bytes()
}

// ParseGossipKeys reads the keys that encrypt gossip, the primary first. There is
// one key a line, in standard base64, of 16, 24 or 32 bytes; blank lines and
// lines that start with '#' do not count, except that one before a key may say
// when it was made. Errors have the name of the content and the line, never the
// key.
func ParseGossipKeys(name string, content []byte) ([]GossipKey, error) {
	var keys []GossipKey
	n := 0
	var at time.Time
	for line := range bytes.Lines(content) {
		n++
		line = bytes.TrimSpace(line)
		if text, ok := strings.CutPrefix(string(line), made); ok {
			at, _ = time.Parse(time.RFC3339, text) // or else it is any comment
		}
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		// The decoder's own error gives an offset, and would be safe to print,
		// but says less than this.
		key, err := base64.StdEncoding.DecodeString(string(line))
		if err != nil {
			return nil, fmt.Errorf("%s:%d: not base64", name, n)
		}
		switch len(key) {
		case 16, 24, 32:
		default:
			return nil, fmt.Errorf("%s:%d: key of %d bytes, want 16, 24 or 32", name, n, len(key))
		}
		for _, other := range keys {
			if bytes.Equal(key, other.Key) {
				return nil, fmt.Errorf("%s:%d: the same key a second time", name, n)
			}
		}
		keys = append(keys, GossipKey{Key: key, Made: at})
		at = time.Time{}
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%s: no key", name)
	}
	return keys, nil
}
