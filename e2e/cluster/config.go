package main

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/spf13/pflag"

	"github.com/rollcall-metrics/rollcall/e2e/cluster/build"
)

// A Config says what cluster to run.
type Config struct {
	Nodes int
	// Tag is of Rollcall's images, and in its --version.
	Tag string
	// NoRollcall leaves the cluster empty.
	NoRollcall bool
	// MetricsServer is there in Rollcall's place, with pods that autoscalers look at;
	// Rollcall's images are there, too.
	MetricsServer bool
	// Manifests is the directory of manifests, with base and components in it.
	Manifests string
	// Components are those to apply with the base.
	Components []string
	// Port of 127.0.0.1 that leads to the API server.
	Port int
}

// AddFlags adds the command's flags.
func (c *Config) AddFlags(fs *pflag.FlagSet) {
	fs.IntVar(&c.Nodes, "nodes", 3, "nodes")
	fs.StringVar(&c.Tag, "tag", "dev", "tag of Rollcall's images, and its --version")
	fs.BoolVar(&c.NoRollcall, "no-rollcall", false, "leave the cluster empty")
	fs.BoolVar(&c.MetricsServer, "metrics-server", false, "run metrics-server instead, and pods with autoscalers, to put Rollcall in its place (docs/replace-metrics-server.md)")
	fs.StringVar(&c.Manifests, "manifests", "../../manifests", "directory of manifests to apply, with base and components in it")
	fs.StringSliceVar(&c.Components, "components", nil, "components of the manifests to apply with the base")
	fs.IntVar(&c.Port, "port", 16443, "port of 127.0.0.1 that leads to the API server")
}

// Validate says what is wrong, naming the flags. Names become absolute, as the
// cluster has another working directory.
func (c *Config) Validate() (err error) {
	var errs []error
	if c.Nodes < 1 || c.Nodes > 20 {
		errs = append(errs, fmt.Errorf("--nodes %d is not in 1 to 20", c.Nodes))
	}
	if c.Port < 1 || c.Port > 65535 {
		errs = append(errs, fmt.Errorf("--port %d is not in 1 to 65535", c.Port))
	}
	if c.MetricsServer && (c.NoRollcall || len(c.Components) > 0) {
		errs = append(errs, errors.New("--metrics-server comes with Rollcall's images and without Rollcall; it does not go with --no-rollcall or --components"))
	}
	if c.Tag == "" {
		errs = append(errs, errors.New("--tag is empty"))
	}
	if c.Manifests, err = filepath.Abs(c.Manifests); err != nil {
		errs = append(errs, fmt.Errorf("--manifests: %w", err))
	}
	return errors.Join(errs...)
}

// images are those to build and load.
func (c *Config) images() build.Choice {
	if c.NoRollcall {
		return build.Choice{}
	}
	return build.Choice{Tags: []string{c.Tag}, MetricsServer: c.MetricsServer}
}
