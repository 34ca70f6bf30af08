package job

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/pflag"

	"github.com/rollcall-metrics/rollcall/agent/app"
	"github.com/rollcall-metrics/rollcall/agent/kubelet"
	"github.com/rollcall-metrics/rollcall/agent/ring"
	"github.com/rollcall-metrics/rollcall/agent/sampler"
	"github.com/rollcall-metrics/rollcall/e2e/bench/child"
	"github.com/rollcall-metrics/rollcall/e2e/bench/layout"
	"github.com/rollcall-metrics/rollcall/e2e/bench/meter"
	"github.com/rollcall-metrics/rollcall/pkg/identity"
	"github.com/rollcall-metrics/rollcall/pkg/roster"
)

// An AgentRequest is to be an agent: to sample history at speed, and then to
// run until the parent has seen enough.
type AgentRequest struct {
	Dir           string
	Resolution    time.Duration
	Kubelet       int // port
	CA, Token     string
	Files         identity.Files
	Ports         Ports
	Join          []string
	Label         string
	Key           string // file
	Frozen        bool   // no gossip, no probes
	Begin         int64  // of the history
	Slots         int64  // that are a day
	Days          int64  // of history; 0: none
	Tune          string // for the job "feed"
	Members       int    // for the job "roster": how many to wait for, itself included
	Profile, Name string
}

// An AgentDay is how it was at a day's end.
type AgentDay struct {
	CPU      float64 // ms a sample, of this day
	Disk     float64 // bytes
	Resident meter.Resident
}

func (q *AgentRequest) kubelet() kubelet.Config {
	return kubelet.Config{
		Node: NodeName, Address: Loopback.String(), Port: q.Kubelet, CAFile: q.CA, TokenFile: q.Token, Timeout: 10 * time.Second,
	}
}

func (q *AgentRequest) roster() roster.Config {
	return roster.Config{
		Name: NodeName, Role: identity.Agent, Bind: Loopback, Port: int(q.Ports.Gossip), PeerPort: q.Ports.Peer,
		Join: q.Join, Label: q.Label, KeyFile: q.Key, Timing: q.timing(),
	}
}

func (q *AgentRequest) timing() roster.Timing {
	t := PromptTiming()
	if q.Frozen {
		for _, d := range []*time.Duration{&t.GossipInterval, &t.ProbeInterval, &t.PushPull, &t.QueueCheckInterval, &t.RejoinAfter, &t.KeyPoll} {
			*d = 24 * time.Hour
		}
	}
	return t
}

// Flags are those of an agent as the request has it; all others are left at
// their defaults.
func (q *AgentRequest) Flags() []string {
	flags := []string{
		"--node-name", NodeName, "--metric-resolution", q.Resolution.String(), "--metric-duration", q.retention().String(), "--data-dir", q.Dir,
		"--kubelet-address", Loopback.String(), "--kubelet-port", strconv.Itoa(q.Kubelet),
		"--kubelet-certificate-authority", q.CA, "--kubelet-token-file", q.Token,
		"--peer-listen", At(q.Ports.Peer), "--local-listen", At(q.Ports.Local), "--metrics-listen", At(q.Ports.Metrics),
		"--tls-cert-file", q.Files.Cert, "--tls-key-file", q.Files.Key, "--tls-ca-file", q.Files.CA,
		"--gossip-bind", Loopback.String(), "--gossip-advertise", Loopback.String(), "--gossip-port", strconv.Itoa(int(q.Ports.Gossip)),
		"--cluster-label", q.Label, "--gossip-key-file", q.Key,
	}
	for _, seed := range q.Join {
		flags = append(flags, "--join", seed)
	}
	return flags
}

