package kubelet

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// maxValues bounds the values in one document, whatever its length, and
// thereby the time that decoding it takes. The kubelet writes a value every
// 23 bytes; DefaultMaxBody of that is 360,000.
const maxValues = 1 << 19

// Decode turns one answer of the Summary API, in either form, into samples.
//
// It is lenient: unknown fields are ignored, missing ones are absent, and a
// field that holds nonsense is absent as well; skipped then says so, in at
// most 20 lines for people. Pods and containers with names that cannot be are
// left out. Only a body that is not one JSON object with a "node" object in
// it is an error, an [*Error] of kind [Malformed].
//
// Where JSON leaves something open, Decode does what encoding/json does: a
// name in another case counts, of two members with one name the later counts,
// and two objects with one name are one. Only of two lists it takes the later,
// where encoding/json mixes them.
//
// The scrape is ordered as [model.Scrape] promises and shares no memory with
// body.
func Decode(body []byte) (scrape model.Scrape, skipped []string, err error) {
	d := &decoder{scan: scanner{data: body}}
	if err := d.document(); err != nil {
		return model.Scrape{}, nil, &Error{Kind: Malformed, Err: err}
	}
	return d.finish(), d.notes.list(), nil
}

// A decoder reads one document. It takes the pods one by one, and keeps of
// each only what becomes samples.
type decoder struct {
	scan  scanner
	notes notes
	names names

	hasNode    bool
	nodeSample model.Sample
	pods       []podEntry
	morePods   int // beyond maxPods

	// What is being read. A network interface is read as if it were an entity.
	node, pod, container, nic entity
	containers                []model.Sample // of the pod, if they have a name
	moreContainers            int            // beyond maxContainers
	flaws                     []flaw         // in the node or pod
	mute                      bool           // flaws are of no interest now

	lastText []byte // what lastTime was read from: most are like the one before
	lastTime instant
}

// document reads all of the body.
func (d *decoder) document() error {
	body := d.scan.data
	if n := bytes.Count(body, []byte{','}); n > maxValues {
		return fmt.Errorf("%d values, at most %d are read", n, maxValues)
	}
	if d.scan.peek() != '{' {
		return fmt.Errorf("not a JSON object: starts with %.40q", bytes.TrimSpace(body))
	}
	d.object(documentFields, nil)
	if d.scan.err != nil {
		return fmt.Errorf("decode: %w", d.scan.err)
	}
	if d.scan.peek(); d.scan.pos < len(body) {
		return fmt.Errorf("content after the JSON document, at byte %d of %d", d.scan.pos, len(body))
	}
	if !d.hasNode {
		return errors.New(`no "node" object: this is not the Summary API`)
	}
	return nil
}

// object reads an object into e.
func (d *decoder) object(of *field, e *entity) {
	guess := 0
	for more := d.scan.begin('{'); more; more = d.scan.next('}') {
		var f *field
		if guess < len(of.fields) && d.scan.member(of.fields[guess].quoted) {
			f = of.fields[guess] // as it mostly is
			guess++
		} else {
			name, plain := d.scan.name()
			f, guess = of.find(name, plain, guess)
		}
		if f == nil || f.kind == unused {
			d.scan.skip()
			continue
		}
		d.value(f, e)
	}
}

// value reads the value of a field.
func (d *decoder) value(f *field, e *entity) {
	switch c := d.scan.peek(); {
	case c == 'n':
		d.scan.skip()
		if !f.fixed {
			d.forget(f, e)
		}
	case f.kind == aNumber:
		d.number(f, e)
	case f.kind == aTime:
		d.time(f, e)
	case f.kind == aText && c == '"':
		e.texts[f.slot] = d.scan.text()
	case f.kind == anObject && c == '{':
		d.object(f, e)
	case f.kind == theNode && c == '{':
		d.readNode()
	case f.kind == podList && c == '[':
		d.readPods()
	case f.kind == containerList && c == '[':
		d.readContainers()
	case f.kind == interfaceList && c == '[':
		d.readInterfaces(e)
	default:
		d.otherType(f.path)
		d.scan.skip()
		if e == nil {
			d.tell(place{whole: true})
		}
	}
}

