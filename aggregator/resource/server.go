package resource

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	openapinamer "k8s.io/apiserver/pkg/endpoints/openapi"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/util/compatibility"
	"k8s.io/client-go/kubernetes"
	clientrest "k8s.io/client-go/rest"
	"k8s.io/metrics/pkg/apis/metrics"
	"k8s.io/metrics/pkg/apis/metrics/install"
	"k8s.io/metrics/pkg/apis/metrics/v1beta1"

	"github.com/rollcall-metrics/rollcall/aggregator/resource/openapi"
	"github.com/rollcall-metrics/rollcall/pkg/identity"
)

const (
	// requestTimeout bounds a request, the slowest reader of a list of 150,000
	// pods included.
	requestTimeout = time.Minute
	// goawayChance is how likely a client with HTTP/2 is told, with an answer, to
	// connect anew: an API server has one connection for everyone's questions,
	// which would stay with one aggregator for ever.
	goawayChance = 0.001
	// retryEvery is how often a start that failed is tried again.
	retryEvery = time.Second
)

// A Config is what a [Server] needs besides what it serves.
type Config struct {
	// Listener is closed by Run.
	Listener net.Listener
	// Identity has the serving certificate.
	Identity *identity.Source
	// Client asks the API server whom to believe.
	Client kubernetes.Interface
	// Audit says what is logged of requests; nothing if nil.
	Audit *Audit
	// Version is the program's.
	Version string
}

// A Server serves metrics.k8s.io.
type Server struct {
	cfg     Config
	storage map[string]rest.Storage
	log     *slog.Logger
	err     atomic.Pointer[error]
}

// Storage is the resources of the API by name, as k8s.io/apiserver serves them:
// lists and gets of nodes and pods. The metrics are registered with reg, once per
// registry.
func Storage(fleet *Fleet, reg prometheus.Registerer) map[string]rest.Storage {
	m := newServerMetrics(reg)
	return map[string]rest.Storage{
		"nodes": nodeStorage{readOnly{kind: "NodeMetrics", object: &metrics.NodeMetrics{}, list: &metrics.NodeMetricsList{}}, fleet, m},
		"pods":  podStorage{readOnly{kind: "PodMetrics", object: &metrics.PodMetrics{}, list: &metrics.PodMetricsList{}, namespaced: true}, fleet, m, newRooms()},
	}
}

// New returns a server that does not serve yet what is in storage.
func New(cfg Config, storage map[string]rest.Storage, log *slog.Logger) *Server {
	s := &Server{cfg: cfg, storage: storage, log: log}
	s.err.Store(new(errors.New("not started yet")))
	return s
}

// errStopped is why the API is not served any more.
var errStopped = errors.New("stopped")

// Err says why the API is not served, nil if it is.
func (s *Server) Err() error { return *s.err.Load() }

// Run serves until ctx ends, and lets answers in flight finish. It begins as soon
// as there is a certificate and the API server has said whom to believe, and tries
// until then; what fails is logged when it begins. The error is that of serving.
func (s *Server) Run(ctx context.Context) error {
	defer s.cfg.Listener.Close() // also if it never came to serving
	select {
	case <-s.cfg.Identity.Ready():
	case <-ctx.Done():
		return nil
	}
	for {
		prepared, err := s.prepare(ctx)
		if err == nil {
			s.err.Store(new(error))
			s.log.Info("serving", "server", "metrics.k8s.io", "address", s.cfg.Listener.Addr().String())
			err := prepared.PrepareRun().RunWithContext(ctx)
			s.err.Store(new(cmp.Or(err, errStopped)))
			return err
		}
		if was := s.Err(); was == nil || was.Error() != err.Error() {
			s.log.Warn("metrics.k8s.io is not served yet, trying again", "err", err)
		}
		s.err.Store(&err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(retryEvery):
		}
	}
}

// prepare makes the API server.
func (s *Server) prepare(ctx context.Context) (*server.GenericAPIServer, error) {
	cfg, group := s.configure()
	if err := trust(ctx, cfg, s.cfg.Client); err != nil {
		return nil, err
	}
	s.cfg.Audit.apply(cfg)
	return build(cfg, group)
}

// configure says what is served and how, but not to whom.
func (s *Server) configure() (*server.Config, *server.APIGroupInfo) {
	scheme := newScheme()
	codecs := serializer.NewCodecFactory(scheme)
	cfg := server.NewConfig(codecs)
	cfg.SecureServing = &server.SecureServingInfo{Listener: s.cfg.Listener, Cert: certificate{s.cfg.Identity}}
	cfg.ExternalAddress = s.cfg.Listener.Addr().String()
	cfg.LoopbackClientConfig = &clientrest.Config{} // nobody uses it
	cfg.EffectiveVersion = compatibility.DefaultBuildEffectiveVersion()
	cfg.EnableIndex, cfg.EnableProfiling, cfg.EnableMetrics = false, false, false
	cfg.RequestTimeout, cfg.GoawayChance = requestTimeout, goawayChance
	describe(cfg, scheme, s.cfg.Version)
	group := server.NewDefaultAPIGroupInfo(metrics.GroupName, scheme, metav1.ParameterCodec, codecs)
	group.VersionedResourcesStorageMap[v1beta1.SchemeGroupVersion.Version] = s.storage
	return cfg, &group
}

// build makes an API server that serves the group.
func build(cfg *server.Config, group *server.APIGroupInfo) (*server.GenericAPIServer, error) {
	api, err := cfg.Complete(nil).New("rollcall", server.NewEmptyDelegate())
	if err != nil {
		return nil, err
	}
	return api, api.InstallAPIGroup(group)
}

// newScheme is the types of the API.
func newScheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	install.Install(scheme)
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"})
	for kind, known := range map[string][]string{
		"NodeMetrics": {"metadata.name"},
		"PodMetrics":  {"metadata.name", "metadata.namespace", "spec.nodeName"},
	} {
		err := scheme.AddFieldLabelConversionFunc(v1beta1.SchemeGroupVersion.WithKind(kind), func(label, value string) (string, string, error) {
			for _, k := range known {
				if k == label {
					return label, value, nil
				}
			}
			return "", "", fmt.Errorf("field selector: %q is none of %s", label, strings.Join(known, ", "))
		})
		if err != nil {
			panic(err) // kinds that the scheme does not have
		}
	}
	return scheme
}

// describe has the server tell its types, in OpenAPI.
func describe(cfg *server.Config, scheme *runtime.Scheme, version string) {
	namer := openapinamer.NewDefinitionNamer(scheme)
	cfg.OpenAPIConfig = server.DefaultOpenAPIConfig(openapi.GetOpenAPIDefinitions, namer)
	cfg.OpenAPIV3Config = server.DefaultOpenAPIV3Config(openapi.GetOpenAPIDefinitions, namer)
	for _, info := range []*string{&cfg.OpenAPIConfig.Info.Title, &cfg.OpenAPIV3Config.Info.Title} {
		*info = "Rollcall"
	}
	for _, info := range []*string{&cfg.OpenAPIConfig.Info.Version, &cfg.OpenAPIV3Config.Info.Version} {
		*info = version
	}
}
