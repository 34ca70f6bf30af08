package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/spf13/pflag"

	"github.com/rollcall-metrics/rollcall/aggregator/api"
	"github.com/rollcall-metrics/rollcall/aggregator/authority"
	"github.com/rollcall-metrics/rollcall/pkg/cli"
	"github.com/rollcall-metrics/rollcall/pkg/obs"
	"github.com/rollcall-metrics/rollcall/pkg/roster"
)

// surveyTimeout bounds asking all members: 5000 that do not answer, 64 at a time
// for 5 s each, are 400 s.
const surveyTimeout = 8 * time.Minute

const aboutRotation = `
Replaces the gossip key while the fleet runs; run it beside an aggregator.

It goes in three steps: all members accept a new key, all use it, all have
forgotten the old one. It takes a step only when every expected node and every
aggregator has taken the one before, so none is ever cut off, and it tells how
far it is. If it is ended or gives up, nothing is lost: run it again to go on.
A node that is down for good is not waited for with --without.

  kubectl -n rollcall exec deploy/rollcall-aggregator -- /rollcall-aggregator rotate-gossip-key`

// rotation are the settings of the subcommand.
type rotation struct {
	namespace, debug string
	patience         time.Duration
	without          []string
}

// AddFlags implements [cli.Config].
func (r *rotation) AddFlags(fs *pflag.FlagSet) {
	fs.StringVar(&r.namespace, "namespace", os.Getenv("POD_NAMESPACE"), "namespace of the Secret "+authority.GossipSecret+"; from POD_NAMESPACE")
	fs.StringVar(&r.debug, "debug-listen", "127.0.0.1:9811", "address where the aggregator in this pod has its debug pages")
	fs.DurationVar(&r.patience, "step-timeout", 10*time.Minute, "how long a step may take: Secrets take a minute or two to reach all pods")
	fs.StringSliceVar(&r.without, "without", nil, "nodes and aggregators not to wait for: broken ones, or those against whom the key is replaced")
}

// Validate implements [cli.Config].
func (r *rotation) Validate() error {
	if r.namespace == "" {
		return errors.New("--namespace is required; in Kubernetes set POD_NAMESPACE")
	}
	if r.patience <= 0 {
		return fmt.Errorf("--step-timeout %v is not positive", r.patience)
	}
	return obs.RequireLoopback("--debug-listen", r.debug)
}

// RotateGossipKey is the subcommand that replaces the gossip key.
func RotateGossipKey(version string) cli.Command {
	r := &rotation{}
	return cli.Command{
		Name: "rotate-gossip-key", About: aboutRotation, LogLevel: "warn", Config: r,
		Run: func(ctx context.Context, log *slog.Logger) error {
			kube, err := connect("", version)
			if err != nil {
				return err
			}
			job := authority.Rotation{
				Secrets: kube.CoreV1().Secrets(r.namespace), Survey: r.survey,
				Patience: r.patience, Without: r.without, Progress: os.Stdout,
			}
			return job.Run(ctx, log)
		},
	}
}

// survey has the aggregator in this pod ask all members.
func (r *rotation) survey(ctx context.Context) ([]roster.MemberKeys, error) {
	ctx, cancel := context.WithTimeout(ctx, surveyTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.debug+api.SurveyPath, nil)
	if err != nil {
		return nil, err
	}
	resp, err := new(http.Client).Do(req) // bounded by ctx
	if err != nil {
		return nil, fmt.Errorf("ask the aggregator in this pod: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("ask the aggregator in this pod: %s", resp.Status)
	}
	var members []roster.MemberKeys
	if err := json.NewDecoder(resp.Body).Decode(&members); err != nil {
		return nil, fmt.Errorf("ask the aggregator in this pod: %w", err)
	}
	return members, nil
}
