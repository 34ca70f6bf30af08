package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/rollcall-metrics/rollcall/e2e/bench/child"
	"github.com/rollcall-metrics/rollcall/e2e/bench/report"
	"github.com/rollcall-metrics/rollcall/e2e/dashboard"
)

const (
	// searchNamespace has 700 pods on 400 nodes, checkoutNamespace 500 on 500, and
	// everyNode two on each node.
	searchNamespace   = "search"
	checkoutNamespace = "checkout"
	everyNode         = "kube-system"
	// coldStarts is how many aggregators at most are asked for the first time.
	coldStarts = 3
	// lookedAt is for how many slots a page is looked at, and lookEvery how often it
	// asks, for CPU and memory in turn: so changes of slots are among the answers.
	lookedAt  = 4
	lookEvery = 500 * time.Millisecond
	// pageNodes is how many nodes a page shows.
	pageNodes = 100
	// manyNames is how many names are in one path.
	manyNames = 32_000
)

// dashboardRows are the rows of what the Kubernetes Dashboard asks.
func dashboardRows() []*report.Row {
	return []*report.Row{
		{Key: "dashboard/cold", What: "Kubernetes Dashboard, 700 pods on 400 nodes, never asked for before: median", Unit: "ms", Target: 1000},
		{Key: "dashboard/told", What: "– pods that are told", Unit: "%", Target: 100, AtLeast: true},
		{Key: "dashboard/first", What: "– 500 pods on 500 nodes, the very first question after a start: median", Unit: "ms", Target: 1000},
		{Key: "dashboard/first-all", What: "– asked again until all are told: median", Unit: "ms"},
		{Key: "dashboard/p99", What: "– the 700 again, every 500 ms, with gzip: p99", Unit: "ms", Target: 50},
		{Key: "dashboard/p50", What: "– p50", Unit: "ms"},
		{Key: "dashboard/cpu", What: "– CPU", Unit: "ms"},
		{Key: "dashboard/plain-cpu", What: "– CPU without gzip", Unit: "ms"},
		{Key: "dashboard/bytes", What: "– an answer", Unit: "KB"},
		{Key: "dashboard/memory", What: "– memory added", Unit: "MiB"},
		{Key: "dashboard/page", What: "– a page of 100 nodes, 200 questions at once, the first time: all answers", Unit: "ms", Target: 1000},
		{Key: "dashboard/page-again", What: "– again: median", Unit: "ms", Target: 1000},
		{Key: "dashboard/names", What: "– 32,000 names in one path: median", Unit: "ms", Target: 1000},
		{Key: "dashboard/wide", What: "– two pods of each node, the first time", Unit: "ms", Target: 1000},
		{Key: "dashboard/api", What: "– the 700 by /api/v1, which keeps nothing: median", Unit: "ms"},
		{Key: "dashboard/api-cpu", What: "– CPU", Unit: "ms"},
	}
}

// A board is an aggregator that is asked as the Dashboard asks, without looking at what
// it answers.
type board struct {
	*aggregator
	web  *http.Client
	pods map[string][]string // by namespace: those that run
}

// A look is one answer.
type look struct {
	wall   time.Duration // to the last byte of the body
	sent   int           // bytes, as they came
	packed bool
	body   []byte
}

// unpack unpacks the answer, if it came packed.
func (l *look) unpack() error {
	if !l.packed {
		return nil
	}
	z, err := gzip.NewReader(bytes.NewReader(l.body))
	if err != nil {
		return err
	}
	l.body, err = io.ReadAll(z)
	return err
}

// ask asks for a path, and reads the answer. As the Dashboard does it asks for gzip,
// which is unpacked when the time has been taken.
func (o *board) ask(ctx context.Context, path string) (look, error) {
	l, err := o.read(ctx, path, "gzip")
	return l, errors.Join(err, l.unpack())
}

// read asks for a path, and reads the answer as it comes.
func (o *board) read(ctx context.Context, path, encoding string) (look, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, o.api+path, nil)
	if err != nil {
		return look{}, err
	}
	req.Header.Set("Accept-Encoding", encoding)
	began := time.Now()
	resp, err := o.web.Do(req)
	if err != nil {
		return look{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	l := look{time.Since(began), len(body), resp.Header.Get("Content-Encoding") == "gzip", body}
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%.100s: %s: %.300s", path, resp.Status, body)
	}
	return l, err
}

// about is a question about all pods of a namespace.
func (o *board) about(ctx context.Context, namespace string, m dashboard.Metric) (look, error) {
	return o.ask(ctx, dashboard.PodsPath(namespace, o.pods[namespace], m))
}

// items and points are how many an answer has.
func (l *look) items() int  { return bytes.Count(l.body, []byte(`"uids":`)) }
func (l *look) points() int { return bytes.Count(l.body, []byte(`"timestamp":`)) }

