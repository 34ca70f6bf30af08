package obs

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"time"
)

// A Page is a debug page: JSON for programs, HTML for people.
type Page struct {
	// Name is where it is, /debug/<Name>, and Title what it tells.
	Name, Title string
	// Data returns what there is to tell now, which is encoded as JSON. A
	// [Presenter] says itself how a person is to see it; anything else is shown
	// as its JSON, in tables. It is called for each request, possibly several
	// at once.
	Data func() any
}

// A Presenter is a page's data that answers "what is wrong?" first.
type Presenter interface {
	// Verdict is what is wrong, one text each, with its cause and what to do
	// next; empty if nothing is, nil if nobody has looked. The JSON has the
	// same under "problems".
	Verdict() []string
	// Sections are the rest, what matters most first.
	Sections() []Section
}

// A Section is a part of a page as people see it: a title, then whatever else
// it has, in the order of the fields. Texts are plain texts, never markup.
type Section struct {
	Title string
	Text  string
	Facts []Fact
	Table *Table
	// Body is shown as it is, line by line.
	Body string
	// More says that Text tells what was left out: a link to the JSON follows it.
	More bool
}

// A Fact is a named value.
type Fact struct {
	Name  string
	Value Value
}

// A Table is shown with all its rows: who has thousands leaves most out, and
// says so; see Section.More.
type Table struct {
	Columns []Column
	Rows    [][]Value
}

// A Column is a column's title, and whether its values are numbers.
type Column struct {
	Title  string
	Number bool
}

// A Value is what a person reads, and beside it what a program would say.
// [Time], [Bytes] and others make it.
type Value struct {
	Text  string
	Exact string
	// Link is where Text leads, relative to the page; "" is nowhere.
	Link string
}

//go:embed pages.css
var pagesCSS string

// PagesPolicy is the Content-Security-Policy of the pages: they need nothing
// but their style, and nothing in them may act, whoever wrote it.
func PagesPolicy() string {
	sum := sha256.Sum256([]byte(pagesCSS))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}

// HandlePages serves the pages at /debug/<name> on mux, and at /debug/ an
// overview with the verdicts of all. who is the process, as a person would name
// it. Answers are JSON, or HTML where [PrefersHTML] says so. Links are
// relative, so that the pages work under any other path, too.
func HandlePages(mux *http.ServeMux, who string, pages []Page) {
	h := &pageHandler{who: who, pages: pages, policy: PagesPolicy()}
	for _, page := range pages {
		mux.HandleFunc("GET /debug/"+page.Name, func(w http.ResponseWriter, r *http.Request) { h.serve(w, r, page) })
	}
	mux.HandleFunc("GET /debug/{$}", func(w http.ResponseWriter, r *http.Request) {
		h.serve(w, r, Page{Title: "Is anything wrong here?", Data: func() any { return overviewOf(pages) }})
	})
}

type pageHandler struct {
	who    string
	pages  []Page
	policy string
}

func (h *pageHandler) serve(w http.ResponseWriter, r *http.Request, page Page) {
	head := w.Header()
	head.Set("Vary", "Accept")
	head.Set("Cache-Control", "no-store")
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("Content-Security-Policy", h.policy)
	data := page.Data()
	var body []byte
	if PrefersHTML(r) {
		head.Set("Content-Type", "text/html; charset=utf-8")
		body = h.html(page, data)
	} else {
		head.Set("Content-Type", "application/json")
		var err error
		if body, err = json.MarshalIndent(data, "", "  "); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		body = append(body, '\n')
	}
	_, _ = w.Write(body) // fails when the reader went away
}

func (h *pageHandler) html(page Page, data any) []byte {
	v := view{who: h.who, page: page, pages: h.pages, made: Stamp(time.Now())}
	if shown, ok := data.(Presenter); ok {
		v.problems, v.sections = shown.Verdict(), shown.Sections()
	} else {
		v.sections = plainSections(data)
	}
	var w htmlWriter
	w.view(v)
	return w.out.Bytes()
}

// overview is /debug/: the verdicts of all pages, each after its page's name.
type overview struct {
	Problems []string       `json:"problems,omitzero"`
	Pages    []overviewPage `json:"pages"`
}

type overviewPage struct {
	Path     string `json:"path"`
	Title    string `json:"title"`
	name     string
	problems []string
}

func overviewOf(pages []Page) overview {
	var o overview
	for _, page := range pages {
		p := overviewPage{Path: "/debug/" + page.Name, Title: page.Title, name: page.Name}
		if data, ok := page.Data().(Presenter); ok {
			p.problems = data.Verdict()
		}
		if p.problems != nil && o.Problems == nil {
			o.Problems = []string{}
		}
		for _, problem := range p.problems {
			o.Problems = append(o.Problems, page.Name+": "+problem)
		}
		o.Pages = append(o.Pages, p)
	}
	o.Pages = append(o.Pages, overviewPage{Path: "/debug/pprof/", Title: "Profiles of the process, by Go's profiler", name: "pprof/"})
	return o
}

// Verdict implements [Presenter].
func (o overview) Verdict() []string { return o.Problems }

// Sections implements [Presenter].
func (o overview) Sections() []Section {
	t := &Table{Columns: []Column{{Title: "page"}, {Title: "tells"}, {Title: "verdict"}}}
	for _, p := range o.Pages {
		var verdict Value
		if n := len(p.problems); n > 0 {
			verdict = Count(n, "problem")
		} else if p.problems != nil {
			verdict = Text("ok")
		}
		t.Rows = append(t.Rows, []Value{{Text: p.name, Link: p.name}, Text(p.Title), verdict})
	}
	return []Section{{Title: "Pages", Table: t}}
}
