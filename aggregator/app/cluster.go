package app

import (
	"fmt"
	"net/http"

	"k8s.io/apimachinery/pkg/runtime"
	apps "k8s.io/client-go/kubernetes/typed/apps/v1"
	authentication "k8s.io/client-go/kubernetes/typed/authentication/v1"
	core "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
)

// cluster is the Kubernetes that this aggregator runs in. It has clients of the
// three API groups in use; the set of all groups' would be 10 MB of code.
type cluster struct {
	core           *core.CoreV1Client
	apps           *apps.AppsV1Client
	authentication *authentication.AuthenticationV1Client
}

// inCluster connects as the pod's service account, when first used.
func inCluster(version string) (*cluster, error) {
	cfg, err := rest.InClusterConfig()
	if err != nil {
		return nil, fmt.Errorf("%w; --authority and --expected-nodes=kubernetes work in a pod with a service account token", err)
	}
	cfg.UserAgent = "rollcall-aggregator/" + version
	cfg.ContentType = runtime.ContentTypeProtobuf
	cfg.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	// What is asked is bounded by who asks; the default, 5 a second, would hold up
	// agents that enrol.
	cfg.QPS = -1
	cfg.WarningHandler = rest.NoWarnings{}
	client, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return nil, err
	}
	return clientsFor(cfg, client)
}

func clientsFor(cfg *rest.Config, client *http.Client) (c *cluster, err error) {
	c = &cluster{}
	if c.core, err = core.NewForConfigAndClient(cfg, client); err != nil {
		return nil, err
	}
	if c.apps, err = apps.NewForConfigAndClient(cfg, client); err != nil {
		return nil, err
	}
	c.authentication, err = authentication.NewForConfigAndClient(cfg, client)
	return c, err
}
