package apiserver

import (
	"bytes"
	"net/http"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/streaming"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/scheme"
)

// bookmarkEvery is how often a watch hears that nothing has changed, about, as of an
// API server.
const bookmarkEvery = time.Minute

func watching(r *http.Request) bool {
	on, _ := strconv.ParseBool(r.URL.Query().Get("watch"))
	return on
}

// serveWatch sends events until the client or its time is up.
func (r *resource) serveWatch(w http.ResponseWriter, q *http.Request) {
	query := q.URL.Query()
	limit, err := strconv.Atoi(query.Get("timeoutSeconds"))
	if err != nil {
		limit = 1800
	}
	ends := time.NewTimer(time.Duration(limit) * time.Second)
	defer ends.Stop()
	bookmarks := time.NewTicker(bookmarkEvery)
	defer bookmarks.Stop()
	s := newStream(w, q)
	from, err := strconv.ParseInt(query.Get("resourceVersion"), 10, 64)
	// Some clients want what a list would say as events of the watch.
	if all, _ := strconv.ParseBool(query.Get("sendInitialEvents")); err != nil || from == 0 || all {
		now := r.latest()
		from = now.version
		for i := range now.n {
			s.send(watch.Added, now.object(i))
		}
		if all {
			s.send(watch.Bookmark, r.bookmark(from, true))
		}
	}
	for s.err == nil {
		events, version, changed := r.since(from)
		for _, e := range events {
			o := e.object()
			o.SetResourceVersion(strconv.FormatInt(e.version, 10))
			s.send(e.kind, o)
		}
		s.flush()
		r.sent.Add(int64(len(events)))
		from = version
		select {
		case <-changed:
		case <-bookmarks.C:
			s.send(watch.Bookmark, r.bookmark(from, false))
		case <-ends.C:
			return
		case <-q.Context().Done():
			return
		}
	}
}

// bookmark says that a watch is at a version, and perhaps that it is now as a list
// would be.
func (r *resource) bookmark(version int64, initial bool) object {
	o := r.empty()
	o.SetResourceVersion(strconv.FormatInt(version, 10))
	if initial {
		o.SetAnnotations(map[string]string{metav1.InitialEventsAnnotationKey: "true"})
	}
	return o
}

// A stream is the answer to a watch.
type stream struct {
	out    streaming.Encoder
	object runtime.Encoder
	flush  func()
	raw    bytes.Buffer
	err    error // of the first that failed
}

func newStream(w http.ResponseWriter, r *http.Request) *stream {
	info := wanted(r)
	w.Header().Set("Content-Type", info.MediaType+";stream=watch")
	w.WriteHeader(http.StatusOK)
	s := &stream{
		out: streaming.NewEncoder(info.StreamSerializer.NewFrameWriter(w),
			scheme.Codecs.EncoderForVersion(info.StreamSerializer.Serializer, corev1.SchemeGroupVersion)),
		object: scheme.Codecs.EncoderForVersion(info.Serializer, versions),
		flush:  func() { _ = http.NewResponseController(w).Flush() },
	}
	s.flush() // the client waits for the header
	return s
}

func (s *stream) send(kind watch.EventType, o runtime.Object) {
	if s.err != nil {
		return
	}
	s.raw.Reset()
	if s.err = s.object.Encode(o, &s.raw); s.err == nil {
		s.err = s.out.Encode(&metav1.WatchEvent{Type: string(kind), Object: runtime.RawExtension{Raw: s.raw.Bytes()}})
	}
}
