// Package ideal serves metrics.k8s.io as an aggregator does, with k8s.io/apiserver,
// the same filters, and the same way to find out who asks and what he may: but its
// objects are there before anyone asks, and are only encoded. No aggregator can cost
// less than that.
package ideal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	"k8s.io/metrics/pkg/apis/metrics/v1beta1"

	"github.com/rollcall-metrics/rollcall/aggregator/app"
	"github.com/rollcall-metrics/rollcall/aggregator/resource"
	"github.com/rollcall-metrics/rollcall/e2e/bench/child"
	"github.com/rollcall-metrics/rollcall/pkg/cli"
	"github.com/rollcall-metrics/rollcall/pkg/identity"
)

// A Request is what the job of [Job] is told.
type Request struct {
	// Files are an aggregator's certificate.
	Files      identity.Files
	Kubeconfig string
	// Pods and Nodes are files with what an aggregator has answered to lists of all,
	// in Kubernetes' protobuf.
	Pods, Nodes string
}

// A Result is where it serves.
type Result struct{ Addr string }

// Job serves until ctx ends.
func Job(ctx context.Context, p *child.Parent) error {
	var q Request
	if err := p.Next(&q); err != nil {
		return err
	}
	log := child.ErrorsOnly()
	cli.TuneMemory(app.GCPercent, log) // as an aggregator
	klog.SetSlogLogger(log)
	var pods v1beta1.PodMetricsList
	var nodes v1beta1.NodeMetricsList
	if err := errors.Join(read(q.Pods, &pods), read(q.Nodes, &nodes)); err != nil {
		return err
	}
	id, err := identity.Load(q.Files, log, prometheus.NewRegistry())
	if err != nil {
		return err
	}
	cfg, err := clientcmd.BuildConfigFromFlags("", q.Kubeconfig)
	if err != nil {
		return err
	}
	// As an aggregator.
	cfg.ContentType = runtime.ContentTypeProtobuf
	cfg.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	cfg.QPS = -1
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s := resource.New(resource.Config{Listener: l, Identity: id, Client: client, Version: "ideal"},
		map[string]rest.Storage{"pods": newPods(&pods), "nodes": newNodes(&nodes)}, log)
	if err := p.Result(Result{l.Addr().String()}); err != nil {
		return errors.Join(err, l.Close())
	}
	if err := s.Run(ctx); err != nil {
		return err
	}
	return io.EOF // as whoever reads the lines of a parent that says no more
}

// A message is an object of the API, in protobuf.
type message interface{ Unmarshal([]byte) error }

func read(path string, m message) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := Decode(b, m); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// magic is what Kubernetes' protobuf begins with; an envelope follows.
const magic = "k8s\x00"

// Decode reads an answer in Kubernetes' protobuf.
func Decode(answer []byte, m message) error {
	inner, ok := bytes.CutPrefix(answer, []byte(magic))
	if !ok {
		return fmt.Errorf("not Kubernetes' protobuf: %.100q", answer)
	}
	var envelope runtime.Unknown
	if err := envelope.Unmarshal(inner); err != nil {
		return err
	}
	return m.Unmarshal(envelope.Raw)
}
