package apiserver

import (
	"context"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/rollcall-metrics/rollcall/e2e/fleet/virtual"
)

// heartbeat is how often a kubelet reports its node's status if nothing changes: its
// nodeStatusReportFrequency.
const heartbeat = 5 * time.Minute

// A server answers an aggregator.
type server struct {
	mux        *http.ServeMux
	nodes      *resource
	pods       *roll
	resolution time.Duration

	accessReviews, tokenReviews atomic.Int64

	mu      sync.Mutex
	held    chan struct{} // lists of pods wait until it is closed; nil: they do not
	unknown []string
}

// newCensus says who is in the fleet.
func newCensus(q Request) (*virtual.Census, error) {
	return virtual.NewCensus(virtual.Config{Nodes: q.Nodes, Pods: q.Pods, Resolution: q.Resolution, Seed: q.Seed, Deployments: q.Deployments})
}

func newServer(q Request, census *virtual.Census) (*server, error) {
	ca, err := os.ReadFile(q.FrontProxyCA)
	if err != nil {
		return nil, err
	}
	clients, err := os.ReadFile(q.Files.CA)
	if err != nil {
		return nil, err
	}
	s := &server{mux: http.NewServeMux(), resolution: q.Resolution, pods: newRoll(census, q, time.Now())}
	s.nodes = newResource(func() runtime.Object { return &corev1.NodeList{} }, func() object { return &corev1.Node{} })
	s.nodes.set(q.Nodes, func(i int) object { return nodeObject(i) })
	trusted := newResource(func() runtime.Object { return &corev1.ConfigMapList{} }, func() object { return &corev1.ConfigMap{} })
	trusted.set(1, func(int) object { return trust(string(clients), string(ca)) })
	agent := newResource(func() runtime.Object { return &appsv1.DaemonSetList{} }, func() object { return &appsv1.DaemonSet{} })
	agent.set(1, func(int) object { return daemonSet(q.Namespace) })

	s.mux.Handle("GET /api/v1/nodes", s.nodes)
	s.mux.HandleFunc("GET /api/v1/pods", s.servePods)
	s.mux.Handle("GET /api/v1/namespaces/"+trustNamespace+"/configmaps", trusted)
	s.mux.HandleFunc("GET /api/v1/namespaces/"+trustNamespace+"/configmaps/"+trustName, func(w http.ResponseWriter, r *http.Request) {
		reply(w, r, http.StatusOK, trust(string(clients), string(ca)))
	})
	s.mux.Handle("GET /apis/apps/v1/namespaces/"+q.Namespace+"/daemonsets", agent)
	s.mux.HandleFunc("POST /apis/authorization.k8s.io/v1/subjectaccessreviews", s.reviewAccess)
	s.mux.HandleFunc("POST /apis/authentication.k8s.io/v1/tokenreviews", s.reviewToken)
	s.mux.HandleFunc("/", s.refuse)
	return s, nil
}

// ServeHTTP implements [http.Handler].
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

func (s *server) servePods(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	held := s.held
	s.mu.Unlock()
	if held != nil && !watching(r) {
		select {
		case <-held:
		case <-r.Context().Done():
			return
		}
	}
	s.pods.ServeHTTP(w, r)
}

// hold has lists of pods wait, or ends that.
func (s *server) hold(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case on && s.held == nil:
		s.held = make(chan struct{})
	case !on && s.held != nil:
		close(s.held)
		s.held = nil
	}
}

// refuse answers what there is not.
func (s *server) refuse(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	if asked := r.Method + " " + r.URL.Path; !slices.Contains(s.unknown, asked) {
		s.unknown = append(s.unknown, asked)
	}
	s.mu.Unlock()
	err := apierrors.NewNotFound(schema.GroupResource{Resource: r.URL.Path}, "")
	err.ErrStatus.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
	reply(w, r, http.StatusNotFound, &err.ErrStatus)
}

func (s *server) counts() Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Counts{
		AccessReviews: s.accessReviews.Load(), TokenReviews: s.tokenReviews.Load(),
		Pods: s.pods.listed.Load(), Events: s.pods.sent.Load() + s.nodes.sent.Load(),
		Unknown: slices.Clone(s.unknown),
	}
}

// move has nodes say that they are well, and pods replaced, until ctx ends.
func (s *server) move(ctx context.Context) {
	second := time.NewTicker(time.Second)
	defer second.Stop()
	began := time.Now()
	beats := 0
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-second.C:
			total := s.nodes.latest().n
			var events []event
			for due := int(float64(total) * now.Sub(began).Seconds() / heartbeat.Seconds()); beats < due; beats++ {
				node := beats % total
				events = append(events, event{kind: watch.Modified, object: func() object { return nodeObject(node) }})
			}
			s.nodes.tell(nil, events)
			s.pods.move(now)
		}
	}
}

// reply answers with an object: in protobuf, unless JSON is asked for.
func reply(w http.ResponseWriter, r *http.Request, status int, o runtime.Object) {
	info := wanted(r)
	w.Header().Set("Content-Type", info.MediaType)
	w.WriteHeader(status)
	_ = scheme.Codecs.EncoderForVersion(info.Serializer, versions).Encode(o, w) // a client that hung up
}

// versions are those of what is served.
var versions = schema.GroupVersions(scheme.Scheme.PrioritizedVersionsAllGroups())

// wanted is how the client wants an answer coded.
func wanted(r *http.Request) runtime.SerializerInfo {
	mediaType := runtime.ContentTypeJSON
	if strings.Contains(r.Header.Get("Accept"), runtime.ContentTypeProtobuf) {
		mediaType = runtime.ContentTypeProtobuf
	}
	info, _ := runtime.SerializerInfoForMediaType(scheme.Codecs.SupportedMediaTypes(), mediaType)
	return info
}
