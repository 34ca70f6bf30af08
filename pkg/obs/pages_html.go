package obs

import (
	"bytes"
	"html"
	"strings"
)

// longText is from how many bytes on a text in a table may be broken: not
// names and times, but sentences.
const longText = 48

// A view is a page as people see it.
type view struct {
	who      string
	page     Page
	pages    []Page
	problems []string // nil: there is no verdict
	sections []Section
	made     Value
}

// htmlWriter writes HTML by hand: html/template calls methods by name, so that
// the linker could no longer leave out those that nobody calls, and an agent's
// binary was 8.6 MB larger. Markup is constant and goes through put, all else
// through text; nothing else writes.
type htmlWriter struct{ out bytes.Buffer }

type markup string // constants only

func (w *htmlWriter) put(parts ...markup) {
	for _, p := range parts {
		w.out.WriteString(string(p))
	}
}

// text is for content and for quoted attributes.
func (w *htmlWriter) text(s string) {
	s = strings.ToValidUTF8(s, "\uFFFD")
	w.out.WriteString(html.EscapeString(strings.ReplaceAll(s, "\x00", "\uFFFD")))
}

// element is an element with a text in it.
func (w *htmlWriter) element(start markup, text string, end markup) {
	w.put(start)
	w.text(text)
	w.put(end)
}

// link is a link relative to the page. What begins like a scheme or another
// host's address stays a text.
func (w *htmlWriter) link(to, text string, current bool) {
	if strings.ContainsAny(to, ":\\") || strings.HasPrefix(to, "/") {
		w.text(text)
		return
	}
	w.element(`<a href="`, to, `"`)
	if current {
		w.put(` aria-current="page"`)
	}
	w.element(`>`, text, `</a>`)
}

func (w *htmlWriter) value(v Value) {
	if v.Link == "" {
		w.text(v.Text)
	} else {
		w.link(v.Link, v.Text, false)
	}
	if v.Exact != "" {
		w.element(` <small>`, v.Exact, `</small>`)
	}
}

func (w *htmlWriter) view(v view) {
	w.put("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n",
		"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>")
	if len(v.problems) > 0 {
		w.put("(!) ")
	}
	name := v.page.Name
	if name == "" {
		name = "overview"
	}
	w.text(name + " – " + v.who)
	w.put("</title>\n<style>", markup(pagesCSS), "</style>\n</head>\n<body>\n<header>\n")
	w.element("<p>", v.who, "</p>\n<nav>")
	w.link("./", "overview", v.page.Name == "")
	for _, p := range v.pages {
		w.put(" ")
		w.link(p.Name, p.Name, p.Name == v.page.Name)
	}
	w.put("</nav>\n</header>\n<main>\n")
	w.element("<h1>", v.page.Title, "</h1>\n")
	w.verdict(v.problems)
	for i := range v.sections {
		w.section(&v.sections[i])
	}
	w.put("</main>\n<footer><p>As of ")
	w.value(v.made)
	w.put(" · <a href=\"?format=json\">all of it as JSON</a></p></footer>\n</body>\n</html>\n")
}

func (w *htmlWriter) verdict(problems []string) {
	switch {
	case problems == nil:
	case len(problems) == 0:
		w.put("<p class=\"verdict ok\">ok</p>\n")
	default:
		w.put("<ul class=\"verdict bad\">\n")
		for _, p := range problems {
			w.element("<li>", p, "</li>\n")
		}
		w.put("</ul>\n")
	}
}

func (w *htmlWriter) section(s *Section) {
	w.put("<section>\n")
	if s.Title != "" {
		w.element("<h2>", s.Title, "</h2>\n")
	}
	if s.Text != "" {
		w.element("<p>", s.Text, "")
		if s.More {
			w.put(` <a href="?format=json">The JSON has all.</a>`)
		}
		w.put("</p>\n")
	}
	if len(s.Facts) > 0 {
		w.put("<table class=\"facts\">\n")
		for _, f := range s.Facts {
			w.element(`<tr><th scope="row">`, f.Name, `</th><td>`)
			w.value(f.Value)
			w.put("</td></tr>\n")
		}
		w.put("</table>\n")
	}
	if s.Table != nil {
		w.table(s.Table)
	}
	if s.Body != "" {
		w.element("<pre tabindex=\"0\">\n", s.Body, "</pre>\n") // tabindex: keys can scroll it
	}
	w.put("</section>\n")
}

func (w *htmlWriter) table(t *Table) {
	w.put("<div class=\"wide\"><table>\n<thead><tr>")
	for _, c := range t.Columns {
		if c.Number {
			w.element(`<th scope="col" class="number">`, c.Title, `</th>`)
		} else {
			w.element(`<th scope="col">`, c.Title, `</th>`)
		}
	}
	w.put("</tr></thead>\n<tbody>\n")
	for _, row := range t.Rows {
		w.put("<tr>")
		for i, v := range row {
			switch {
			case t.Columns[i].Number:
				w.put(`<td class="number">`)
			case len(v.Text) > longText:
				w.put(`<td class="long">`)
			default:
				w.put(`<td>`)
			}
			w.value(v)
			w.put(`</td>`)
		}
		w.put("</tr>\n")
	}
	w.put("</tbody>\n</table></div>\n")
}
