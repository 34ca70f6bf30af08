package obs

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestPrefersHTML(t *testing.T) {
	cases := []struct {
		name   string
		accept []string
		query  string
		html   bool
	}{
		{"none", nil, "", false},
		{"curl", []string{"*/*"}, "", false},
		{"Firefox and Chromium", []string{browser}, "", true},
		{"fetch for JSON", []string{"application/json, text/plain, */*"}, "", false},
		{"HTML only", []string{"text/html"}, "", true},
		{"JSON only", []string{"application/json"}, "", false},
		{"neither", []string{"image/png"}, "", false},
		{"both alike", []string{"text/html, application/json"}, "", false},
		{"JSON rather", []string{"text/html;q=0.5, application/json"}, "", false},
		{"HTML rather", []string{"application/json;q=0.5, text/html;q=0.6"}, "", true},
		{"any text", []string{"text/*"}, "", true},
		{"any text, but HTML", []string{"text/*, text/html;q=0, */*;q=0.1"}, "", false},
		{"anything but JSON", []string{"*/*, application/json;q=0"}, "", true},
		{"the specific one counts", []string{"text/html;q=0.3, */*;q=0.9"}, "", false},
		{"in two lines", []string{"application/json;q=0.1", "text/html"}, "", true},
		{"other case, more space", []string{" Text/HTML ; Q=0.9 ,\t*/* ; q=0.1"}, "", true},
		{"other parameters", []string{"text/html;charset=utf-8;q=0.9, */*;q=0.1"}, "", true},
		{"twice, the better one", []string{"text/html;level=1;q=0.2, text/html;q=0.8, */*;q=0.5"}, "", true},
		{"malformed", []string{"text/html;q=high"}, "", false},
		{"not a number", []string{"text/html;q=NaN"}, "", false},
		{"out of range", []string{"text/html;q=2, application/json;q=0.1"}, "", false},
		{"nonsense", []string{",;,/,text/,=;q"}, "", false},
		{"asked for JSON", []string{browser}, "?format=json", false},
		{"asked for HTML", []string{"*/*"}, "?format=html", true},
		{"asked for something else", []string{browser}, "?format=xml", true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/debug/"+c.query, nil)
			for _, a := range c.accept {
				r.Header.Add("Accept", a)
			}
			if PrefersHTML(r) != c.html {
				t.Errorf("HTML is %t", !c.html)
			}
		})
	}
}
