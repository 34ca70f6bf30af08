package followtest

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"syscall"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/streaming"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
)

// Protobuf is the content type of a [Server]'s lists.
const Protobuf = "application/vnd.kubernetes.protobuf"

// Config has typed clients ask it, in protobuf. They end with the test.
func (s *Server) Config() *rest.Config {
	listener := &pipes{accepted: make(chan net.Conn), closed: make(chan struct{})}
	server := httptest.NewUnstartedServer(s)
	_ = server.Listener.Close()
	server.Listener = listener
	server.Start()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		s.mu.Lock()
		down := s.down
		s.mu.Unlock()
		if down {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
		}
		conn, err := listener.dial(ctx)
		if err == nil {
			s.mu.Lock()
			s.conns = append(s.conns, conn)
			s.mu.Unlock()
		}
		return conn, err
	}}
	s.t.Cleanup(func() {
		transport.CloseIdleConnections()
		s.Cut()
		server.Close()
	})
	return &rest.Config{Host: "http://api", Transport: transport, QPS: -1, ContentConfig: rest.ContentConfig{
		ContentType: Protobuf, AcceptContentTypes: Protobuf + ",application/json",
	}}
}

// Watching tells whether a request is to watch; otherwise it is to list.
func Watching(r *http.Request) bool { return r.URL.Query().Get("watch") != "" }

// Status answers with an error as an API server words it.
func Status(err *apierrors.StatusError) Answer {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(int(err.ErrStatus.Code))
		said := err.ErrStatus
		said.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
		b, _ := runtime.Encode(scheme.Codecs.LegacyCodec(schema.GroupVersion{Version: "v1"}), &said)
		_, _ = w.Write(b)
		return true
	}
}

// Text answers 200 with a text.
func Text(contentType, body string) Answer {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Content-Type", contentType)
		_, _ = w.Write([]byte(body))
		return true
	}
}

// ToWatches answers watches only.
func ToWatches(answer Answer) Answer {
	return func(w http.ResponseWriter, r *http.Request) bool { return Watching(r) && answer(w, r) }
}

func serveWatch(w http.ResponseWriter, r *http.Request, events <-chan watch.Event) {
	info := protobufInfo()
	w.Header().Set("Content-Type", Protobuf+";stream=watch")
	w.WriteHeader(http.StatusOK)
	flush := w.(http.Flusher).Flush
	flush()
	out := streaming.NewEncoder(info.StreamSerializer.NewFrameWriter(w), scheme.Codecs.EncoderForVersion(info.StreamSerializer.Serializer, schema.GroupVersion{Version: "v1"}))
	for {
		select {
		case <-r.Context().Done():
			return
		case e := <-events:
			var raw bytes.Buffer
			_ = encoder().Encode(e.Object, &raw)
			if err := out.Encode(&metav1.WatchEvent{Type: string(e.Type), Object: runtime.RawExtension{Raw: raw.Bytes()}}); err != nil {
				return
			}
			flush()
		}
	}
}

func protobufInfo() runtime.SerializerInfo {
	info, _ := runtime.SerializerInfoForMediaType(scheme.Codecs.SupportedMediaTypes(), Protobuf)
	return info
}

func encoder() runtime.Encoder {
	return scheme.Codecs.EncoderForVersion(protobufInfo().Serializer, schema.GroupVersions{corev1.SchemeGroupVersion, appsv1.SchemeGroupVersion})
}

// pipes is a listener within the process.
type pipes struct {
	accepted chan net.Conn
	closed   chan struct{}
	once     sync.Once
}

func (p *pipes) dial(ctx context.Context) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p.accepted <- server:
		return client, nil
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.accepted:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "api", Net: "pipe"} }
