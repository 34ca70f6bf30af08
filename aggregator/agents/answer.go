package agents

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/rollcall-metrics/rollcall/pkg/apiv1"
	"github.com/rollcall-metrics/rollcall/pkg/coverage"
	"github.com/rollcall-metrics/rollcall/pkg/wire"
)

// maxQuoted is how many bytes of what an agent says about an error are kept:
// enough for a sentence, little enough for a hundred of them in one answer.
const maxQuoted = 200

// read reads a node's whole answer. body is that of resp, within its budget.
func read(node string, resp *http.Response, body *budgeted) (apiv1.NodeAnswer, error) {
	answer := apiv1.NodeAnswer{Node: node}
	if err := checkHead(node, resp); err != nil {
		return answer, err
	}
	in, err := wire.NewReader(body, resp.ContentLength)
	if err != nil {
		return answer, err
	}
	if said := in.Header.GetNode(); said != node {
		// Its certificate is right, its data is not: nothing of it can be trusted.
		return answer, &Error{node, coverage.Unauthorized, fmt.Errorf("it answers for another node, %q", quote(said))}
	}
	for {
		item, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return apiv1.NodeAnswer{Node: node}, err
		}
		answer.Chunks = append(answer.Chunks, item.Chunk)
	}
	if why := in.End.GetError(); why != "" {
		return answer, &Error{node, coverage.Truncated, fmt.Errorf("it could not read its history: %s", quote(why))}
	}
	answer.Known = in.End.GetKnown()
	// net/http keeps a connection whose body was read to its end.
	_, _ = io.CopyN(io.Discard, body, 1)
	return answer, nil
}

// checkHead tells whether the answer is one of frames.
func checkHead(node string, resp *http.Response) error {
	if resp.StatusCode == http.StatusOK {
		if got := resp.Header.Get("Content-Type"); got != wire.ContentType {
			// Whatever it is, it is not this version of the peer API.
			return &Error{node, coverage.VersionSkew, fmt.Errorf("the answer is of type %q, not %s", quote(got), wire.ContentType)}
		}
		return nil
	}
	why, _ := io.ReadAll(io.LimitReader(resp.Body, maxQuoted))
	return &Error{node, statusOutcome(resp.StatusCode), fmt.Errorf("status %d: %s", resp.StatusCode, quote(string(why)))}
}

// quote makes what a node says fit for one line of text.
func quote(s string) string {
	s = strings.ToValidUTF8(s[:min(len(s), maxQuoted)], "\uFFFD")
	return strings.Join(strings.Fields(s), " ")
}

// budgeted reads until its budget is used up, and then fails.
type budgeted struct {
	r    io.Reader
	left int64 // bytes; -1 once there was one too many
	take func(bytes int) bool
}

var (
	errOverBudget = errors.New("the answer is larger than a node's budget")
	errNoMore     = fmt.Errorf("%w, or than what is left of the question's", errOverBudget)
)

func (b *budgeted) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, errOverBudget
	}
	// One byte more than is left tells an answer that fits from one that does not.
	n, err := b.r.Read(p[:min(int64(len(p)), b.left+1)])
	if b.left -= int64(n); b.left < 0 {
		return 0, errOverBudget
	}
	if b.take != nil && n > 0 && !b.take(n) {
		return 0, errNoMore
	}
	return n, err
}