// Agent is the job "agent". There is a result for each day, and one more
// when it runs.
func Agent(ctx context.Context, p *child.Parent) error {
	var q AgentRequest
	if err := p.Next(&q); err != nil {
		return err
	}
	app.TuneRuntime(child.ErrorsOnly())
	if q.Profile != "" {
		runtime.MemProfileRate = 8 << 10 // bytes; the default of 512 KiB sees little of 5 MiB
	}
	var cfg app.Config
	fs := pflag.NewFlagSet("agent", pflag.ContinueOnError)
	cfg.AddFlags(fs)
	if err := fs.Parse(q.Flags()); err != nil {
		return err
	}
	cfg.Roster.Timing = q.timing()
	a, err := app.New(ctx, cfg, "bench", child.ErrorsOnly())
	if err != nil {
		return err
	}
	if err := q.replay(ctx, a.Sampler(), p.Result); err != nil {
		return errors.Join(err, a.Close())
	}
	if err := p.Result(AgentDay{}); err != nil {
		return errors.Join(err, a.Close())
	}
	// The heap is of interest while the agent runs, not after its end.
	running, end := context.WithCancel(context.WithoutCancel(ctx))
	profiled := make(chan error, 1)
	go func() {
		<-ctx.Done()
		profiled <- meter.ProfileHeap(q.Profile)
		end()
	}()
	err = a.Run(running)
	if ctx.Err() == nil {
		return fmt.Errorf("the agent ended by itself: %w", err)
	}
	return errors.Join(err, <-profiled)
}

// retention is how much history is kept: what stands for a day.
func (q *AgentRequest) retention() time.Duration { return time.Duration(q.Slots) * Resolution }

// replay samples the history.
func (q *AgentRequest) replay(ctx context.Context, s *sampler.Sampler, result func(any) error) error {
	stop, err := meter.ProfileCPU(q.Profile)
	if err != nil {
		return err
	}
	before, told := meter.CPU(), time.Now()
	for i := range q.Slots * q.Days {
		if err := s.Sample(ctx, q.Begin+i*SlotSeconds); err != nil {
			return fmt.Errorf("slot %d: %w", i, err)
		}
		if time.Since(told) > 5*time.Second {
			told = time.Now()
			fmt.Fprintf(os.Stderr, "         %s: %d of %d slots sampled\n", q.Name, i+1, q.Slots*q.Days)
		}
		if (i+1)%q.Slots != 0 {
			continue
		}
		day := AgentDay{CPU: meter.Millis(meter.CPU()-before) / float64(q.Slots)}
		if day.Disk, err = meter.Disk(q.Dir); err != nil {
			return err
		}
		if day.Resident, err = meter.ResidentOf(os.Getpid()); err != nil {
			return err
		}
		if err := result(day); err != nil {
			return err
		}
		before = meter.CPU()
	}
	return stop()
}

// Feed is the job "feed": an agent's sampler and a ring with other options,
// without servers and gossip.
func Feed(ctx context.Context, p *child.Parent) error {
	var q AgentRequest
	if err := p.Next(&q); err != nil {
		return err
	}
	app.TuneRuntime(child.ErrorsOnly())
	change, err := layout.Tuning(q.Tune)
	if err != nil {
		return err
	}
	c, err := kubelet.New(q.kubelet())
	if err != nil {
		return err
	}
	defer c.Close()
	reg, log := prometheus.NewRegistry(), child.ErrorsOnly()
	r := ring.Open(ring.Config{Dir: q.Dir, Resolution: q.Resolution, Retention: q.retention(), Tune: change}, log, reg)
	s := sampler.New(sampler.Config{Node: NodeName, Resolution: q.Resolution}, c, r, log, reg)
	if err := q.replay(ctx, s, p.Result); err != nil {
		return errors.Join(err, r.Close())
	}
	if err := p.Result(AgentDay{}); err != nil {
		return errors.Join(err, r.Close())
	}
	<-ctx.Done()
	return r.Close()
}

// Roster is the job "roster": nothing but a member of gossip. The result comes
// once it knows as many as it is to wait for.
func Roster(ctx context.Context, p *child.Parent) error {
	var q AgentRequest
	if err := p.Next(&q); err != nil {
		return err
	}
	app.TuneRuntime(child.ErrorsOnly())
	r, err := roster.Start(ctx, q.roster(), child.ErrorsOnly(), prometheus.NewRegistry())
	if err != nil {
		return err
	}
	for {
		changed := r.Changed()
		if len(r.Snapshot().Members()) >= q.Members {
			break
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return r.Kill()
		}
	}
	if err := p.Result(AgentDay{}); err != nil {
		return errors.Join(err, r.Kill())
	}
	<-ctx.Done()
	return r.Kill()
}
