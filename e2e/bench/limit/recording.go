package limit

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
)

// WriteRecording writes the bodies of all nodes' answers to one question.
func WriteRecording(path string, bodies [][]byte) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	for _, body := range bodies {
		_ = binary.Write(w, binary.BigEndian, uint32(len(body))) // Flush tells
		_, _ = w.Write(body)
	}
	return errors.Join(w.Flush(), f.Close())
}

// ReadRecording is the inverse.
func ReadRecording(path string) ([][]byte, error) {
	bodies, err := readRecording(path)
	for i := range bodies {
		bodies[i] = bodies[i][prefix:]
	}
	return bodies, err
}

// readRecording reads them, each with its length before it.
func readRecording(path string) ([][]byte, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var bodies [][]byte
	for len(content) > 0 {
		if len(content) < prefix {
			return nil, fmt.Errorf("%s: half a length at its end", path)
		}
		n := prefix + int(binary.BigEndian.Uint32(content))
		if len(content) < n {
			return nil, fmt.Errorf("%s: half a body at its end", path)
		}
		bodies = append(bodies, content[:n:n])
		content = content[n:]
	}
	return bodies, nil
}
