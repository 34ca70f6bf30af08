package fullnode

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/rollcall-metrics/rollcall/agent/kubelet"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// recordingFile lies beside the stand-in that has its own use for it.
const recordingFile = "e2e/fleet/standin/testdata/summary-trace.jsonl.zst"

// A Recording is what a real kubelet answered, entity by entity.
type Recording struct {
	node []reading
	pods []recordedPod
}

type recordedPod struct {
	namespace, workload string // "shop", "cart-5dc9c6f44c"
	own                 []reading
	containers          []recordedContainer
}

type recordedContainer struct {
	name     string
	readings []reading
}

// A reading is what one answer shows of one entity.
type reading struct {
	lag   int64 // seconds from the measurement to the answer, −1 to about 30
	fresh bool  // not the measurement of the answer before
	model.Values
}

// LoadRecording reads the recording; it takes about a second. The working
// directory must be in the module.
func LoadRecording() (*Recording, error) {
	path, err := find(recordingFile)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r, err := Unpack(f)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return r, nil
}

// Unpack reads a recording: an answer a line, packed with zstd. It takes about
// a second.
func Unpack(packed io.Reader) (*Recording, error) {
	unpacked, err := zstd.NewReader(packed, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, fmt.Errorf("unpack the recording: %w", err)
	}
	defer unpacked.Close()
	return read(unpacked)
}

// find looks for a file of the module, from the working directory upwards.
func find(name string) (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", fmt.Errorf("%s is neither in the working directory nor above it; run from the repository", name)
		}
		dir = up
	}
}

func read(lines io.Reader) (*Recording, error) {
	r := &Recording{}
	places := map[string]int{} // in r.pods, by UID
	for in, n := bufio.NewReader(lines), 0; ; n++ {
		line, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) && len(line) == 0 {
			break
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		var answer struct {
			ScrapedAt int64
			Summary   json.RawMessage
		}
		if err := json.Unmarshal(line, &answer); err != nil {
			return nil, fmt.Errorf("answer %d: %w", n, err)
		}
		scrape, _, err := kubelet.Decode(answer.Summary)
		if err != nil {
			return nil, fmt.Errorf("answer %d: %w", n, err)
		}
		if err := r.add(answer.ScrapedAt, &scrape, places); err != nil {
			return nil, fmt.Errorf("answer %d: %w", n, err)
		}
	}
	if len(r.node) < 2 {
		return nil, fmt.Errorf("%d answers cannot be replayed", len(r.node))
	}
	return r, nil
}

// add takes in one answer. All answers must show the same entities.
func (r *Recording) add(at int64, s *model.Scrape, places map[string]int) error {
	if len(s.Groups) == 0 || s.Groups[0].Pod != (model.PodRef{}) {
		return errors.New("no node")
	}
	r.node = appendReading(r.node, at, &s.Groups[0].Samples[0])
	first := len(r.node) == 1
	for i := range s.Groups[1:] {
		g := &s.Groups[1+i]
		place, known := places[g.Pod.UID]
		if known == first || g.Samples[0].Name != "" {
			return fmt.Errorf("pod %s is not as in the first answer", g.Pod.Name)
		}
		if first {
			workload := g.Pod.Name[:max(0, strings.LastIndexByte(g.Pod.Name, '-'))]
			place = len(r.pods)
			places[g.Pod.UID] = place
			r.pods = append(r.pods, recordedPod{namespace: g.Pod.Namespace, workload: workload})
			for j := range g.Samples[1:] {
				r.pods[place].containers = append(r.pods[place].containers, recordedContainer{name: g.Samples[1+j].Name})
			}
		}
		p := &r.pods[place]
		p.own = appendReading(p.own, at, &g.Samples[0])
		for j := range p.containers {
			c := &p.containers[j]
			k := slices.IndexFunc(g.Samples, func(s model.Sample) bool { return s.Name == c.name })
			if k < 0 {
				return fmt.Errorf("container %s of pod %s is missing", c.name, g.Pod.Name)
			}
			c.readings = appendReading(c.readings, at, &g.Samples[k])
		}
	}
	if len(s.Groups)-1 != len(r.pods) {
		return fmt.Errorf("has %d pods, the first answer has %d", len(s.Groups)-1, len(r.pods))
	}
	return nil
}

func appendReading(to []reading, at int64, s *model.Sample) []reading {
	measured, _ := s.Get(model.Measured)
	r := reading{lag: at - int64(measured), fresh: true, Values: s.Values}
	if n := len(to); n > 0 {
		before, _ := to[n-1].Get(model.Measured)
		r.fresh = before != measured
	}
	return append(to, r)
}
