package app

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	apiregistration "k8s.io/kube-aggregator/pkg/client/clientset_generated/clientset/typed/apiregistration/v1"
)

// cluster is the Kubernetes that this aggregator runs in.
type cluster struct {
	kubernetes.Interface
	services *apiregistration.ApiregistrationV1Client

	clock clock
}

// A clock tells how much this machine's is ahead of the API server's, by the Date
// of its answers: whole seconds, and the time that an answer takes.
type clock struct {
	http.RoundTripper
	ahead atomic.Int64 // nanoseconds
}

// RoundTrip implements [http.RoundTripper].
func (c *clock) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := c.RoundTripper.RoundTrip(req)
	if err == nil {
		if at, dateErr := http.ParseTime(resp.Header.Get("Date")); dateErr == nil {
			c.ahead.Store(int64(time.Since(at)))
		}
	}
	return resp, err
}

// skew is 0 as long as there was no answer.
func (c *clock) skew() time.Duration { return time.Duration(c.ahead.Load()) }

// connect makes clients, which connect when first used: as a kubeconfig says, or
// as the pod's service account.
func connect(kubeconfig, version string) (*cluster, error) {
	cfg, err := configured(kubeconfig)
	if err != nil {
		return nil, err
	}
	cfg.UserAgent = "rollcall-aggregator/" + version
	cfg.ContentType = runtime.ContentTypeProtobuf
	cfg.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	// What is asked is bounded by who asks; the default, 5 a second, would hold up
	// agents that enrol.
	cfg.QPS = -1
	cfg.WarningHandler = rest.NoWarnings{}
	c := &cluster{}
	cfg.Wrap(func(next http.RoundTripper) http.RoundTripper {
		c.clock.RoundTripper = next
		return &c.clock
	})
	client, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return nil, err
	}
	if c.Interface, err = kubernetes.NewForConfigAndClient(cfg, client); err != nil {
		return nil, err
	}
	c.services, err = apiregistration.NewForConfigAndClient(cfg, client)
	return c, err
}

func configured(kubeconfig string) (*rest.Config, error) {
	if kubeconfig != "" {
		cfg, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
		if err != nil {
			return nil, fmt.Errorf("--kubeconfig: %w", err)
		}
		return cfg, nil
	}
	cfg, err := rest.InClusterConfig()
	if err != nil {
		return nil, fmt.Errorf("%w; --authority and --expected-nodes=kubernetes work in a pod with a service account token, or with --kubeconfig", err)
	}
	return cfg, nil
}
