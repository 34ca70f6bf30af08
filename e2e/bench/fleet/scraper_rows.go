package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/rollcall-metrics/rollcall/e2e/bench/child"
	"github.com/rollcall-metrics/rollcall/e2e/bench/kubelets"
	"github.com/rollcall-metrics/rollcall/e2e/bench/meter"
	"github.com/rollcall-metrics/rollcall/e2e/bench/report"
)

// scraperDir is the scraper's module, below the root of the repository.
const scraperDir = "e2e/bench/scraper"

// uncounted cycles come first: connections are opened in one, and the second
// generation of points is only there after two.
const uncounted = 2

// connectingSpread is how much longer the first cycle takes to begin: here the
// kubelets' handshakes burden the same cores, and an HTTP/2 server gives up on
// connections that stay idle for 2 s.
const connectingSpread = 5

// A scraperBaseline is what a central scraper costs.
type scraperBaseline struct {
	cost
	peak float64 // MiB
}

// scraperRequest and scraperCycle are what the scraper reads and writes; it is
// another module.
type (
	scraperRequest struct {
		Nodes          []scraperNode
		CA, ServerName string
		Timeout        time.Duration
		Negotiate      bool
	}
	scraperOrder struct{ Spread time.Duration }
	scraperNode  struct{ Name, URL string }
	scraperCycle struct {
		Wall                           time.Duration
		Bytes                          int64
		Nodes, Pods, Containers, Rates int
		Failed                         string
	}
)

// scrape sets the rows of the central scraper.
func (b *bench) scrape(ctx context.Context) error {
	_, err := b.theScraper(ctx)
	return err
}

func (b *bench) theScraper(ctx context.Context) (*scraperBaseline, error) {
	if b.scraper != nil {
		return b.scraper, nil
	}
	f, err := b.theFleet(ctx)
	if err != nil {
		return nil, err
	}
	root, err := repository(ctx)
	if err != nil {
		return nil, err
	}
	binary := b.path("scraper")
	b.Progress("scraper: building %s", scraperDir)
	if err := child.BuildModule(ctx, binary, root+"/"+scraperDir); err != nil {
		return nil, err
	}
	var at kubelets.Result
	served, err := b.startJob(ctx, "kubelets", kubelets.Request{Nodes: b.cfg.Nodes, Files: f.Kubelet}, &at)
	if err != nil {
		return nil, err
	}
	q := scraperRequest{CA: f.Kubelet.CA, ServerName: kubelets.Name, Timeout: 5 * time.Minute}
	for i, n := range f.Nodes {
		q.Nodes = append(q.Nodes, scraperNode{n.Name, kubelets.URL(i, at.Port)})
	}
	plain, last, err := b.cycles(ctx, binary, q, served)
	if err != nil {
		return nil, err
	}
	q.Negotiate = true
	negotiated, _, err := b.cycles(ctx, binary, q, served)
	if err != nil {
		return nil, err
	}
	if err := served.Stop(); err != nil {
		return nil, err
	}
	b.scraper = plain
	if len(b.Of("scraper")) > 0 {
		b.Set("scraper/cpu", millis(plain.asker), "%d nodes, %d pods, %d containers, %s MB of text over HTTP/1.1 that stays connected, uncompressed; %v a cycle, of which asking is spread over %v; the kubelets, which only write text here, used %s ms",
			last.Nodes, last.Pods, last.Containers, report.Number(float64(last.Bytes)/mega), plain.wall.Round(100*time.Millisecond), b.cfg.Spread, report.Number(millis(plain.answerers)))
		b.Set("scraper/peak", plain.peak, "VmHWM of cycles with two generations; %.0f MiB over HTTP/2", negotiated.peak)
		b.Set("scraper/negotiated", millis(negotiated.asker), "")
	}
	return plain, nil
}

// cycles runs a scraper.
func (b *bench) cycles(ctx context.Context, binary string, q scraperRequest, served *child.Process) (r *scraperBaseline, last scraperCycle, err error) {
	p, err := child.StartJob("scraper", exec.CommandContext(ctx, binary), q)
	if err != nil {
		return nil, last, err
	}
	defer func() { err = errors.Join(err, p.Stop()) }()
	var costs []cost
	for i := range uncounted + b.cfg.Cycles {
		spread := b.cfg.Spread
		if i == 0 {
			spread *= connectingSpread
		}
		if i == uncounted {
			if err := meter.ResetPeak(p.PID()); err != nil {
				return nil, last, err
			}
		}
		c, err := costOf(ctx, p, served, func() (time.Duration, error) {
			if err := p.Tell(scraperOrder{spread}); err != nil {
				return 0, err
			}
			err := p.Result(&last)
			return last.Wall, err
		})
		if err != nil {
			return nil, last, err
		}
		if i >= uncounted && last.Failed != "" {
			return nil, last, errors.New(last.Failed)
		}
		if i >= uncounted && (last.Nodes != b.cfg.Nodes || last.Containers != b.cfg.Nodes*kubelets.Containers || last.Rates != last.Containers) {
			return nil, last, fmt.Errorf("the scraper has %+v of %d nodes", last, b.cfg.Nodes)
		}
		b.Progress("scraper: cycle of %s ms of CPU, %v", report.Number(millis(c.asker)), c.wall.Round(time.Millisecond))
		if i >= uncounted {
			costs = append(costs, c)
		}
	}
	peak, err := meter.PeakOf(p.PID())
	return &scraperBaseline{medianOf(costs), peak}, last, err
}

// repository is the root of this repository's files.
func repository(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/rollcall-metrics/rollcall").Output()
	if err != nil {
		return "", fmt.Errorf("find the repository from %s: %w", os.Getenv("PWD"), err)
	}
	return string(out[:max(0, len(out)-1)]), nil
}
