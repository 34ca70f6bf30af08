package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"k8s.io/metrics/pkg/apis/metrics/v1beta1"

	"github.com/rollcall-metrics/rollcall/e2e/bench/apiserver"
	"github.com/rollcall-metrics/rollcall/e2e/bench/child"
	"github.com/rollcall-metrics/rollcall/e2e/bench/ideal"
	"github.com/rollcall-metrics/rollcall/e2e/fleet/virtual"
	"github.com/rollcall-metrics/rollcall/pkg/identity"
)

const (
	metricsPath    = "/apis/metrics.k8s.io/v1beta1"
	allPodMetrics  = metricsPath + "/pods"
	allNodeMetrics = metricsPath + "/nodes"

	// autoscaler is who asks.
	autoscaler = "system:serviceaccount:kube-system:horizontal-pod-autoscaler"

	protobuf = "application/vnd.kubernetes.protobuf"
	asJSON   = "application/json"
)

// listOf is how an autoscaler asks for the pods of a deployment.
func listOf(d virtual.Deployment) string {
	return metricsPath + "/namespaces/" + d.Namespace + "/pods?labelSelector=" + url.QueryEscape("app="+apiserver.App(d))
}

// A resourceClient asks as kube-apiserver does when it passes on an autoscaler's
// request: over one HTTP/2 connection, with its own certificate, and the other's name
// in headers. It is safe for concurrent use.
type resourceClient struct {
	web  *http.Client
	base string
}

func newResourceClient(addr string, frontProxy identity.Files) (*resourceClient, error) {
	cert, err := tls.LoadX509KeyPair(frontProxy.Cert, frontProxy.Key)
	if err != nil {
		return nil, err
	}
	return &resourceClient{base: "https://" + addr, web: &http.Client{Transport: &http.Transport{
		// Whose certificate it is agents know; it has no DNS name here.
		TLSClientConfig:    &tls.Config{Certificates: []tls.Certificate{cert}, InsecureSkipVerify: true},
		DisableCompression: true, ForceAttemptHTTP2: true,
	}}}, nil
}

func (c *resourceClient) close() error {
	c.web.CloseIdleConnections()
	return nil
}

// An answered is an answer.
type answered struct {
	wall  time.Duration
	body  []byte
	items int // pods or nodes
}

// get asks for a path in a media type.
func (c *resourceClient) get(ctx context.Context, path, mediaType string) (r answered, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+path, nil)
	if err != nil {
		return r, err
	}
	req.Header.Set("Accept", mediaType)
	req.Header.Set("X-Remote-User", autoscaler)
	for _, group := range []string{"system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"} {
		req.Header.Add("X-Remote-Group", group)
	}
	began := time.Now()
	resp, err := c.web.Do(req)
	if err != nil {
		return r, err
	}
	defer resp.Body.Close()
	r.body, err = io.ReadAll(resp.Body)
	r.wall = time.Since(began)
	if err != nil {
		return r, fmt.Errorf("%s: %w", path, err)
	}
	if resp.StatusCode != http.StatusOK || resp.ProtoMajor != 2 || resp.Header.Get("Content-Type") != mediaType {
		return r, fmt.Errorf("%s: %s, %s, %s: %.300q", path, resp.Status, resp.Proto, resp.Header.Get("Content-Type"), r.body)
	}
	r.items, err = count(r.body, mediaType)
	if err != nil {
		err = fmt.Errorf("%s: %w", path, err)
	}
	return r, err
}

// count is how many pods or nodes an answer has.
func count(body []byte, mediaType string) (n int, err error) {
	if mediaType == asJSON {
		// Each pod and node has one, and no name has quotes.
		return bytes.Count(body, []byte(`"window":`)), nil
	}
	// The second field is the items of a list, or the timestamp of one. Messages
	// need not be read for that: all pods would take a second.
	var m fields
	if err := ideal.Decode(body, &m); err != nil {
		return 0, err
	}
	return m[2], nil
}

// fields are how often a message has fields, by their numbers.
type fields map[protowire.Number]int

// Unmarshal reads a message.
func (f *fields) Unmarshal(b []byte) error {
	*f = fields{}
	for len(b) > 0 {
		number, _, n := protowire.ConsumeField(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		(*f)[number]++
		b = b[n:]
	}
	return nil
}

// pods asks for pods, and reads them.
func (c *resourceClient) pods(ctx context.Context, path string) (pods v1beta1.PodMetricsList, r answered, err error) {
	if r, err = c.get(ctx, path, protobuf); err == nil {
		err = ideal.Decode(r.body, &pods)
	}
	return pods, r, err
}

// await waits until a question is answered.
func (c *resourceClient) await(ctx context.Context, path string) error {
	for began := time.Now(); ; {
		_, err := c.get(ctx, path, protobuf)
		if err == nil || time.Since(began) > startWithin {
			return err
		}
		if waited := child.Wait(ctx, afterwards); waited != nil {
			return errors.Join(err, waited)
		}
	}
}
