package app

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	apps "k8s.io/client-go/kubernetes/typed/apps/v1"
	authentication "k8s.io/client-go/kubernetes/typed/authentication/v1"
	core "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
)

// cluster is the Kubernetes that this aggregator runs in. It has clients of the
// three API groups in use, rather than the set of all groups'.
type cluster struct {
	core           *core.CoreV1Client
	apps           *apps.AppsV1Client
	authentication *authentication.AuthenticationV1Client

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
	c := &cluster{}
	cfg.Wrap(func(next http.RoundTripper) http.RoundTripper {
		c.clock.RoundTripper = next
		return &c.clock
	})
	client, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return nil, err
	}
	if c.core, err = core.NewForConfigAndClient(cfg, client); err != nil {
		return nil, err
	}
	if c.apps, err = apps.NewForConfigAndClient(cfg, client); err != nil {
		return nil, err
	}
	c.authentication, err = authentication.NewForConfigAndClient(cfg, client)
	return c, err
}
