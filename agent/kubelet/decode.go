package kubelet

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// maxValues bounds the values in one document, and thereby the memory that
// decoding it takes: an array of 8 MiB could otherwise hold 4 million (empty)
// containers, over 1 GB of structs. The kubelet writes a value every 23
// bytes; DefaultMaxBody of that is 360,000.
const maxValues = 1 << 19

// Decode turns one answer of the Summary API, in either form, into samples.
//
// It is lenient: unknown fields are ignored, missing ones are absent, and a
// field that holds nonsense is absent as well; skipped then says so, in at
// most 20 lines for people. Pods and containers with names that cannot be are
// left out. Only a body that is not one JSON object with a "node" object in
// it is an error, an [*Error] of kind [Malformed].
//
// The scrape is ordered as [model.Scrape] promises and shares no memory with
// body.
func Decode(body []byte) (scrape model.Scrape, skipped []string, err error) {
	d := newDecoder(body)
	if err := d.document(); err != nil {
		return model.Scrape{}, d.notes.list(), &Error{Kind: Malformed, Err: err}
	}
	return d.finish(), d.notes.list(), nil
}

// A decoder reads one document. It takes the pods one by one, so that it
// holds the JSON form of one pod and not of all.
type decoder struct {
	body   []byte
	json   *json.Decoder
	notes  notes
	node   *model.Sample // nil until there was a "node" object
	pods   []podEntry
	parsed podStats // the pod being read; its slices are used again
}

func newDecoder(body []byte) *decoder {
	return &decoder{body: body, json: json.NewDecoder(bytes.NewReader(body))}
}

// document reads all of the body.
func (d *decoder) document() error {
	if n := bytes.Count(d.body, []byte{','}); n > maxValues {
		return fmt.Errorf("%d values, at most %d are read", n, maxValues)
	}
	if next := d.rest(); len(next) == 0 || next[0] != '{' {
		return fmt.Errorf("not a JSON object: starts with %.40q", bytes.TrimSpace(d.body))
	}
	if _, err := d.json.Token(); err != nil {
		return fmt.Errorf("decode: %w", err)
	}
	for d.json.More() {
		if err := d.field(); err != nil {
			return fmt.Errorf("decode: %w", err)
		}
	}
	if _, err := d.json.Token(); err != nil { // the closing brace
		return fmt.Errorf("decode: %w", unexpectedEnd(err))
	}
	if len(d.rest()) > 0 {
		return fmt.Errorf("content after the JSON document, at byte %d of %d", d.json.InputOffset(), len(d.body))
	}
	if d.node == nil {
		return errors.New(`no "node" object: this is not the Summary API`)
	}
	return nil
}

// field reads one name and value of the outermost object. Names match like
// everywhere in encoding/json, whatever their case.
func (d *decoder) field() error {
	token, err := d.json.Token()
	if err != nil {
		return unexpectedEnd(err)
	}
	name, _ := token.(string)
	switch next := d.valueStart(); {
	case strings.EqualFold(name, "node") && next == '{':
		return d.readNode()
	case strings.EqualFold(name, "pods") && next == '[':
		return d.readPods()
	case strings.EqualFold(name, "pods") && next != 'n':
		d.notes.add(place{whole: true}, "pods is no list")
	}
	return unexpectedEnd(d.json.Decode(&ignored{}))
}

func (d *decoder) readNode() error {
	var node nodeStats
	if err := d.value(&node, func() place { return place{} }); err != nil {
		return err
	}
	sample := node.sample(&d.notes)
	d.node = &sample
	return nil
}

func (d *decoder) readPods() error {
	if _, err := d.json.Token(); err != nil { // the opening bracket
		return unexpectedEnd(err)
	}
	for d.json.More() {
		d.parsed.reset()
		err := d.value(&d.parsed, func() place {
			return place{namespace: d.parsed.Ref.Namespace, pod: d.parsed.Ref.Name, whole: d.parsed.Ref.Name == ""}
		})
		if err != nil {
			return err
		}
		if entry, ok := d.parsed.entry(&d.notes); ok {
			d.pods = append(d.pods, entry)
		}
	}
	_, err := d.json.Token() // the closing bracket
	return unexpectedEnd(err)
}

// value reads the next value into v. If some field in it has another JSON
// type, encoding/json reads on without it and names the first such field at
// the end: one field lost, not the document.
func (d *decoder) value(v any, where func() place) error {
	err := d.json.Decode(v)
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		// Embedded types show in encoding/json's paths, but not in the document.
		field := strings.NewReplacer("interfaceStats.", "", "stats.", "").Replace(wrong.Field)
		d.notes.add(where(), "%s is a JSON %s", clean(cmp.Or(field, "entry")), wrong.Value)
		return nil
	}
	return unexpectedEnd(err)
}

// rest is what was not read yet, without leading white space.
func (d *decoder) rest() []byte {
	return bytes.TrimLeft(d.body[d.json.InputOffset():], " \t\r\n")
}

// valueStart returns the first byte after a name and its colon, 0 at the end.
// It only looks: whether that is JSON at all is the decoder's to say.
func (d *decoder) valueStart() byte {
	next := bytes.TrimLeft(bytes.TrimPrefix(d.rest(), []byte{':'}), " \t\r\n")
	if len(next) == 0 {
		return 0
	}
	return next[0]
}

// unexpectedEnd tells a document that stops in its middle from one that ends.
func unexpectedEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// ignored is a value that nobody looks at.
type ignored struct{}

func (*ignored) UnmarshalJSON([]byte) error { return nil }
