package resource

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/chunk"
	"github.com/rollcall-metrics/rollcall/pkg/model"
	"github.com/rollcall-metrics/rollcall/pkg/wire"
)

const tooLarge = "read the answer: the answer is larger than a node's may be, 1MiB"

// frames answers with a header, then whatever write does.
func frames(node string, every uint32, write func(*wire.Writer)) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", wire.ContentType)
		out, _ := wire.NewWriter(w, &wire.Header{Node: node, Resolution: every, Retention: 3600})
		write(out)
	}
}

// bytesOf answers with a body that claims to be frames.
func bytesOf(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", wire.ContentType)
		_, _ = w.Write([]byte(body))
	}
}

// chunkAt is a chunk of the node with one row, so long after the slot that is due.
func chunkAt(later time.Duration) []byte {
	slot := model.Sampled(time.Now(), resolution) + int64(later/time.Second)
	b := chunk.NewBuilder(chunk.Header{Block: model.BlockOf(slot), Resolution: resolution})
	var s model.Sample
	s.Set(model.CPU, 1)
	if err := b.Append(slot, []model.Sample{s}); err != nil {
		panic(err)
	}
	return b.AppendChunk(nil)
}

// TestAgentsBodies is agents that answer nonsense: it costs what they would have
// said, and nothing of what they said before.
func TestAgentsBodies(t *testing.T) {
	good := func(out *wire.Writer) {
		_ = out.Chunk(chunkAt(0))
		_ = out.End(true, nil)
	}
	for name, c := range map[string]struct {
		answer       http.HandlerFunc
		outcome, why string
	}{
		"status 500": {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "the disk\nis gone", 500) }, "refused", "status 500: the disk is gone"},
		"status 404": {http.NotFound, "version_skew", "status 404: 404 page not found"},
		"status 403": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(403) }, "unauthorized", "status 403: "},
		"no frames": {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }, "version_skew",
			`the answer is of type "text/html; charset=utf-8", not application/vnd.rollcall.frames`},
		"no bytes":  {bytesOf(""), "truncated", "read the answer: the answer broke off"},
		"malformed": {bytesOf("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), "truncated", "read the answer: the answer is not a stream of frames: length of a frame"},
		"zeros":     {bytesOf(string(make([]byte, 100))), "truncated", "read the answer: the answer is not a stream of frames: it does not begin with a header"},
		"cut off":   {frames("node-1", 15, func(out *wire.Writer) { _ = out.Chunk(make([]byte, 20<<10)) }), "truncated", "read the answer: the answer broke off"},
		"endless": {frames("node-1", 15, func(out *wire.Writer) {
			for out.Chunk(chunkAt(0)) == nil {
			}
		}), "over_budget", tooLarge},
		"endless names": {frames("node-1", 15, func(out *wire.Writer) {
			for out.Pod("shop", "cart") == nil {
			}
		}), "over_budget", tooLarge},
		"one endless chunk": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", wire.ContentType)
			var err error
			for _, err = w.Write([]byte("\xff\xff\xff\x01\x12")); err == nil; _, err = w.Write(make([]byte, 1<<10)) {
			}
		}, "over_budget", tooLarge},
		"endless header": {func(w http.ResponseWriter, _ *http.Request) {
			for range 1000 {
				w.Header().Add("X", "a value that is as long as values mostly are")
			}
		}, "truncated", "wait for the answer: the answer's header is too long"},
		"no answer":      {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "timeout", "wait for the answer: context deadline exceeded"},
		"another node's": {frames("node-2", 15, good), "unauthorized", `it answers for another node, "node-2"`},
		"another resolution": {frames("node-1", 30, good), "version_skew",
			"it samples every 30s, this aggregator expects every 15s; --metric-resolution has to be the same"},
		"chunk that is none":          {frames("node-1", 15, func(out *wire.Writer) { _ = out.Chunk([]byte("?")); _ = out.End(true, nil) }), "truncated", "corrupt chunk: format version 63, this program reads 1"},
		"slot that is not over yet":   {frames("node-1", 15, func(out *wire.Writer) { _ = out.Chunk(chunkAt(resolution)); _ = out.End(true, nil) }), "truncated", "asked for slots up to 9466…, it answers with slot 9466…"},
		"slots of two times":          {frames("node-1", 15, func(out *wire.Writer) { _ = out.Chunk(chunkAt(-resolution)); good(out) }), "truncated", "a scrape of the slots 9466… and 9466…"},
		"history that it cannot read": {frames("node-1", 15, func(out *wire.Writer) { _ = out.End(false, errors.New("damaged")) }), "truncated", "it could not read its history: damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			inFleet(t, []string{"node-1", "node-2"}, running(func(f *fleet) {
				f.node().answering(c.answer)
				f.until(107)
				f.expect("shop/cart", "app 100m 64Mi @80 20s")
				f.expect("node-2", "1500m 4Gi @90 20s")
				f.until(137)
				f.expect("shop/cart", "app 100m 64Mi @80 20s")
				f.until(152)
				f.expect("shop/cart", fmt.Sprintf("none: node node-1: %s (…%s)", c.outcome, c.why))
				f.node().answering(nil)
				f.until(197)
				f.expect("shop/cart", "app 100m 64Mi @180 10s")
			}))
		})
	}
}

// A part of a scrape does not cost what is not in it.
func TestAgentThatCanReadAPart(t *testing.T) {
	inFleet(t, []string{"node-1", "node-2"}, running(func(f *fleet) {
		f.node().answering(frames("node-1", 15, func(out *wire.Writer) {
			_ = out.Chunk(chunkAt(0))
			_ = out.End(true, errors.New("damaged"))
		}))
		f.until(107)
		f.expect("node-2", "1500m 4Gi @90 20s")
		f.expect("shop/cart", "app 100m 64Mi @80 20s")
	}))
}
