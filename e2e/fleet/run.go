package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/model"
	"github.com/rollcall-metrics/rollcall/pkg/obs"
)

// readyWithin is how long the fleet may take from its last agent's start to
// the first complete answer.
const readyWithin = 30 * time.Second

// run runs a fleet until ctx ends, or for as long as the configuration says,
// and tells on out what happens.
func run(ctx context.Context, cfg Config, out io.Writer, log *slog.Logger) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if cfg.For > 0 {
		ctx, cancel = context.WithTimeout(ctx, cfg.For)
		defer cancel()
	}
	if cfg.VirtualNodes > 0 {
		collectRarely()
		if err := cfg.raiseFiles(); err != nil {
			return err
		}
	}
	began := time.Now()
	f, err := NewFleet(cfg, version, log)
	if err != nil {
		return err
	}
	kind := "nodes"
	if cfg.VirtualNodes > 0 {
		kind, cfg.Nodes = "virtual nodes", cfg.VirtualNodes
	}
	fmt.Fprintf(out, "rollcall-fleet %s: %d %s with %d pods each, %d aggregators, in %s\n", version, cfg.Nodes, kind, cfg.Pods, cfg.Aggregators, f.dir)

	var servers sync.WaitGroup
	defer func() {
		cancel()
		fmt.Fprintln(out, "stopping …")
		err = errors.Join(err, f.Stop())
		servers.Wait()
		fmt.Fprintln(out, "stopped")
	}()
	admin, err := obs.Listen(ctx, "--admin", cfg.Admin.String())
	if err != nil {
		return err
	}
	defer admin.Close()
	stopProgress := f.progress(ctx, out)
	err = f.Start(ctx)
	stopProgress()
	if err == nil && f.virtual != nil {
		fmt.Fprintf(out, "agents serve after %v\n", time.Since(began).Round(100*time.Millisecond))
	}
	if err == nil {
		err = f.awaitComplete(ctx)
	}
	if ctx.Err() != nil {
		return nil // stopped before it was up
	}
	if err != nil {
		return err
	}
	servers.Go(func() {
		_ = obs.Serve(ctx, log, obs.Server{Name: "admin", Listener: admin, Handler: f.admin(ctx)})
	})
	fmt.Fprintf(out, "up after %v, %d slots of history replayed\n\n", time.Since(began).Round(100*time.Millisecond), f.replayed.Load())
	if f.virtual != nil {
		err = f.explainVirtual(out)
	} else {
		f.explain(out)
	}
	if err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// progress tells how the replay goes on, every few seconds.
func (f *Fleet) progress(ctx context.Context, out io.Writer) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	if f.cfg.Backfill == 0 || f.virtual != nil {
		return cancel
	}
	total := int64(f.cfg.Backfill/f.cfg.Resolution) * int64(f.cfg.Nodes)
	var done sync.WaitGroup
	done.Go(func() {
		t := time.NewTicker(3 * time.Second)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
				fmt.Fprintf(out, "replaying history: %d of %d slots\n", f.replayed.Load(), total)
			}
		}
	})
	return func() { cancel(); done.Wait() }
}

// awaitComplete waits until every aggregator's answer covers all nodes.
func (f *Fleet) awaitComplete(ctx context.Context) error {
	within := readyWithin
	if f.virtual != nil {
		within = virtualReadyWithin
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for _, a := range f.aggregators {
		for {
			last := complete(ctx, a.url())
			if last == nil {
				break
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("%s has no complete answer after %v: %w", a.name, within, last)
			case <-time.After(100 * time.Millisecond):
			}
		}
	}
	return nil
}

// complete asks an aggregator for all nodes, and says what is missing.
func complete(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/api/v1/node?partial=deny&window=1m", nil)
	if err != nil {
		return err
	}
	// Connections of their own: an aggregator may have been restarted between.
	web := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := web.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	var body struct{ Error struct{ Message string } }
	_ = json.NewDecoder(resp.Body).Decode(&body)
	return fmt.Errorf("status %d: %s", resp.StatusCode, body.Error.Message)
}

// explain prints where everything is, and lines to try.
func (f *Fleet) explain(out io.Writer) {
	for _, a := range f.aggregators {
		fmt.Fprintf(out, "%-14s %s/api/v1/node  debug http://%s/debug/  metrics http://%s/metrics\n", a.name, a.url(), a.cfg.DebugListen, a.cfg.MetricsListen)
	}
	for i, n := range f.nodes {
		if i == 5 {
			fmt.Fprintf(out, "… and %d more nodes: http://%v/nodes\n", len(f.nodes)-i, f.cfg.Admin)
			break
		}
		s := n.status()
		fmt.Fprintf(out, "%-14s %s/api/v1/node  debug %s/debug/  metrics %s\n", n.name, s.Local, s.Local, s.Metrics)
	}
	url := f.aggregators[0].url()
	pod, container := f.examplePod()
	fmt.Fprintf(out, `
Try:
  curl -s '%s/api/v1/node?window=5m&step=1m'
  curl -s '%s/api/v1/pod/%s/%s?window=20m&step=5m'
  curl -s '%s/api/v1/pod/%s/%s/%s?metrics=cpu,memory,rss&window=1m'
  curl -s -X POST 'http://%v/nodes/%s/agent?action=pause' && curl -s '%s/api/v1/node?window=1m'

Ctrl-C stops the fleet.
`, url, url, pod.Namespace, pod.Name, url, pod.Namespace, pod.Name, container, f.cfg.Admin, f.nodes[len(f.nodes)-1].name, url)
}

// examplePod is a pod of the first node that is there now, and its container.
func (f *Fleet) examplePod() (pod model.PodRef, container string) {
	now := time.Now().Unix()
	truth := f.nodes[0].kubelet.Truth(now-int64(2*f.cfg.Resolution/time.Second)-1, now)
	for _, slot := range truth.Slots {
		for _, e := range slot.Entities {
			if e.Container != "" && (container == "" || e.Namespace == "shop") {
				pod, container = model.PodRef{Namespace: e.Namespace, Name: e.Pod}, e.Container
			}
		}
	}
	return pod, container
}
