package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/e2e/bench/child"
)

const (
	// nodeTimeout is the aggregator's default for one node's answer.
	nodeTimeout = 1500 * time.Millisecond
	// faultMargin is how much later an answer may be whose last nodes time out.
	faultMargin = 200 * time.Millisecond
)

// An aggregator is the real binary, and whoever asks it.
type aggregator struct {
	*child.Process
	began            time.Time
	api, debug, page string // URLs; page is that of its metrics
	resource         string // address of metrics.k8s.io, if it is served
	web              *http.Client
}

// startAggregator starts the binary as a member of the fleet, if join; of what
// depends on whom it expects the flags tell, in which %RESOURCE% is an address.
func (b *bench) startAggregator(ctx context.Context, f *fleet, join bool, flags ...string) (*aggregator, error) {
	var ports [5]int
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // all at once, so that they differ
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	at := func(i int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(ports[i])) }
	args := []string{
		"--name", "bench", "--metric-resolution", b.cfg.Resolution.String(),
		"--listen", at(0), "--debug-listen", at(1), "--metrics-listen", at(2), "--node-timeout", nodeTimeout.String(),
		"--tls-cert-file", f.Aggregator.Cert, "--tls-key-file", f.Aggregator.Key, "--tls-ca-file", f.Aggregator.CA,
		"--gossip-bind", "127.0.0.1", "--gossip-advertise", "127.0.0.1", "--gossip-port", strconv.Itoa(ports[3]),
		"--cluster-label", f.Label, "--gossip-key-file", f.KeyFile, "--log-level", "error",
	}
	if join {
		args = append(args, "--join", f.Seed)
	}
	for _, flag := range flags {
		args = append(args, strings.ReplaceAll(flag, resourceAddress, at(4)))
	}
	a := &aggregator{
		began: time.Now(), api: "http://" + at(0), debug: "http://" + at(1), page: "http://" + at(2) + "/metrics", resource: at(4),
		web: &http.Client{Transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 1}},
	}
	var err error
	a.Process, err = child.Start("rollcall-aggregator", exec.CommandContext(ctx, b.cfg.Binary, args...))
	return a, err
}

// resourceAddress stands for the address of metrics.k8s.io in flags.
const resourceAddress = "%RESOURCE%"

// expectFile writes a list of the fleet's nodes, and returns the flag for it.
func (b *bench) expectFile(f *fleet) (string, error) {
	path := b.path("expected")
	var names strings.Builder
	for _, n := range f.Nodes {
		names.WriteString(n.Name + "\n")
	}
	return "--expected-nodes-file=" + path, os.WriteFile(path, []byte(names.String()), 0o600)
}

func (a *aggregator) stop() error {
	a.web.CloseIdleConnections()
	return a.Stop()
}

// A reply is what became of one question.
type reply struct {
	Wall     time.Duration
	Bytes    int64
	Coverage covered
}

// covered is what the coverage at the end of an answer says.
type covered struct {
	Expected, Asked, Answered int
	Complete                  bool
	Missing                   []struct{ Node, Outcome string }
	NotListed                 map[string]int
}

// ask asks the API, and reads the answer without looking at more than it must.
func (a *aggregator) ask(ctx context.Context, path string) (reply, error) {
	began := time.Now()
	resp, err := a.get(ctx, a.api+path)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	var body ends
	n, err := io.Copy(&body, resp.Body)
	r := reply{Wall: time.Since(began), Bytes: n}
	if err != nil {
		return r, fmt.Errorf("%s: %w", path, err)
	}
	if resp.StatusCode != http.StatusOK {
		return r, fmt.Errorf("%s: %s: %.300s", path, resp.Status, body.head)
	}
	const key = `"coverage":`
	i := strings.LastIndex(string(body.tail), key)
	if i < 0 {
		return r, fmt.Errorf("%s: no coverage at the end of the answer", path)
	}
	said := bytes.TrimSuffix(bytes.TrimSpace(body.tail[i+len(key):]), []byte("}"))
	if err := json.Unmarshal(said, &r.Coverage); err != nil {
		return r, fmt.Errorf("%s: coverage: %w", path, err)
	}
	return r, nil
}

// complete asks, and wants all nodes' answers.
func (a *aggregator) complete(ctx context.Context, path string) (reply, error) {
	r, err := a.ask(ctx, path)
	if err == nil && !r.Coverage.Complete {
		err = fmt.Errorf("%s: %d of %d nodes answered, missing are %v", path, r.Coverage.Answered, r.Coverage.Expected, r.Coverage.Missing[:min(3, len(r.Coverage.Missing))])
	}
	return r, err
}

func (a *aggregator) get(ctx context.Context, url string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	return a.web.Do(req)
}

// read asks, and returns the whole answer.
func (a *aggregator) read(ctx context.Context, path string) ([]byte, error) {
	resp, err := a.get(ctx, a.api+path)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %.300s", path, resp.Status, body)
	}
	return body, err
}

// metric is a number on the aggregator's own page, the sum of all series that
// begin so.
func (a *aggregator) metric(ctx context.Context, series string) (sum float64, err error) {
	resp, err := a.get(ctx, a.page)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		rest, ok := strings.CutPrefix(lines.Text(), series)
		if !ok || rest == "" || (rest[0] != ' ' && rest[0] != '{') {
			continue
		}
		x, err := strconv.ParseFloat(rest[strings.LastIndexByte(rest, ' ')+1:], 64)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", series, err)
		}
		sum += x
	}
	return sum, lines.Err()
}

// received is how many bytes agents have answered so far.
func (a *aggregator) received(ctx context.Context) (float64, error) {
	return a.metric(ctx, "rollcall_agents_received_bytes_total")
}

// ends keeps the beginning and the end of what is written to it.
type ends struct{ head, tail []byte }

const (
	headSize = 1 << 10  // bytes: a message of an error
	tailSize = 64 << 10 // bytes: a coverage with 100 missing nodes
)

func (e *ends) Write(p []byte) (int, error) {
	if room := headSize - len(e.head); room > 0 {
		e.head = append(e.head, p[:min(room, len(p))]...)
	}
	e.tail = append(e.tail, p[max(0, len(p)-tailSize):]...)
	if len(e.tail) > 4*tailSize { // seldom, so that little is moved
		e.tail = append(e.tail[:0], e.tail[len(e.tail)-tailSize:]...)
	}
	return len(p), nil
}
