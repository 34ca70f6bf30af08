package dashboard

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
)

// within is a transport to a handler of this process, for tests whose clock no network
// may hold up.
type within struct{ http.Handler }

// RoundTrip implements [http.RoundTripper]. As net/http's own transport it asks for
// gzip, and unpacks it, unless the request says what it wants.
func (h within) RoundTrip(r *http.Request) (*http.Response, error) {
	in := httptest.NewRequestWithContext(r.Context(), r.Method, r.URL.RequestURI(), nil)
	in.Header = r.Header.Clone()
	unpack := in.Header.Get("Accept-Encoding") == "" && r.Method != http.MethodHead
	if unpack {
		in.Header.Set("Accept-Encoding", "gzip")
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, in)
	resp := w.Result()
	resp.Request = r
	if r.Method == http.MethodHead {
		resp.Body = http.NoBody
	}
	if !unpack || resp.Header.Get("Content-Encoding") != "gzip" {
		return resp, nil
	}
	z, err := gzip.NewReader(resp.Body)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(z)
	if err != nil {
		return nil, err
	}
	resp.Header.Del("Content-Encoding")
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return resp, nil
}
