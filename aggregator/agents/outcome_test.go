package agents

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/coverage"
	"github.com/rollcall-metrics/rollcall/pkg/identity"
	"github.com/rollcall-metrics/rollcall/pkg/identity/identitytest"
	"github.com/rollcall-metrics/rollcall/pkg/model"
	"github.com/rollcall-metrics/rollcall/pkg/roster"
	"github.com/rollcall-metrics/rollcall/pkg/wire"
)

// patience is a node's timeout in tests where it has to pass.
const patience = 150 * time.Millisecond

// Every way in which an agent can fail, for real, over TLS on loopback.
func TestFailures(t *testing.T) {
	reset := func(w http.ResponseWriter) {
		c, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		tcp := c.(*tls.Conn).NetConn().(*net.TCPConn)
		_ = tcp.SetLinger(0)
		_ = tcp.Close()
	}
	status := func(code int, body string) func(*fleet) {
		return func(f *fleet) {
			f.serve(f.agentTLS(node), func(w http.ResponseWriter, _ *http.Request) { http.Error(w, body, code) })
		}
	}
	answer := func(h http.HandlerFunc) func(*fleet) {
		return func(f *fleet) { f.serve(f.agentTLS(node), h) }
	}
	// hang waits until the aggregator has hung up.
	hang := func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

	for _, tc := range []struct {
		name string
		with func(f *fleet)
		cfg  Config
		as   identity.Peer
		want coverage.Outcome
		text string
	}{
		{name: "dead in the roster", want: coverage.Dead, text: "stopped answering gossip", with: func(f *fleet) {
			f.put(node, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}, roster.Dead)
		}},
		{name: "left the roster", want: coverage.NotInRoster, text: "has left", with: func(f *fleet) {
			f.put(node, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}, roster.Left)
		}},
		{name: "never in the roster", want: coverage.NotInRoster, text: "never been heard of", with: func(*fleet) {}},

		{name: "another agent's certificate", want: coverage.Unauthorized, text: "wanted rollcall://agent/" + node, with: func(f *fleet) {
			f.serve(f.agentTLS("node-2"), frames(node, "x"))
		}},
		{name: "an aggregator's certificate", want: coverage.Unauthorized, text: "found rollcall://aggregator/", with: func(f *fleet) {
			f.serve(load(f.t, f.authority, identity.Peer{Role: identity.Aggregator, Name: node}).ServerConfig(identity.Aggregator), frames(node, "x"))
		}},
		{name: "certificate without a peer", want: coverage.Unauthorized, text: "no rollcall URI", with: func(f *fleet) {
			files, err := f.authority.IssueServer(node, net.IPv4(127, 0, 0, 1))
			if err != nil {
				f.t.Fatal(err)
			}
			cert, err := tls.LoadX509KeyPair(files.Cert, files.Key)
			if err != nil {
				f.t.Fatal(err)
			}
			f.serve(&tls.Config{Certificates: []tls.Certificate{cert}}, frames(node, "x"))
		}},
		{name: "certificate from another CA", want: coverage.Unauthorized, text: "unknown authority", with: func(f *fleet) {
			other, err := identitytest.New(f.t.TempDir())
			if err != nil {
				f.t.Fatal(err)
			}
			f.serve(load(f.t, other, identity.Peer{Role: identity.Agent, Name: node}).ServerConfig(identity.Aggregator), frames(node, "x"))
		}},
		{name: "an agent asks an agent", as: identity.Peer{Role: identity.Agent, Name: "node-2"}, want: coverage.Unauthorized,
			text: "bad certificate", with: answer(frames(node, "x"))},
		{name: "header of another node", want: coverage.Unauthorized, text: `another node, "node-2"`, with: answer(frames("node-2", "x"))},
		{name: "status 403", want: coverage.Unauthorized, text: "status 403: not you", with: status(403, "not you")},
		{name: "status 401", want: coverage.Unauthorized, text: "status 401", with: status(401, "who?")},

		{name: "status 404", want: coverage.VersionSkew, text: "status 404: 404 page not found", with: answer(http.NotFound)},
		{name: "status 400", want: coverage.VersionSkew, text: `parameter "steps": unknown`, with: status(400, `parameter "steps": unknown`)},
		{name: "another content type", want: coverage.VersionSkew, text: `type "text/html"`, with: answer(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
		})},

		{name: "status 503", want: coverage.Refused, text: "status 503: busy, come later", with: status(503, "busy,\ncome later")},
		{name: "status 500 with a long body", want: coverage.Refused, text: strings.Repeat("x", maxQuoted), with: status(500, strings.Repeat("x", 1e6))},
		{name: "redirect", want: coverage.Refused, text: "status 302", with: answer(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		})},
		{name: "nobody listens", want: coverage.Refused, text: "connection refused", with: func(f *fleet) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				f.t.Fatal(err)
			}
			_ = l.Close()
			f.put(node, l.Addr(), roster.Alive)
		}},
		{name: "no route", want: coverage.Refused, text: "no route to host", with: answer(frames(node)), cfg: Config{
			Dial: func(context.Context, string, string) (net.Conn, error) {
				return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.EHOSTUNREACH)}
			},
		}},

		{name: "accepts, no handshake", want: coverage.Timeout, text: "connect: ", with: func(f *fleet) { f.listen(hang) }},
		{name: "handshake, no answer", want: coverage.Timeout, text: "wait for the answer: ", with: answer(func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
		})},
		{name: "answer byte by byte", want: coverage.Timeout, text: "read the answer: ", with: answer(func(w http.ResponseWriter, r *http.Request) {
			var whole bytes.Buffer
			out, _ := wire.NewWriter(&whole, &wire.Header{Node: node})
			_ = out.Chunk(make([]byte, 1000))
			_ = out.End(true, nil)
			w.Header().Set("Content-Type", wire.ContentType)
			tick := time.NewTicker(patience / 50)
			defer tick.Stop()
			for b := range bytes.SplitSeq(whole.Bytes(), nil) {
				_, _ = w.Write(b)
				_ = http.NewResponseController(w).Flush()
				select {
				case <-tick.C:
				case <-r.Context().Done():
					return
				}
			}
		})},

		{name: "hangs up in the handshake", want: coverage.Truncated, text: "handshake with", with: func(f *fleet) { f.listen(func(net.Conn) {}) }},
		{name: "no TLS", want: coverage.Truncated, text: "does not look like a TLS handshake", with: func(f *fleet) {
			f.listen(func(c net.Conn) { _, _ = io.WriteString(c, "SSH-2.0-OpenSSH_9.9\r\n"); hang(c) })
		}},
		{name: "no HTTP", want: coverage.Truncated, text: "malformed HTTP", with: answer(func(w http.ResponseWriter, _ *http.Request) {
			c, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				_, _ = io.WriteString(c, strings.Repeat("garbage\r\n", 100))
				_ = c.Close()
			}
		})},
		{name: "reset before the answer", want: coverage.Truncated, with: answer(func(w http.ResponseWriter, _ *http.Request) { reset(w) })},
		{name: "reset in the answer", want: coverage.Truncated, text: "read the answer", with: answer(func(w http.ResponseWriter, _ *http.Request) {
			begin(w, node, "first", strings.Repeat("x", 64<<10))
			_ = http.NewResponseController(w).Flush()
			reset(w)
		})},
		{name: "broken off in the answer", want: coverage.Truncated, text: "broke off", with: answer(func(w http.ResponseWriter, _ *http.Request) {
			begin(w, node, strings.Repeat("x", 64<<10))
			panic(http.ErrAbortHandler)
		})},
		{name: "no end frame", want: coverage.Truncated, text: "broke off", with: answer(func(w http.ResponseWriter, _ *http.Request) {
			begin(w, node, strings.Repeat("x", 64<<10))
		})},
		{name: "frames of garbage", want: coverage.Truncated, text: "not a stream of frames", with: answer(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", wire.ContentType)
			_, _ = w.Write(bytes.Repeat([]byte{0x07, 0xff}, 500))
		})},
		{name: "empty body", want: coverage.Truncated, text: "broke off", with: answer(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", wire.ContentType)
		})},
		{name: "the agent's own error", want: coverage.Truncated, text: "read its history: disk on fire", with: answer(func(w http.ResponseWriter, _ *http.Request) {
			_ = begin(w, node, "first").End(true, errors.New("disk on\nfire"))
		})},

		{name: "endless", want: coverage.OverBudget, text: "larger than", with: answer(func(w http.ResponseWriter, r *http.Request) {
			out := begin(w, node)
			for r.Context().Err() == nil && out.Chunk(make([]byte, 100<<10)) == nil {
			}
		})},
		{name: "just over the budget", cfg: Config{NodeBudget: 1000}, want: coverage.OverBudget, with: answer(frames(node, strings.Repeat("x", 1000)))},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFleet(t)
			tc.with(f)
			if tc.as.Name == "" {
				tc.as = identity.Peer{Role: identity.Aggregator, Name: "aggregator-0"}
			}
			c := f.clientAs(tc.as, tc.cfg)
			timeout := 10 * time.Second
			if tc.want == coverage.Timeout {
				timeout = patience
			}
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			defer cancel()
			began := time.Now()
			got, err := c.Ask(ctx, node, model.Query{From: 0, To: 900}, nil)
			if outcome := Outcome(err); outcome != tc.want {
				t.Errorf("outcome %q, want %q; error: %v", outcome, tc.want, err)
			}
			if err == nil {
				t.Fatalf("answer %+v without an error", got)
			}
			if !strings.HasPrefix(err.Error(), node+": ") || !strings.Contains(err.Error(), tc.text) {
				t.Errorf("error %q, want it to name the node and say %q", err, tc.text)
			}
			if len(err.Error()) > 2*maxQuoted+100 {
				t.Errorf("error of %d bytes", len(err.Error()))
			}
			// Only what an agent itself says to be a part is kept.
			if len(got.Chunks) > 0 != strings.Contains(tc.name, "own error") {
				t.Errorf("an error, and %d chunks", len(got.Chunks))
			}
			if took := time.Since(began); took > timeout+2*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

func TestOutcomeOfOthersErrors(t *testing.T) {
	for _, tc := range []struct {
		name string
		err  error
		want coverage.Outcome
	}{
		{"none", nil, coverage.OK},
		{"wrapped", fmt.Errorf("ask: %w", &Error{Node: "node-1", Outcome: coverage.Dead, Err: io.EOF}), coverage.Dead},
		{"deadline", fmt.Errorf("ask: %w", context.DeadlineExceeded), coverage.Timeout},
		{"deadline of a connection", os.ErrDeadlineExceeded, coverage.Timeout},
		{"no answer to packets", &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ETIMEDOUT)}, coverage.Timeout},
		{"canceled", context.Canceled, coverage.Canceled},
		{"no network", &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ENETUNREACH)}, coverage.Refused},
		{"alert", &net.OpError{Op: "remote error", Err: tls.AlertError(80)}, coverage.Refused},
		{"alert about a certificate", &net.OpError{Op: "remote error", Err: tls.AlertError(42)}, coverage.Unauthorized},
		{"reset", &net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}, coverage.Truncated},
		{"end of file", io.ErrUnexpectedEOF, coverage.Truncated},
		{"anything", errors.New("what?"), coverage.Truncated},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := Outcome(tc.err); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
