package agents

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/rollcall-metrics/rollcall/pkg/cli"
	"github.com/rollcall-metrics/rollcall/pkg/coverage"
	"github.com/rollcall-metrics/rollcall/pkg/wire"
)

// maxQuoted is how many bytes of what an agent says about an error are kept:
// enough for a sentence, little enough for a hundred of them in one answer.
const maxQuoted = 200

// read reads a node's whole answer, and gives its items to each. body is that of
// resp, within its budget. Without a reader nothing of what came can be trusted;
// an error that comes with one is the agent's own: what came is a part.
func read(node string, resp *Response, body *budgeted, each func(wire.Item)) (*wire.Reader, error) {
	if err := checkHead(node, resp); err != nil {
		return nil, err
	}
	in, err := wire.NewReader(body, resp.Length)
	if err != nil {
		return nil, err
	}
	if said := in.Header.GetNode(); said != node {
		// Its certificate is right, its data is not.
		return nil, &Error{Node: node, Outcome: coverage.Unauthorized, Err: fmt.Errorf("it answers for another node, %q", quote(said))}
	}
	for {
		item, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		each(item)
	}
	// A connection is kept if the body was read to its end.
	_, _ = body.Read(body.last[:])
	if why := in.End.GetError(); why != "" {
		return in, &Error{Node: node, Outcome: coverage.Truncated, Part: true, Err: fmt.Errorf("it could not read its history: %s", quote(why))}
	}
	return in, nil
}

// checkHead tells whether the answer is one of frames.
func checkHead(node string, resp *Response) error {
	if resp.Status == http.StatusOK {
		if got := resp.ContentType; got != wire.ContentType {
			// Whatever it is, it is not this version of the peer API.
			return &Error{Node: node, Outcome: coverage.VersionSkew, Err: fmt.Errorf("the answer is of type %q, not %s", quote(got), wire.ContentType)}
		}
		return nil
	}
	why, _ := io.ReadAll(io.LimitReader(resp.Body, maxQuoted))
	return &Error{Node: node, Outcome: statusOutcome(resp.Status), Err: fmt.Errorf("status %d: %s", resp.Status, quote(string(why)))}
}

// quote makes what a node says fit for one line of text.
func quote(s string) string {
	s = strings.ToValidUTF8(s[:min(len(s), maxQuoted)], "\uFFFD")
	return strings.Join(strings.Fields(s), " ")
}

// budgeted reads until its budget is used up, and then fails.
type budgeted struct {
	r io.Reader
	question
	left int64   // bytes; -1 once there was one too many
	last [1]byte // room for what should not come
}

var errOverBudget = errors.New("the answer is larger than a node's may be")

func (b *budgeted) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, b.over()
	}
	// One byte more than is left tells an answer that fits from one that does not.
	n, err := b.r.Read(p[:min(int64(len(p)), b.left+1)])
	if b.left -= int64(n); b.left < 0 {
		return 0, b.over()
	}
	if b.take != nil && n > 0 && !b.take(n) {
		return 0, fmt.Errorf("%w now: no more was to be taken", errOverBudget)
	}
	return n, err
}

func (b *budgeted) over() error {
	return fmt.Errorf("%w, %vB%s", errOverBudget, cli.Bytes(b.most), b.wayOut)
}
