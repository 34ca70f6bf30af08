package apiv1

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

func TestTag(t *testing.T) {
	tagged := func(f *fake) *fake {
		f.answer.Tag = "1795230000-2"
		return f
	}
	const path, etag = "/api/v1/pod/shop?" + span, `W/"1795230000-2"`
	cases := map[string]struct {
		source *fake
		path   string
		had    []string
		status int
		etag   string
	}{
		"first":            {tagged(complete(fleet(t))), path, nil, 200, etag},
		"same":             {tagged(complete(fleet(t))), path, []string{etag}, 304, etag},
		"same, strong":     {tagged(complete(fleet(t))), path, []string{`"1795230000-2"`}, 304, etag},
		"one of a list":    {tagged(complete(fleet(t))), path, []string{`"a", W/"b" , W/"1795230000-2"`}, 304, etag},
		"in another line":  {tagged(complete(fleet(t))), path, []string{`"a"`, etag}, 304, etag},
		"any":              {tagged(complete(fleet(t))), path, []string{"*"}, 304, etag},
		"another":          {tagged(complete(fleet(t))), path, []string{`W/"1795229985-2"`}, 200, etag},
		"a part of it":     {tagged(complete(fleet(t))), path, []string{`W/"1795230000"`, "1795230000-2"}, 200, etag},
		"not complete":     {tagged(fleet(t)), path, []string{etag}, 200, ""},
		"no tag":           {complete(fleet(t)), path, []string{`W/""`, `""`}, 200, ""},
		"not found":        {tagged(complete(fleet(t))), "/api/v1/pod/shop/nobody", []string{"*"}, 404, ""},
		"nodes":            {tagged(complete(nodeFleet(t))), "/api/v1/node?" + span, []string{etag}, 304, etag},
		"nodes, and deny":  {tagged(complete(nodeFleet(t))), "/api/v1/node?partial=deny&" + span, []string{etag}, 304, etag},
		"missing, deny":    {tagged(nodeFleet(t)), "/api/v1/node?partial=deny&" + span, []string{etag}, 503, ""},
		"source says no":   {&fake{err: Errorf(TooManyRequests, "busy")}, path, []string{"*"}, 429, ""},
		"unknown parm":     {tagged(complete(fleet(t))), path + "&x=1", []string{"*"}, 400, ""},
		"namespace, 404":   {tagged(complete(fleet(t))), "/api/v1/pod/nowhere", []string{"*"}, 404, ""},
		"container, known": {tagged(complete(fleet(t))), "/api/v1/pod/shop/cart/cart?" + span, []string{etag}, 304, etag},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			done := 0
			c.source.answer.Done = func() { done++ }
			r := httptest.NewRequest(http.MethodGet, c.path, nil)
			r.Header.Set("Accept-Encoding", "gzip")
			r.Header["If-None-Match"] = c.had
			w := httptest.NewRecorder()
			New(Config{Resolution: 15 * time.Second}, c.source).ServeHTTP(w, r)
			if w.Code != c.status || w.Header().Get("ETag") != c.etag || (w.Body.Len() == 0) != (w.Code == 304) || w.Header().Get("Vary") != "Accept-Encoding" {
				t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
			}
			if asked := c.source.err == nil && c.status != 400; (done == 1) != asked || done > 1 {
				t.Errorf("done %d times", done)
			}
			if (w.Header().Get("Retry-After") == "1") != (w.Code == 429) {
				t.Errorf("%d: Retry-After %q", w.Code, w.Header().Get("Retry-After"))
			}
		})
	}
}
