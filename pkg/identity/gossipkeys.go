package identity

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
)

// GossipKeys reads the keys that encrypt gossip, the primary first. The file
// has one key a line, in standard base64, of 16, 24 or 32 bytes (AES-128, -192
// or -256); blank lines and lines that start with '#' do not count. Errors
// name the file and the line, never the key.
func GossipKeys(path string) ([][]byte, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("gossip keys: %w", err)
	}
	var keys [][]byte
	n := 0
	for line := range bytes.Lines(content) {
		n++
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		// The decoder's own error gives an offset, and would be safe to print,
		// but says less than this.
		key, err := base64.StdEncoding.DecodeString(string(line))
		if err != nil {
			return nil, fmt.Errorf("gossip keys: %s:%d: not base64", path, n)
		}
		switch len(key) {
		case 16, 24, 32:
		default:
			return nil, fmt.Errorf("gossip keys: %s:%d: key of %d bytes, want 16, 24 or 32", path, n, len(key))
		}
		for _, other := range keys {
			if bytes.Equal(key, other) {
				return nil, fmt.Errorf("gossip keys: %s:%d: the same key a second time", path, n)
			}
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("gossip keys: %s: no key", path)
	}
	return keys, nil
}
