package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/e2e/bench/child"
	"github.com/rollcall-metrics/rollcall/e2e/bench/job"
)

// An agentProcess is the real binary.
type agentProcess struct {
	*child.Process
	kubelet *standIn
	ports   job.Ports
}

// startAgent starts the real binary on a copy of a day's history, and waits
// until it is ready, which is after its first sample.
func (b *bench) startAgent(ctx context.Context, name string, res time.Duration, join []string) (a *agentProcess, err error) {
	from, err := b.agentHistory(ctx)
	if err != nil {
		return nil, err
	}
	dir, err := b.copyDir(from, name)
	if err != nil {
		return nil, err
	}
	a = &agentProcess{}
	if a.kubelet, err = b.site.kubelet(byClock(), byClock); err != nil {
		return nil, err
	}
	q, err := b.site.request(name, dir, a.kubelet)
	if err != nil {
		return nil, errors.Join(err, a.kubelet.close())
	}
	a.ports = q.Ports
	q.Resolution, q.Join = res, join
	cmd := exec.CommandContext(ctx, b.cfg.Binary, append(q.Flags(), "--log-level", "error")...)
	if a.Process, err = child.Start(b.cfg.Binary, cmd); err != nil {
		return nil, errors.Join(err, a.kubelet.close())
	}
	for began := time.Now(); ; {
		err := get(ctx, "http://"+job.At(a.ports.Metrics)+"/readyz", nil)
		if err == nil && a.kubelet.Requests.Load() > 0 {
			return a, nil
		}
		if time.Since(began) > 30*time.Second {
			return nil, errors.Join(fmt.Errorf("the agent is not ready after 30 s: %w", err), a.end())
		}
		if err := child.Wait(ctx, 100*time.Millisecond); err != nil {
			return nil, errors.Join(err, a.end())
		}
	}
}

func (a *agentProcess) end() error { return errors.Join(a.Stop(), a.kubelet.close()) }

// get asks for a page; each line goes to read.
func get(ctx context.Context, url string, read func(line string)) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	web := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	resp, err := web.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: status %d", url, resp.StatusCode)
	}
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if read != nil {
			read(lines.Text())
		}
	}
	return lines.Err()
}

// members is how many members an agent knows.
func members(ctx context.Context, a *agentProcess) (n int, err error) {
	err = get(ctx, "http://"+job.At(a.ports.Metrics)+"/metrics", func(line string) {
		if strings.HasPrefix(line, "rollcall_roster_members{") && strings.Contains(line, `state="alive"`) {
			f := strings.Fields(line)
			x, _ := strconv.ParseFloat(f[len(f)-1], 64)
			n += int(x)
		}
	})
	return n, err
}
