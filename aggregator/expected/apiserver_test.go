package expected

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/streaming"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/scheme"
	typedapps "k8s.io/client-go/kubernetes/typed/apps/v1"
	typedcore "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
)

const (
	protobuf = "application/vnd.kubernetes.protobuf"
	// The paths at which an apiServer answers.
	nodesPath = "/api/v1/nodes"
	agentPath = "/apis/apps/v1/namespaces/rollcall/daemonsets"
)

// apiServer is as much of an API server as a Cluster asks, over HTTP and
// net.Pipe, so that it works in a bubble of synctest. Whatever it is told to do
// it does to one path.
type apiServer struct {
	t *testing.T

	mu       sync.Mutex
	version  int64
	kinds    map[string]*kind // by path
	requests []string         // path?query of each
	down     bool
	conns    []net.Conn
}

// kind is what there is at one path.
type kind struct {
	objects map[string]object
	watches []chan watch.Event
	refuse  func(w http.ResponseWriter, watching bool) bool // answers instead, and then tells so
}

type object interface {
	runtime.Object
	metav1.Object
}

func newAPIServer(t *testing.T) *apiServer {
	s := &apiServer{t: t, version: 1, kinds: map[string]*kind{
		nodesPath: {objects: map[string]object{}}, agentPath: {objects: map[string]object{}},
	}}
	return s
}

// config has typed clients that ask it. They end with the test.
func (s *apiServer) config() ClusterConfig {
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
		s.cut()
		server.Close()
	})
	cfg := &rest.Config{Host: "http://api", Transport: transport, QPS: -1, ContentConfig: rest.ContentConfig{
		ContentType: protobuf, AcceptContentTypes: protobuf + ",application/json",
	}}
	core, err := typedcore.NewForConfig(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	apps, err := typedapps.NewForConfig(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	return ClusterConfig{Nodes: core.Nodes(), DaemonSets: apps.DaemonSets("rollcall"), Namespace: "rollcall"}
}

func pathOf(o object) string {
	if _, ok := o.(*corev1.Node); ok {
		return nodesPath
	}
	return agentPath
}

// set adds or changes an object, and tells watches.
func (s *apiServer) set(o object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version++
	o.SetResourceVersion(strconv.FormatInt(s.version, 10))
	k := s.kinds[pathOf(o)]
	event := watch.Event{Type: watch.Modified, Object: o}
	if _, ok := k.objects[o.GetName()]; !ok {
		event.Type = watch.Added
	}
	k.objects[o.GetName()] = o
	for _, w := range k.watches {
		w <- event
	}
}

// remove removes an object, and tells watches.
func (s *apiServer) remove(path, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version++
	k := s.kinds[path]
	o := k.objects[name].DeepCopyObject().(object)
	o.SetResourceVersion(strconv.FormatInt(s.version, 10))
	delete(k.objects, name)
	for _, w := range k.watches {
		w <- watch.Event{Type: watch.Deleted, Object: o}
	}
}

// forget removes an object without telling anyone.
func (s *apiServer) forget(path, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.kinds[path].objects, name)
}

// send sends an event to the watches of a path.
func (s *apiServer) send(path string, e watch.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.kinds[path].watches {
		w <- e
	}
}

// answer has a path answer like that, until it is called with nil.
func (s *apiServer) answer(path string, refuse func(w http.ResponseWriter, watching bool) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kinds[path].refuse = refuse
}

// setDown has nobody listen any more, and cuts what is connected; or the
// opposite.
func (s *apiServer) setDown(down bool) {
	s.mu.Lock()
	s.down = down
	s.mu.Unlock()
	if down {
		s.cut()
	}
}

// cut cuts all connections.
func (s *apiServer) cut() {
	s.mu.Lock()
	conns := s.conns
	s.conns = nil
	s.mu.Unlock()
	for _, c := range conns {
		_ = c.Close()
	}
}

// asked are the requests for a path since the last call.
func (s *apiServer) asked(path string) (queries []url.Values) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = slices.DeleteFunc(s.requests, func(r string) bool {
		u, _ := url.Parse(r)
		if u.Path != path {
			return false
		}
		queries = append(queries, u.Query())
		return true
	})
	return queries
}

func (s *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	s.mu.Lock()
	s.requests = append(s.requests, r.URL.String())
	k := s.kinds[r.URL.Path]
	if refuse := k.refuse; refuse != nil {
		s.mu.Unlock()
		if refuse(w, query.Get("watch") != "") {
			return
		}
		s.mu.Lock()
	}
	if query.Get("watch") == "" {
		list := s.list(r.URL.Path, query)
		s.mu.Unlock()
		w.Header().Set("Content-Type", protobuf)
		_ = encoder().Encode(list, w)
		return
	}
	events := make(chan watch.Event, 100)
	k.watches = append(k.watches, events)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		k.watches = slices.DeleteFunc(k.watches, func(c chan watch.Event) bool { return c == events })
	}()
	serveWatch(w, r, events)
}

// list is a page, by name. The caller holds s.mu.
func (s *apiServer) list(path string, query url.Values) runtime.Object {
	k := s.kinds[path]
	var names []string
	for name := range k.objects {
		if only := query.Get("fieldSelector"); only == "" || only == "metadata.name="+name {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	meta := metav1.ListMeta{ResourceVersion: strconv.FormatInt(s.version, 10)}
	from, _ := strconv.Atoi(query.Get("continue"))
	to := len(names)
	if limit, _ := strconv.Atoi(query.Get("limit")); limit > 0 && from+limit < to {
		to = from + limit
		meta.Continue = strconv.Itoa(to)
	}
	if path == agentPath {
		list := &appsv1.DaemonSetList{ListMeta: meta}
		for _, name := range names[from:to] {
			list.Items = append(list.Items, *k.objects[name].(*appsv1.DaemonSet))
		}
		return list
	}
	list := &corev1.NodeList{ListMeta: meta}
	for _, name := range names[from:to] {
		list.Items = append(list.Items, *k.objects[name].(*corev1.Node))
	}
	return list
}

func serveWatch(w http.ResponseWriter, r *http.Request, events <-chan watch.Event) {
	info := protobufInfo()
	w.Header().Set("Content-Type", protobuf+";stream=watch")
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
	info, _ := runtime.SerializerInfoForMediaType(scheme.Codecs.SupportedMediaTypes(), protobuf)
	return info
}

func encoder() runtime.Encoder {
	return scheme.Codecs.EncoderForVersion(protobufInfo().Serializer, schema.GroupVersions{corev1.SchemeGroupVersion, appsv1.SchemeGroupVersion})
}

// status answers with an error as an API server words it.
func status(err *apierrors.StatusError) func(http.ResponseWriter, bool) bool {
	return func(w http.ResponseWriter, _ bool) bool {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(int(err.ErrStatus.Code))
		err.ErrStatus.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
		b, _ := runtime.Encode(scheme.Codecs.LegacyCodec(schema.GroupVersion{Version: "v1"}), &err.ErrStatus)
		_, _ = w.Write(b)
		return true
	}
}

// text answers 200 with a text.
func text(contentType, body string) func(http.ResponseWriter, bool) bool {
	return func(w http.ResponseWriter, _ bool) bool {
		w.Header().Set("Content-Type", contentType)
		_, _ = w.Write([]byte(body))
		return true
	}
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
