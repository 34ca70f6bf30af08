package obs

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/rollcall-metrics/rollcall/pkg/golden"
)

// answerPage is a page's answer to a browser, or to a program.
func answerPage(t *testing.T, h http.Handler, target, accept string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
	r.Header.Set("Accept", accept)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

const browser = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"

// shown is a page that says itself what matters.
type shown struct {
	Problems []string `json:"problems,omitzero"`
	Name     string   `json:"name"`
}

func (s shown) Verdict() []string { return s.Problems }

func (s shown) Sections() []Section {
	return []Section{
		{Facts: []Fact{{"name", Value{Text: s.Name, Exact: s.Name}}}},
		{Title: s.Name, Text: s.Name, Table: &Table{
			Columns: []Column{{Title: s.Name}, {Title: "size", Number: true}},
			Rows:    [][]Value{{{Text: s.Name, Link: s.Name}, Bytes(1 << 20)}},
		}},
		{Title: "body", Body: s.Name},
	}
}

func page(name string, data any) Page {
	return Page{Name: name, Title: "About " + name, Data: func() any { return data }}
}

func handler(pages ...Page) http.Handler {
	mux := http.NewServeMux()
	HandlePages(mux, "thing-1", pages)
	return mux
}

func TestPages(t *testing.T) {
	plain := map[string]any{
		"name": "thing", "nothing": nil, "count": 3, "yes": true, "empty": []int{}, "numbers": []int{1, 2},
		"list":   []map[string]any{{"a": 1, "b": "<b>"}, {"a": 2, "c": map[string]int{"d": 1}}},
		"object": map[string]int{"x": 1},
	}
	good, bad := shown{[]string{}, "one"}, shown{[]string{"no disk: buy one"}, "two"}
	all := handler(page("good", good), page("bad", bad), page("plain", plain))
	cases := []struct {
		name, target string
		h            http.Handler
	}{
		{"overview", "/debug/", all},
		{"overview all well", "/debug/", handler(page("good", good))},
		{"overview not judged", "/debug/", handler(page("plain", plain))},
		{"well", "/debug/good", all},
		{"problem", "/debug/bad", all},
		{"plain", "/debug/plain", all},
		{"plain list", "/debug/list", handler(page("list", []string{"a"}))},
	}
	for _, c := range cases {
		for form, accept := range map[string]string{"html": browser, "json": "*/*"} {
			t.Run(c.name+" "+form, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := answerPage(t, c.h, c.target, accept)
					golden.Compare(t, strings.ReplaceAll("page "+c.name+"."+form, " ", "_"), withoutStyle(w.Body.String()))
					if form == "json" && !json.Valid(w.Body.Bytes()) {
						t.Error("not JSON")
					}
				})
			})
		}
	}
}

// withoutStyle leaves the style out of a page, which is the same in all.
func withoutStyle(html string) string { return strings.Replace(html, pagesCSS, "…", 1) }

func TestPagesHeaders(t *testing.T) {
	h := handler(page("good", shown{[]string{}, "one"}), page("broken", func() {}))
	for _, c := range []struct {
		target, accept, contentType string
		code                        int
	}{
		{"/debug/good", browser, "text/html; charset=utf-8", 200},
		{"/debug/good", "*/*", "application/json", 200},
		{"/debug/", browser, "text/html; charset=utf-8", 200},
		{"/debug/", "", "application/json", 200},
		{"/debug/broken", "", "text/plain; charset=utf-8", 500}, // a func is no JSON
		{"/debug/broken", browser, "text/html; charset=utf-8", 200},
	} {
		w := answerPage(t, h, c.target, c.accept)
		head := w.Header()
		if w.Code != c.code || head.Get("Content-Type") != c.contentType || head.Get("Vary") != "Accept" ||
			head.Get("X-Content-Type-Options") != "nosniff" || head.Get("Cache-Control") != "no-store" && w.Code == 200 ||
			!strings.HasPrefix(head.Get("Content-Security-Policy"), "default-src 'none'; style-src 'sha256-") {
			t.Errorf("%s for %s: %d %v", c.target, c.accept, w.Code, head)
		}
	}
	if w := answerPage(t, h, "/debug/nothing", browser); w.Code != 404 {
		t.Errorf("no such page: %d", w.Code)
	}
}

// Each request asks for the data of its page, and of no other.
func TestPagesAsk(t *testing.T) {
	asked := 0
	h := handler(Page{Name: "ring", Data: func() any { asked++; return asked }}, Page{Name: "other", Data: func() any { panic("not asked") }})
	for _, want := range []string{"1\n", "2\n"} {
		if w := answerPage(t, h, "/debug/ring", ""); w.Body.String() != want {
			t.Errorf("got %q, want %q", w.Body, want)
		}
	}
}

// Whatever the data says, it stays a text.
func TestPagesEscape(t *testing.T) {
	for _, hostile := range []string{
		`<script>alert(1)</script>`,
		`"><img src=x onerror=alert(1)>`,
		`</pre></style></title><script>alert(1)</script>`,
		`{{.Who}}<!--`,
		"javascript:alert(1)",
		"\x00\xff<svg/onload=alert(1)>",
	} {
		data := shown{[]string{hostile}, hostile}
		mux := http.NewServeMux()
		HandlePages(mux, hostile, []Page{
			{Name: "shown", Title: hostile, Data: func() any { return data }},
			{Name: "plain", Title: hostile, Data: func() any {
				return map[string]any{hostile: hostile, "list": []map[string]string{{hostile: hostile}}, "rest": []string{hostile}}
			}},
		})
		for _, target := range []string{"/debug/", "/debug/shown", "/debug/plain"} {
			html := withoutStyle(answerPage(t, mux, target, browser).Body.String())
			for _, bad := range []string{"<script", "<img", "<svg", "<!--", `href="javascript`} {
				if strings.Contains(html, bad) {
					t.Errorf("%s with %q has %s:\n%s", target, hostile, bad, html)
				}
			}
			if n := strings.Count(html, "</style>"); n != 1 {
				t.Errorf("%s with %q ends %d styles", target, hostile, n)
			}
			if strings.Count(html, "</title>") != 1 || strings.Count(html, "<pre ") != strings.Count(html, "</pre>") {
				t.Errorf("%s with %q:\n%s", target, hostile, html)
			}
		}
	}
}
