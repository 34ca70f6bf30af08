package apiv1

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
)

// many are nodes enough for an answer of some 100 KB.
func many(t *testing.T) *fake {
	f := complete(nodeFleet(t))
	for i := range 300 {
		f.answer.Nodes = append(f.answer.Nodes, NodeAnswer{Node: fmt.Sprintf("more-%04d", i), Chunks: f.answer.Nodes[0].Chunks})
	}
	return f
}

// ask asks a handler that accepts these encodings.
func ask(h http.Handler, method, path, accepted string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	if accepted != "" {
		r.Header.Set("Accept-Encoding", accepted)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestCompression(t *testing.T) {
	const path = "/api/v1/node?" + span
	h := New(Config{Resolution: 15 * time.Second}, many(t))
	want := ask(h, http.MethodGet, path, "").Body.String()
	for accepted, encoding := range map[string]string{
		"":                       "",
		"gzip":                   "gzip",
		"zstd":                   "zstd",
		"gzip, deflate, br":      "gzip",
		"gzip, zstd":             "zstd",
		"gzip;q=1.0, zstd;q=0.5": "gzip",
		"gzip;q=0, zstd;q=0.1":   "zstd",
		"zstd;q=0":               "",
		"gzip;q=0":               "",
		"identity":               "",
		"br":                     "",
	} {
		t.Run(accepted, func(t *testing.T) {
			w := ask(h, http.MethodGet, path, accepted)
			if got := w.Header().Get("Content-Encoding"); w.Code != 200 || got != encoding ||
				w.Header().Get("Vary") != "Accept-Encoding" || w.Header().Get("Content-Type") != "application/json" {
				t.Fatalf("%d %v", w.Code, w.Header())
			}
			sent := w.Body.Len()
			if got := plain(t, w); got != want {
				t.Errorf("%d bytes, want %d", len(got), len(want))
			}
			if (sent < len(want)/5) != (encoding != "") {
				t.Errorf("%d bytes of %d", sent, len(want))
			}
		})
	}
}

// plain is the answer's body.
func plain(t *testing.T, w *httptest.ResponseRecorder) string {
	t.Helper()
	var r io.Reader = w.Body
	var err error
	switch w.Header().Get("Content-Encoding") {
	case "gzip":
		r, err = gzip.NewReader(r)
	case "zstd":
		var z *zstd.Decoder
		if z, err = zstd.NewReader(r, zstd.WithDecoderConcurrency(1)); err == nil {
			defer z.Close()
			r = z
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestNotCompressed(t *testing.T) {
	h := New(Config{Resolution: 15 * time.Second}, complete(fleet(t)))
	for path, method := range map[string]string{
		"/api/v1/pod/batch/job/main?" + span: http.MethodGet, // small
		"/api/v1/pod/shop/nobody":            http.MethodGet,
		"/api/v1/pod":                        http.MethodHead,
	} {
		w := ask(h, method, path, "gzip, zstd")
		if w.Header().Get("Content-Encoding") != "" || w.Header().Get("Vary") != "Accept-Encoding" || (method == http.MethodHead) != (w.Code == 405) {
			t.Errorf("%s: %d %v", path, w.Code, w.Header())
		}
	}
}

// stuck is a client that takes the headers, and what follows only when it may.
type stuck struct {
	header  http.Header
	reached chan struct{}
	goOn    chan struct{}
	err     error
}

func (s *stuck) Header() http.Header { return s.header }
func (s *stuck) WriteHeader(int)     {}
func (s *stuck) Write(b []byte) (int, error) {
	if s.reached != nil {
		close(s.reached)
		s.reached = nil
		<-s.goOn
	}
	return len(b), s.err
}

// When as many answers are being compressed as may be, the next is sent as it is.
func TestCompressesOnlySoMany(t *testing.T) {
	const path = "/api/v1/node?" + span
	h := New(Config{Resolution: 15 * time.Second}, many(t))
	goOn := make(chan struct{})
	done := make(chan struct{})
	for range maxCompressing {
		s := &stuck{header: http.Header{}, reached: make(chan struct{}), goOn: goOn}
		reached := s.reached
		go func() {
			defer func() { done <- struct{}{} }()
			r := httptest.NewRequest(http.MethodGet, path, nil)
			r.Header.Set("Accept-Encoding", "zstd")
			h.ServeHTTP(s, r)
		}()
		<-reached
		if s.header.Get("Content-Encoding") != "zstd" {
			t.Error("not compressed though there is room")
		}
	}
	for _, accepted := range []string{"zstd", "gzip", ""} {
		w := ask(h, http.MethodGet, path, accepted)
		if w.Header().Get("Content-Encoding") != "" || !strings.HasSuffix(w.Body.String(), "}\n") || len(w.Header()) > 3 {
			t.Errorf("%q: %v", accepted, w.Header())
		}
	}
	close(goOn)
	for range maxCompressing {
		<-done
	}
	if w := ask(h, http.MethodGet, path, "zstd"); w.Header().Get("Content-Encoding") != "zstd" {
		t.Error("not compressed though there is room again")
	}
}

// A client that goes away ends the reading also if its answer is compressed.
func TestCompressedClientGone(t *testing.T) {
	for _, encoding := range []string{"gzip", "zstd"} {
		f := many(t)
		read := 0
		f.answer.Nodes, f.answer.Parts = nil, func(yield func(Part) bool) {
			p := Part{Node: "node-1", Chunk: mustParse(t, build(t, podRef("shop", "web"), 0, 1, "web"))}
			for read = range 1_000_000 {
				p.Chunk.Pod.Name = fmt.Sprintf("web-%07d", read)
				if !yield(p) {
					return
				}
			}
		}
		s := &stuck{header: http.Header{}, err: errors.New("broken pipe")}
		r := httptest.NewRequest(http.MethodGet, "/api/v1/pod?"+span, nil)
		r.Header.Set("Accept-Encoding", encoding)
		New(Config{Resolution: 15 * time.Second}, f).ServeHTTP(s, r)
		if s.header.Get("Content-Encoding") != encoding || read > 100_000 {
			t.Errorf("%s: %d pods were read", encoding, read)
		}
	}
}
