package main

import (
	"fmt"
	"strings"
)

// A document has commands in blocks, below headings.
type document struct {
	*usage
	dir    string // where the commands run
	blocks map[string][]string
	// adapt changes what is not as in the document.
	adapt *strings.Replacer
}

// document reads a file of the repository's, whose commands will run in a directory of
// their own.
func (u *usage) document(name string, adapt ...string) *document {
	u.Helper()
	d := &document{u, u.TempDir(), map[string][]string{}, strings.NewReplacer(adapt...)}
	heading, indent := "", 0
	var block []string
	inside := false
	for line := range strings.Lines(u.readFile("../../" + name)) {
		line = strings.TrimSuffix(line, "\n")
		text := strings.TrimLeft(line, " ")
		switch {
		case strings.HasPrefix(text, "```") && inside:
			d.blocks[heading] = append(d.blocks[heading], strings.Join(block, "\n"))
			inside = false
		case strings.HasPrefix(text, "```"): // one of a list is indented
			inside, block, indent = true, nil, len(line)-len(text)
		case inside:
			block = append(block, line[min(indent, len(line)-len(text)):])
		case strings.HasPrefix(line, "## "):
			heading = strings.TrimPrefix(line, "## ")
		}
	}
	return d
}

// try runs the nth block below a heading that begins like this, counted from 0.
func (d *document) try(heading string, nth int) (string, error) {
	for name, blocks := range d.blocks {
		if strings.HasPrefix(name, heading) && nth < len(blocks) {
			out, err := d.c.Bash(d.Context(), d.dir, d.adapt.Replace(blocks[nth]))
			d.Logf("%s, block %d:\n%.2000s", name, nth+1, out)
			return out, err
		}
	}
	return "", fmt.Errorf("there is no block %d below %q", nth+1, heading)
}

// run runs blocks in which nothing may fail.
func (d *document) run(heading string, nths ...int) {
	d.Helper()
	for _, nth := range nths {
		if _, err := d.try(heading, nth); err != nil {
			d.Fatal(err)
		}
	}
}