// dashboard measures what the Kubernetes Dashboard asks.
func (b *bench) dashboard(ctx context.Context) (err error) {
	a, err := b.theAggregator(ctx)
	if err != nil {
		return err
	}
	pods := map[string][]string{}
	for _, namespace := range []string{searchNamespace, checkoutNamespace, everyNode} {
		if pods[namespace], err = a.podsOf(ctx, namespace); err != nil {
			return err
		}
	}
	// Those that are asked have its name, and its cores.
	if err := a.stop(); err != nil {
		return err
	}
	b.aggregator = nil
	o, err := b.firstLooks(ctx, pods)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.stop()) }()
	for _, do := range []func(context.Context, *board) error{b.lookedAt, b.nodePages, b.longPaths, b.wide, b.byAPI} {
		if err := do(ctx, o); err != nil {
			return err
		}
	}
	return nil
}

// podsOf are the pods of a namespace that run.
func (a *aggregator) podsOf(ctx context.Context, namespace string) (names []string, err error) {
	body, err := a.read(ctx, "/api/v1/pod/"+namespace+"?latest=true&timeout=30s")
	if err != nil {
		return nil, err
	}
	var all struct{ Pods []struct{ Name string } }
	if err := json.Unmarshal(body, &all); err != nil {
		return nil, err
	}
	for _, p := range all.Pods {
		names = append(names, p.Name)
	}
	return names, nil
}

// newBoard starts an aggregator, until it is ready: nobody has asked it for anything.
func (b *bench) newBoard(ctx context.Context, pods map[string][]string) (*board, error) {
	expected, err := b.expectFile(b.fleet)
	if err != nil {
		return nil, err
	}
	o := &board{pods: pods, web: &http.Client{Transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 2 * pageNodes}}}
	if o.aggregator, err = b.startAggregator(ctx, b.fleet, true, expected); err != nil {
		return nil, err
	}
	if err = b.awaitPage(ctx, o.aggregator, "/readyz"); err != nil {
		err = errors.Join(err, o.stop())
	}
	return o, err
}

func (o *board) stop() error {
	o.web.CloseIdleConnections()
	return o.aggregator.stop()
}

// firstLooks asks aggregators for the first time, and returns the last of them.
func (b *bench) firstLooks(ctx context.Context, pods map[string][]string) (o *board, err error) {
	var first, whole, cold []time.Duration
	atFirst, told, all, points := 0, 0, 0, 0
	starts := min(b.cfg.Rounds, coldStarts)
	for i := range starts {
		if o != nil {
			if err := o.stop(); err != nil {
				return nil, err
			}
		}
		b.Progress("dashboard: aggregator %d of %d starts", i+1, starts)
		if o, err = b.newBoard(ctx, pods); err != nil {
			return nil, err
		}
		began := time.Now()
		l, err := o.about(ctx, checkoutNamespace, dashboard.CPU)
		if err == nil {
			first, atFirst = append(first, l.wall), atFirst+l.items()
			_, err = o.untilAll(ctx, checkoutNamespace, l)
			whole = append(whole, time.Since(began))
		}
		if err == nil {
			l, err = o.about(ctx, searchNamespace, dashboard.CPU)
			cold = append(cold, l.wall)
		}
		if err != nil {
			return nil, errors.Join(err, o.stop())
		}
		told, points, all = told+l.items(), points+l.points(), all+len(pods[searchNamespace])
	}
	b.Set("dashboard/cold", millis(median(cold)), "%d pods, of %d aggregators; slowest %s ms", len(pods[searchNamespace]), starts, report.Number(millis(slices.Max(cold))))
	b.Set("dashboard/told", 100*float64(told)/float64(all), "%d of %d, with %.1f points each", told, all, float64(points)/float64(max(told, 1)))
	b.Set("dashboard/first", millis(median(first)), "%d of %d pods were told, by %d aggregators that had just said on /readyz that they are ready; slowest %s ms",
		atFirst, starts*len(pods[checkoutNamespace]), starts, report.Number(millis(slices.Max(first))))
	b.Set("dashboard/first-all", millis(median(whole)), "asked every %v; slowest %s ms", lookEvery, report.Number(millis(slices.Max(whole))))
	return o, nil
}

// untilAll asks again until all pods of a namespace are told, and returns how often it
// asked.
func (o *board) untilAll(ctx context.Context, namespace string, last look) (asked int, err error) {
	for began := time.Now(); last.items() < len(o.pods[namespace]); asked++ {
		if time.Since(began) > startWithin {
			return asked, fmt.Errorf("after %v %d of %d pods of %s are told", startWithin, last.items(), len(o.pods[namespace]), namespace)
		}
		if err := child.Wait(ctx, lookEvery); err != nil {
			return asked, err
		}
		if last, err = o.about(ctx, namespace, dashboard.CPU); err != nil {
			return asked, err
		}
	}
	return asked, nil
}