// forget makes a field absent that may have had a value before.
func (d *decoder) forget(f *field, e *entity) {
	switch f.kind {
	case aNumber:
		e.unset(model.Metric(f.slot))
	case aTime:
		e.times[f.slot] = instant{}
	case aText: // null is no name
	case anObject:
		for _, member := range f.fields {
			d.forget(member, e)
		}
	case podList:
		d.pods, d.morePods = d.pods[:0], 0
	case containerList:
		d.containers, d.moreContainers = d.containers[:0], 0
	case interfaceList:
		e.rx, e.tx = sum{}, sum{}
	}
}

// number reads a metric.
func (d *decoder) number(f *field, e *entity) {
	metric := model.Metric(f.slot)
	e.unset(metric)
	v, ok := uint64(0), false
	if c := d.scan.peek(); isDigit(c) || c == '-' {
		v, ok = d.scan.number()
	} else {
		d.scan.skip()
	}
	switch {
	case !ok:
		e.invalid |= 1 << metric
		d.flaw("%s is no unsigned integer", f.path)
	case v > f.limit:
		e.invalid |= 1 << metric
		d.flaw("%s is absurd: %d", f.path, v)
	default:
		e.sample.Set(metric, v)
	}
}

// time reads a time.
func (d *decoder) time(f *field, e *entity) {
	var t instant
	ok := d.scan.peek() == '"'
	if ok {
		t, ok = d.parseTime(d.scan.text())
	} else {
		d.scan.skip()
	}
	e.times[f.slot] = t
	if !ok {
		d.flaw("%s is no time", f.path)
	}
}

// parseTime takes what metav1.Time takes (RFC 3339), from 1970 on. The
// kubelet's "no time" is null or the year 1.
func (d *decoder) parseTime(text []byte) (t instant, ok bool) {
	if d.lastTime.known && bytes.Equal(text, d.lastText) {
		return d.lastTime, true
	}
	parsed, err := time.Parse(time.RFC3339, string(text))
	switch {
	case err != nil:
		return instant{}, false
	case parsed.IsZero():
		return instant{}, true
	case parsed.Unix() < 0:
		return instant{}, false
	}
	d.lastText, d.lastTime = text, instant{seconds: parsed.Unix(), known: true}
	return d.lastTime, true
}

// element reads one entry of a list as a new entity. It is not ok if the
// entry is no object; null is an empty one, as in Go.
func (d *decoder) element(of *field, list string, e *entity) (ok bool) {
	*e = entity{}
	switch d.scan.peek() {
	case '{':
		d.object(of, e)
	case 'n':
		d.scan.skip()
	default:
		d.otherType(list + "[]")
		d.scan.skip()
		return false
	}
	return d.scan.err == nil
}

func (d *decoder) readNode() {
	// Not emptied: a second node would be the same object.
	d.object(nodeFields, &d.node)
	d.hasNode = true
	d.nodeSample = d.sample(&d.node)
	d.tell(place{})
}

func (d *decoder) readPods() {
	d.pods, d.morePods = d.pods[:0], 0
	for more := d.scan.begin('['); more; more = d.scan.next(']') {
		d.containers, d.moreContainers = d.containers[:0], 0
		where := place{whole: true}
		if d.element(podFields, "pods", &d.pod) {
			d.addPod()
			where.namespace, where.pod = d.pod.texts[namespaceText], d.pod.texts[nameText]
			where.whole = len(where.namespace) == 0 && len(where.pod) == 0
		}
		d.tell(where)
		if len(d.pods) == 2*maxPods {
			d.settlePods()
		}
	}
}

func (d *decoder) readContainers() {
	d.containers, d.moreContainers = d.containers[:0], 0
	for more := d.scan.begin('['); more; more = d.scan.next(']') {
		before := len(d.flaws)
		if d.element(containerFields, "containers", &d.container) {
			d.addContainer(d.flaws[before:])
		}
	}
}

// readInterfaces adds up what the interfaces have, but for the loopback.
func (d *decoder) readInterfaces(e *entity) {
	e.rx, e.tx = sum{}, sum{}
	// Of interest is only whether there is a sum, and that only if there is
	// no default interface.
	d.mute = true
	for more := d.scan.begin('['); more; more = d.scan.next(']') {
		switch ok := d.element(interfaceFields, "", &d.nic); {
		case !ok:
			e.rx.invalid, e.tx.invalid = true, true
		case string(d.nic.texts[nameText]) != "lo":
			e.rx.add(&d.nic, model.NetworkRx)
			e.tx.add(&d.nic, model.NetworkTx)
		}
	}
	d.mute = false
}
