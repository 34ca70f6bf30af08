package standin

import (
	"bytes"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"
)

func TestServesTheSlotOfItsClock(t *testing.T) {
	k := newKubelet(t, nil)
	s := serve(t, k)
	for _, c := range []struct {
		path string
		now  time.Time
		form form
	}{
		{"/stats/summary", noon, full},
		{"/stats/summary?only_cpu_and_memory=true", noon.Add(14 * time.Second), light},
		{"/stats/summary", noon.Add(15 * time.Second), full},
		{"/stats/summary", noon.Add(-20 * time.Minute), full},
	} {
		k.SetClock(func() time.Time { return c.now })
		resp, body, err := s.get(t, c.path)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "application/json" || resp.ContentLength != int64(len(body)) {
			t.Errorf("%s: %s, %q, length %d of %d", c.path, resp.Status, resp.Header.Get("Content-Type"), resp.ContentLength, len(body))
		}
		if !bytes.HasPrefix(body, []byte("{\n \"node\": {\n  \"nodeName\": \"node-1\",\n")) || !bytes.HasSuffix(body, []byte("}\n ]\n}")) {
			t.Errorf("%s: not indented like the recorded body: %.60q … %q", c.path, body, body[len(body)-10:])
		}
		if !bytes.Equal(body, mustBody(t, k, k.turnAt(c.now), c.form)) {
			t.Errorf("%s at %v: not the %v document of that slot", c.path, c.now, c.form)
		}
	}
	if got := k.Requests(); got != 4 {
		t.Errorf("%d requests, want 4", got)
	}
}

func TestRefusals(t *testing.T) {
	k := newKubelet(t, nil)
	s := serve(t, k)
	for name, c := range map[string]struct {
		method, path, authorization string
		status                      int
		body                        string
	}{
		"no token":            {"GET", "/stats/summary", "", 401, "Unauthorized"},
		"another token":       {"GET", "/stats/summary", "Bearer let-me-out", 401, "Unauthorized"},
		"another scheme":      {"GET", "/stats/summary", "Basic " + testToken, 401, "Unauthorized"},
		"no token, any path":  {"GET", "/nothing", "", 401, "Unauthorized"},
		"another path":        {"GET", "/stats", "Bearer " + testToken, 404, "404 page not found\n"},
		"with a slash":        {"GET", "/stats/summary/", "Bearer " + testToken, 404, "404 page not found\n"},
		"another method":      {"POST", "/stats/summary", "Bearer " + testToken, 405, "405: Method Not Allowed"},
		"without a body":      {"HEAD", "/stats/summary", "Bearer " + testToken, 405, ""},
		"another path's POST": {"POST", "/run", "Bearer " + testToken, 404, "404 page not found\n"},
	} {
		t.Run(name, func(t *testing.T) {
			r := s.request(t, c.path)
			r.Method = c.method
			r.Header.Set("Authorization", c.authorization)
			resp, err := s.client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != c.status || string(body) != c.body || resp.Header.Get("Content-Type") != "text/plain; charset=utf-8" {
				t.Errorf("%s %q %q, %v; want %d %q as text/plain", resp.Status, body, resp.Header.Get("Content-Type"), err, c.status, c.body)
			}
		})
	}
	if got := k.Truth(0, noon.Unix()).Slots; len(got) != 0 {
		t.Errorf("%d slots count as served", len(got))
	}
}

func TestManyAtOnce(t *testing.T) {
	k := newKubelet(t, func(c *Config) { c.Pods = 8 })
	s := serve(t, k)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			k.SetClock(func() time.Time { return noon })
			if i%4 == 0 {
				k.SetFault(Fault{Kind: None})
			}
			if resp, _, err := s.get(t, "/stats/summary"); err != nil || resp.StatusCode != http.StatusOK {
				t.Errorf("request %d: %v", i, err)
			}
			k.Truth(noon.Unix()-900, noon.Unix())
		})
	}
	all.Wait()
	if got := k.Requests(); got != 8 {
		t.Errorf("%d requests, want 8", got)
	}
}
