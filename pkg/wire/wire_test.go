package wire

import (
	"bytes"
	"errors"
	"io"
	"net/url"
	"strings"
	"testing"

	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// stream is a whole answer with two chunks.
func stream(t testing.TB) []byte {
	var b bytes.Buffer
	w, err := NewWriter(&b, &Header{Node: "node-1", Resolution: 15})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []string{"first", "second"} {
		if err := w.Chunk([]byte(c)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.End(true, errors.New("half a disk")); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func readAll(b []byte) (chunks []string, r *Reader, err error) {
	r, err = NewReader(bytes.NewReader(b))
	for err == nil {
		var c []byte
		if c, err = r.Chunk(); err == nil {
			chunks = append(chunks, string(c))
		}
	}
	return chunks, r, err
}

func TestFrames(t *testing.T) {
	chunks, r, err := readAll(stream(t))
	if err != io.EOF || strings.Join(chunks, " ") != "first second" {
		t.Fatalf("chunks %q, error %v", chunks, err)
	}
	if r.Header.GetNode() != "node-1" || !r.End.GetKnown() || r.End.GetError() != "half a disk" {
		t.Fatalf("header %v, end %v", r.Header, r.End)
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
		"no header":        string(stream(t)[16:]),
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
		chunks, r, err := readAll(b)
		if err == io.EOF && r.End.GetChunks() != uint64(len(chunks)) {
			t.Fatalf("%d chunks, the end says %d", len(chunks), r.End.GetChunks())
		}
	})
}

func TestQuery(t *testing.T) {
	for _, q := range []model.Query{
		{From: 1, To: 2},
		{From: -5, To: 1 << 40, Pods: true},
		{Pods: true, Namespace: "a&b", Pod: "c=d"},
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
		"from=1&to=2&to=3":               "2 times",
		"from=1&to=2&step=60":            `"step": unknown`,
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
