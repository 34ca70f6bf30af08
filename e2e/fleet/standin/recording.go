package standin

import (
	"io"
	"strings"
)

// Recording is the embedded recording as it was taken: one answer of a real
// kubelet a line, packed with zstd.
func Recording() io.Reader { return strings.NewReader(recording) }
