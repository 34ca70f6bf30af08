package obs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

const (
	// plainRows is how many rows of a list are shown of data that does not say
	// itself what matters, plainBody how many bytes of anything else: a person
	// reads no more, and the JSON has all.
	plainRows = 100
	plainBody = 32 << 10
	// plainDepth is how many objects within objects have their own sections.
	plainDepth = 3
)

// plainSections shows data that is no Presenter by its JSON: single values of
// an object as facts, a list of objects as a table, the rest as it is.
func plainSections(data any) []Section {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false) // that comes later, for all
	if err := e.Encode(data); err != nil {
		return []Section{{Text: "This page cannot be shown: " + err.Error()}}
	}
	return plainValue("", text.Bytes(), plainDepth)
}

// plainValue shows a value, and what is in it down to a depth.
func plainValue(title string, value json.RawMessage, depth int) []Section {
	if fields, ok := members(value); ok && depth > 0 {
		return plainObject(title, fields, depth)
	}
	s := Section{Title: title}
	var list []json.RawMessage
	if json.Unmarshal(value, &list) == nil && string(value) != "null" {
		shown := list[:min(len(list), plainRows)]
		if len(list) == 0 {
			s.Text = "None."
		} else if len(shown) < len(list) {
			s.Text, s.More = fmt.Sprintf("The first %d of %d.", len(shown), len(list)), true
		}
		if lines, ok := scalars(shown); ok {
			s.Body = strings.Join(lines, "\n")
			return []Section{s}
		}
		if s.Table = plainTable(shown); s.Table != nil {
			return []Section{s}
		}
	}
	var pretty bytes.Buffer
	_ = json.Indent(&pretty, value, "", "  ") // it is valid
	var cut bool
	if s.Body, cut = Cut(pretty.String(), plainBody); cut {
		s.Text, s.More = fmt.Sprintf("The first %d of %d bytes.", len(s.Body), pretty.Len()), true
	}
	return []Section{s}
}

// plainObject shows an object's single values first.
func plainObject(title string, fields []field, depth int) []Section {
	s := Section{Title: title}
	var sections []Section
	for _, f := range fields {
		if v, ok := scalar(f.value); ok {
			s.Facts = append(s.Facts, Fact{f.name, Text(v)})
			continue
		}
		sections = append(sections, plainValue(strings.TrimPrefix(title+", "+f.name, ", "), f.value, depth-1)...)
	}
	if len(s.Facts) > 0 {
		sections = append([]Section{s}, sections...)
	}
	return sections
}

// scalars are a list's values as texts, if all of them are single values.
func scalars(list []json.RawMessage) (texts []string, ok bool) {
	for _, value := range list {
		text, ok := scalar(value)
		if !ok {
			return nil, false
		}
		texts = append(texts, text)
	}
	return texts, true
}

// plainTable has a row for each object, nil if not all are objects. Columns
// come in the order in which they appear first.
func plainTable(list []json.RawMessage) *Table {
	t := &Table{}
	columns := map[string]int{}
	rows := make([][]field, len(list))
	for i, object := range list {
		var ok bool
		if rows[i], ok = members(object); !ok {
			return nil
		}
		for _, f := range rows[i] {
			if _, known := columns[f.name]; !known {
				columns[f.name] = len(t.Columns)
				t.Columns = append(t.Columns, Column{Title: f.name, Number: strings.Trim(string(f.value), "-.0123456789") == ""})
			}
		}
	}
	for _, fields := range rows {
		row := make([]Value, len(t.Columns))
		for _, f := range fields {
			text, ok := scalar(f.value)
			if !ok {
				text = string(f.value)
			}
			row[columns[f.name]] = Text(text)
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// A field is a member of a JSON object.
type field struct {
	name  string
	value json.RawMessage
}

// members are an object's, in their order; ok is false if it is none.
func members(text json.RawMessage) (fields []field, ok bool) {
	d := json.NewDecoder(bytes.NewReader(text))
	if start, err := d.Token(); err != nil || start != json.Delim('{') {
		return nil, false
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, false
		}
		f := field{name: fmt.Sprint(name)}
		if d.Decode(&f.value) != nil {
			return nil, false
		}
		fields = append(fields, f)
	}
	return fields, true
}

// scalar is a JSON value that is neither object nor list, as a text.
func scalar(value json.RawMessage) (string, bool) {
	var s string
	switch {
	case json.Unmarshal(value, &s) == nil && string(value) != "null":
		return s, true
	case len(value) > 0 && (value[0] == '{' || value[0] == '['):
		return "", false
	}
	return string(value), true
}
