package agents

import (
	"bufio"
	"net/http"
	"strings"
	"testing"
)

func headOf(s string) (head, error) {
	return readHead(bufio.NewReaderSize(strings.NewReader(s), readBuffer))
}

func TestReadHead(t *testing.T) {
	for name, tc := range map[string]struct {
		head string
		want head
	}{
		"an agent's": {
			"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.rollcall.frames\r\nDate: Sat, 21 Nov 2026 10:00:00 GMT\r\nContent-Length: 12\r\n\r\n",
			head{status: 200, contentType: "application/vnd.rollcall.frames", length: 12},
		},
		"chunked":         {"HTTP/1.1 200 OK\r\ntransfer-encoding:chunked\r\n\r\n", head{status: 200, length: -1, chunked: true}},
		"to the end":      {"HTTP/1.1 404 Not Found\r\n\r\n", head{status: 404, length: -1, last: true}},
		"closed after it": {"HTTP/1.1 500 x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", head{status: 500, last: true}},
		"no body":         {"HTTP/1.1 204 No Content\r\n\r\n", head{status: 204}},
		"the same twice":  {"HTTP/1.1 200 OK\nContent-Length: 7\nContent-Length: 7\n\n", head{status: 200, length: 7}},
	} {
		if got, err := headOf(tc.head); err != nil || got != tc.want {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, tc.want)
		}
	}
	for name, bad := range map[string]string{
		"nothing":           "",
		"a web page":        "<html>\r\n\r\n",
		"an older version":  "HTTP/1.0 200 OK\r\n\r\n",
		"no status":         "HTTP/1.1 OK\r\n\r\n",
		"to be continued":   "HTTP/1.1 100 Continue\r\n\r\n",
		"two lengths":       "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
		"length and chunks": "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
		"negative length":   "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
		"compressed":        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
		"folded":            "HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n",
		"no name":           "HTTP/1.1 200 OK\r\n: a\r\n\r\n",
		"cut":               "HTTP/1.1 200 OK\r\nX: a\r\n",
		"a long line":       "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", readBuffer) + "\r\n\r\n",
	} {
		if got, err := headOf(bad); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// FuzzReadHead: what is taken is what net/http takes it for.
func FuzzReadHead(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 12\r\nContent-Type: a\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
		"HTTP/1.1 304 x\r\nConnection: close\r\n\r\n", "HTTP/1.1 200 \nContent-Length:1\nContent-Length:1\n\n", "HTTP/1.1 204 x\r\nTransfer-Encoding: chunked\r\n\r\n",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := headOf(s)
		if err != nil {
			return
		}
		resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader(s)), nil)
		if err != nil {
			return // it is stricter about headers that do not matter here
		}
		defer func() { _ = resp.Body.Close() }()
		chunked := len(resp.TransferEncoding) > 0
		if got.status != resp.StatusCode || got.chunked != chunked || got.length != resp.ContentLength || (resp.Close && !got.last) {
			t.Fatalf("%q: %+v, net/http says %d, %v, %d, %v", s, got, resp.StatusCode, chunked, resp.ContentLength, resp.Close)
		}
	})
}
