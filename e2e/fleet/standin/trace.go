package standin

import (
	_ "embed" // the recording
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/klauspost/compress/zstd"
	stats "k8s.io/kubelet/pkg/apis/stats/v1alpha1"
)

//go:embed testdata/summary-trace.jsonl.zst
var recording string

// A Trace is a recording of a kubelet's full answers, without pointers to
// follow: 6 MB that the garbage collector need not look at. It does not change
// once loaded; all kubelets of a process can share it.
type Trace struct {
	asked timeline
	node  nodeTrace
	pods  []podTrace
}

// A nodeTrace is what the recorded node showed in each answer.
type nodeTrace struct {
	interfaces []string
	uptime     int64 // of the node at the first answer, in seconds
	podsDelay  int64 // from the node's start to that of the "pods" cgroup, in seconds
	answers    []nodeAnswer
}

// A podTrace is what one recorded pod showed in each answer.
type podTrace struct {
	namespace  string
	workload   string // the name without the pod's own suffix: "cart-5dc9c6f44c"
	containers []containerTrace
	answers    []podAnswer
}

// A containerTrace is what one recorded container showed in each answer.
type containerTrace struct {
	name    string
	delay   int64 // from the pod's start to the container's, in seconds
	answers []containerAnswer
}

// An answer is one line of the recording.
type answer struct {
	ScrapedAt int64         `json:"scrapedAt"` // Unix seconds
	Summary   stats.Summary `json:"summary"`
}

// LoadTrace decodes the embedded recording: about 0.5 s of CPU,
// so load it once for all kubelets of a process.
func LoadTrace() (*Trace, error) {
	packed, err := zstd.NewReader(strings.NewReader(recording), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, fmt.Errorf("open the recorded answers: %w", err)
	}
	defer packed.Close()
	t, err := readTrace(packed)
	if err != nil {
		return nil, fmt.Errorf("read the recorded answers: %w", err)
	}
	return t, nil
}

// readTrace reads a recording, one answer a line. Every answer must show the
// same pods and containers with the same fields, as the embedded one does:
// gaps and missing fields are made by the replay, where the truth knows them.
func readTrace(lines io.Reader) (*Trace, error) {
	r := newRecorder()
	for dec := json.NewDecoder(lines); ; {
		var a answer
		switch err := dec.Decode(&a); {
		case errors.Is(err, io.EOF):
			return r.trace()
		case err != nil:
			return nil, fmt.Errorf("answer %d: %w", len(r.asked), err)
		}
		if err := r.add(&a); err != nil {
			return nil, fmt.Errorf("answer %d: %w", len(r.asked)-1, err)
		}
	}
}
