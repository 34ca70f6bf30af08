package wire

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"google.golang.org/protobuf/encoding/protodelim"

	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// stream is a whole answer with an item of each kind.
func stream(t testing.TB) []byte {
	var b bytes.Buffer
	w, err := NewWriter(&b, &Header{Node: "node-1", Resolution: 15, Retention: 86400, Time: 1795230885123})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(
		w.Chunk([]byte("first")), w.Chunk([]byte("second")), w.Binned([]byte("sums"), []byte("counts")),
		w.Binned([]byte("largest"), nil), w.Pod("shop", "cart"), w.End(true, errors.New("half a disk")),
	); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func readAll(b []byte) (items []Item, r *Reader, err error) {
	r, err = NewReader(bytes.NewReader(b), -1)
	for err == nil {
		var item Item
		if item, err = r.Next(); err == nil {
			items = append(items, item)
		}
	}
	return items, r, err
}

func TestFrames(t *testing.T) {
	items, r, err := readAll(stream(t))
	want := []Item{
		{Chunk: []byte("first")}, {Chunk: []byte("second")}, {Values: []byte("sums"), Weights: []byte("counts")},
		{Values: []byte("largest")}, {Namespace: "shop", Pod: "cart"},
	}
	if err != io.EOF || !reflect.DeepEqual(items, want) {
		t.Fatalf("items %q, error %v", items, err)
	}
	if r.Header.GetNode() != "node-1" || r.Header.GetRetention() != 86400 || r.Header.GetTime() != 1795230885123 || !r.End.GetKnown() || r.End.GetError() != "half a disk" {
		t.Fatalf("header %v, end %v", r.Header, r.End)
	}
}

// TestFramesAreProtobuf reads what is written by hand with the generated code,
// and the other way round.
func TestFramesAreProtobuf(t *testing.T) {
	var frames []*Frame
	var again bytes.Buffer
	for in := bufio.NewReader(bytes.NewReader(stream(t))); ; {
		f := new(Frame)
		if err := protodelim.UnmarshalFrom(in, f); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		frames = append(frames, f)
		if _, err := protodelim.MarshalTo(&again, f); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(frames); n != 7 || frames[3].GetBinned() == nil || string(frames[3].GetBinned().GetWeights()) != "counts" ||
		frames[5].GetPod().GetName() != "cart" || frames[n-1].GetEnd().GetChunks() != 4 {
		t.Errorf("frames %v", frames)
	}
	want, _, _ := readAll(stream(t))
	if got, _, err := readAll(again.Bytes()); err != io.EOF || !reflect.DeepEqual(got, want) {
		t.Errorf("items %q, error %v", got, err)
	}
}

// TestReaderBuffers reads an answer in pieces of every kind: items stay what
// they were, and no more memory is asked for than bytes came.
func TestReaderBuffers(t *testing.T) {
	var b bytes.Buffer
	w, err := NewWriter(&b, &Header{Node: "node-1"})
	if err != nil {
		t.Fatal(err)
	}
	var want []Item
	for i := range 200 {
		c := bytes.Repeat([]byte{byte(i)}, i*i)
		want = append(want, Item{Chunk: c})
		if err := w.Chunk(c); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.End(true, nil); err != nil {
		t.Fatal(err)
	}
	whole := b.Bytes()
	for name, in := range map[string]io.Reader{
		"whole": bytes.NewReader(whole), "bytes": iotest.OneByteReader(bytes.NewReader(whole)),
		"halves": iotest.HalfReader(bytes.NewReader(whole)), "with the end": iotest.DataErrReader(bytes.NewReader(whole)),
	} {
		for _, size := range []int64{-1, 0, 1, int64(len(whole)), 1 << 50} {
			r, err := NewReader(in, size)
			var got []Item
			for err == nil {
				var item Item
				if item, err = r.Next(); err == nil {
					got = append(got, item)
				}
			}
			if s, ok := in.(io.Seeker); ok {
				_, _ = s.Seek(0, io.SeekStart)
			} else if len(got) == 0 {
				break // read before
			}
			if err != io.EOF || !reflect.DeepEqual(got, want) {
				t.Errorf("%s, size %d: %d items, %v", name, size, len(got), err)
			}
		}
	}
	// A frame that claims 4 MiB and does not come.
	claim := append(binary.AppendUvarint(nil, maxFrame), make([]byte, 1000)...)
	r := &Reader{r: bytes.NewReader(claim), buf: make([]byte, 0, firstBuffer)}
	if _, err := r.Next(); !errors.Is(err, ErrTruncated) || cap(r.buf) > 8*len(claim) {
		t.Errorf("%v, a buffer of %d bytes for %d", err, cap(r.buf), len(claim))
	}
}

// TestContentLength: what is small is sent with its length, in one piece.
func TestContentLength(t *testing.T) {
	for size, want := range map[int]bool{100: true, writeAt: false} {
		rec := httptest.NewRecorder()
		w, err := NewWriter(rec, &Header{Node: "node-1"})
		if err = errors.Join(err, w.Chunk(make([]byte, size)), w.End(true, nil)); err != nil {
			t.Fatal(err)
		}
		got := rec.Header().Get("Content-Length")
		if (got != "") != want || (want && got != strconv.Itoa(rec.Body.Len())) {
			t.Errorf("chunk of %d bytes: Content-Length %q of %d", size, got, rec.Body.Len())
		}
	}
}

func TestCutAnywhere(t *testing.T) {
	whole := stream(t)
	for n := range whole {
		if _, _, err := readAll(whole[:n]); !errors.Is(err, ErrTruncated) {
			t.Fatalf("cut at %d of %d: %v", n, len(whole), err)
		}
	}
}

func TestMalformed(t *testing.T) {
	for name, b := range map[string]string{
		"a web page":       "<!DOCTYPE html><html><body>hello, this is a proxy</body></html>",
		"json":             `{"error":{"code":"internal"}}`,
		"no header":        string(stream(t)[1+stream(t)[0]:]),
		"steps, no values": "\x02\x22\x00",
		"pod, no name":     "\x02\x2a\x00",
		"a frame too long": "\xff\xff\xff\xff\x7f",
		"an endless size":  strings.Repeat("\xff", 20),
	} {
		if _, _, err := readAll([]byte(b)); !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrTruncated) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzReader(f *testing.F) {
	f.Add(stream(f))
	f.Fuzz(func(t *testing.T, b []byte) {
		items, r, err := readAll(b)
		chunks := 0
		for _, item := range items {
			if item.Pod == "" {
				chunks++
			}
		}
		if err == io.EOF && r.End.GetChunks() != uint64(chunks) {
			t.Fatalf("%d chunks, the end says %d", chunks, r.End.GetChunks())
		}
	})
}

func TestQuery(t *testing.T) {
	for _, q := range []model.Query{
		{From: 1, To: 2},
		{From: -5, To: 1 << 40, Pods: true},
		{Pods: true, Namespace: "a&b", Pod: "c=d"},
		{Pods: true, NoOwn: true, From: 1, To: 2},
		{Pods: true, Namespace: "a", Pod: "b", Container: "c", Metrics: model.MetricsOf(model.CPU, model.RSS), Step: 60, Agg: model.Mean},
	} {
		got, err := ParseQuery(Values(q))
		if err != nil || got != q {
			t.Errorf("%+v became %+v, %v", q, got, err)
		}
	}
	for query, want := range map[string]string{
		"":                               "from and to",
		"from=1":                         "from and to",
		"from=1&to=x":                    `"to"`,
		"from=2&to=1":                    "after",
		"from=1&to=2&pod=a":              "pod needs a namespace",
		"from=1&to=2&namespace=a":        "pods=true",
		"from=1&to=2&pods=perhaps":       `"pods"`,
		"from=1&to=2&own=false":          "pods=true",
		"from=1&to=2&to=3":               "2 times",
		"from=1&to=2&teapot=60":          `"teapot": unknown`,
		"from=1&to=2&step=60":            "step and agg",
		"from=1&to=2&step=0&agg=max":     `"step"`,
		"from=1&to=2&step=60&agg=p99":    `"agg"`,
		"from=1&to=2&metrics=0":          `"metrics"`,
		"from=1&to=2&metrics=4294967295": `"metrics"`,
		"from=1&to=2&container=a":        "container needs a pod",
		"from=1&to=99999999999999999999": `"to"`,
	} {
		v, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseQuery(v); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want it to name %s", query, err, want)
		}
	}
}

func TestLatestQuery(t *testing.T) {
	for _, want := range []Latest{{}, {To: 1795230000, Since: 15}, {To: 1795230000, Since: 15, Late: true}} {
		if got, err := ParseLatest(want.Values()); err != nil || got != want {
			t.Errorf("%+v became %+v, %v", want, got, err)
		}
	}
	for query, want := range map[string]string{
		"": "to and since", "to=1": "to and since", "to=1&since=x": `"since"`, "to=1&since=2&teapot=3": `"teapot"`, "to=1&to=1&since=2": "2 times",
		"to=1&since=2&late=perhaps": `"late"`,
	} {
		v, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseLatest(v); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want it to name %s", query, err, want)
		}
	}
}
