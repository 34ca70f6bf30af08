package standin

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

// A testServer is a kubelet behind TLS, and a client that trusts it.
type testServer struct {
	*httptest.Server
	client *http.Client
}

func serve(t *testing.T, k *Kubelet) *testServer {
	t.Helper()
	s := httptest.NewTLSServer(k)
	t.Cleanup(func() {
		k.Close() // a request in a black hole would keep the server
		s.Close()
	})
	return &testServer{Server: s, client: s.Client()}
}

// request is a GET of a path with the token.
func (s *testServer) request(t *testing.T, path string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+testToken)
	return r
}

// get answers with the body, or with how reading it failed.
func (s *testServer) get(t *testing.T, path string) (*http.Response, []byte, error) {
	t.Helper()
	resp, err := s.client.Do(s.request(t, path))
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp, body, err
}
