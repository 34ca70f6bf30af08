package resource

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/authentication/authenticatorfactory"
	"k8s.io/apiserver/pkg/authentication/request/headerrequest"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	"k8s.io/apiserver/pkg/authorization/path"
	"k8s.io/apiserver/pkg/authorization/union"
	"k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	"k8s.io/client-go/kubernetes"
)

const (
	// The ConfigMap in which the API server says how it is known when it passes on
	// somebody's request.
	trustNamespace, trustConfigMap = "kube-system", "extension-apiserver-authentication"

	// tokenTTL is how long a verdict about a token is believed, of the API
	// server's TokenReview: what k8s.io/apiserver's servers do.
	tokenTTL = 10 * time.Second
	// allowedTTL is how long a right is believed, of a SubjectAccessReview: as long
	// as kubelets do. The API server has checked it itself for what it passes on, and
	// asks for each HorizontalPodAutoscaler every 15 s, each of which is a right of
	// its own, as selectors are part of it.
	allowedTTL, deniedTTL = 5 * time.Minute, 10 * time.Second
	reviewTimeout         = 10 * time.Second
)

// reviewBackoff is how reviews that fail are asked again.
func reviewBackoff() *wait.Backoff {
	return &wait.Backoff{Duration: 500 * time.Millisecond, Factor: 1.5, Jitter: 0.2, Steps: 3}
}

// A frontProxy is what the API server says of itself, kept up to date. The CA is
// one of its parts.
type frontProxy struct {
	*dynamiccertificates.ConfigMapCAController
	headers *headerrequest.RequestHeaderAuthRequestController
}

// RunOnce implements [dynamiccertificates.ControllerRunner].
func (p *frontProxy) RunOnce(ctx context.Context) error {
	return errors.Join(p.ConfigMapCAController.RunOnce(ctx), p.headers.RunOnce(ctx))
}

// Run implements [dynamiccertificates.ControllerRunner]. It blocks.
func (p *frontProxy) Run(ctx context.Context, workers int) {
	go p.headers.Run(ctx, workers)
	p.ConfigMapCAController.Run(ctx, workers)
}

// trust tells a server to believe the API server who asks, and to ask it about
// everyone else: client certificates by its CA, tokens, and what each may do. It
// fails if the API server does not say how it is known: without that everyone
// would be anonymous.
func trust(ctx context.Context, cfg *server.Config, client kubernetes.Interface) error {
	// First, whether it can be read at all: what follows leaves something behind.
	if _, err := client.CoreV1().ConfigMaps(trustNamespace).Get(ctx, trustConfigMap, metav1.GetOptions{}); err != nil {
		return fmt.Errorf("ConfigMap %s/%s: %w", trustNamespace, trustConfigMap, err)
	}
	clients, err := dynamiccertificates.NewDynamicCAFromConfigMapController("client-ca", trustNamespace, trustConfigMap, "client-ca-file", client)
	if err != nil {
		return err
	}
	ca, err := dynamiccertificates.NewDynamicCAFromConfigMapController("front-proxy-ca", trustNamespace, trustConfigMap, "requestheader-client-ca-file", client)
	if err != nil {
		return err
	}
	proxy := &frontProxy{ca, headerrequest.NewRequestHeaderAuthRequestController(trustConfigMap, trustNamespace, client,
		"requestheader-username-headers", "requestheader-uid-headers", "requestheader-group-headers",
		"requestheader-extra-headers-prefix", "requestheader-allowed-names")}
	if err := proxy.RunOnce(ctx); err != nil {
		return fmt.Errorf("ConfigMap %s/%s: %w", trustNamespace, trustConfigMap, err)
	}
	headers := &authenticatorfactory.RequestHeaderConfig{
		CAContentProvider:   proxy,
		UsernameHeaders:     headerrequest.StringSliceProviderFunc(proxy.headers.UsernameHeaders),
		UIDHeaders:          headerrequest.StringSliceProviderFunc(proxy.headers.UIDHeaders),
		GroupHeaders:        headerrequest.StringSliceProviderFunc(proxy.headers.GroupHeaders),
		ExtraHeaderPrefixes: headerrequest.StringSliceProviderFunc(proxy.headers.ExtraHeaderPrefixes),
		AllowedClientNames:  headerrequest.StringSliceProviderFunc(proxy.headers.AllowedClientNames),
	}
	if err := cfg.Authentication.ApplyClientCert(clients, cfg.SecureServing); err != nil {
		return err
	}
	if err := cfg.Authentication.ApplyClientCert(proxy, cfg.SecureServing); err != nil {
		return err
	}
	authenticator, definitions, err := authenticatorfactory.DelegatingAuthenticatorConfig{
		Anonymous:                          &apiserver.AnonymousAuthConfig{Enabled: true}, // what they may do, they are asked like others
		TokenAccessReviewClient:            client.AuthenticationV1(),
		TokenAccessReviewTimeout:           reviewTimeout,
		WebhookRetryBackoff:                reviewBackoff(),
		CacheTTL:                           tokenTTL,
		ClientCertificateCAContentProvider: clients,
		RequestHeaderConfig:                headers,
	}.New()
	if err != nil {
		return err
	}
	cfg.Authentication.Authenticator, cfg.Authentication.RequestHeaderConfig = authenticator, headers
	cfg.OpenAPIConfig.SecurityDefinitions = definitions
	cfg.BuildHandlerChainFunc = func(h http.Handler, c *server.Config) http.Handler {
		return await(server.DefaultBuildHandlerChain(h, c), clients, proxy)
	}
	cfg.Authorization.Authorizer, err = rights(client)
	return err
}

// A verifier has a CA to verify with, from some time on.
type verifier interface {
	VerifyOptions() (x509.VerifyOptions, bool)
}

// knownWithin is how long after the start a request waits for the CAs, which come
// about 100 ms after the server accepts: whoever came earlier would be anonymous.
// There may be none, where the API server passes nothing on.
const knownWithin = 2 * time.Second

func await(h http.Handler, all ...verifier) http.Handler {
	var known atomic.Bool
	until := time.Now().Add(knownWithin)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for !known.Load() {
			missing := slices.ContainsFunc(all, func(v verifier) bool {
				_, ok := v.VerifyOptions()
				return !ok
			})
			if !missing || time.Now().After(until) {
				known.Store(true)
				break
			}
			select {
			case <-time.After(5 * time.Millisecond):
			case <-r.Context().Done():
				return
			}
		}
		h.ServeHTTP(w, r)
	})
}

// rights asks the API server who may do what. Probes are for everyone.
func rights(client kubernetes.Interface) (authorizer.Authorizer, error) {
	probes, err := path.NewAuthorizer([]string{"/healthz", "/readyz", "/livez"})
	if err != nil {
		return nil, err
	}
	reviews, err := authorizerfactory.DelegatingAuthorizerConfig{
		SubjectAccessReviewClient: client.AuthorizationV1(),
		AllowCacheTTL:             allowedTTL,
		DenyCacheTTL:              deniedTTL,
		WebhookRetryBackoff:       reviewBackoff(),
	}.New()
	if err != nil {
		return nil, err
	}
	return union.New(authorizerfactory.NewPrivilegedGroups("system:masters"), probes, reviews), nil
}
