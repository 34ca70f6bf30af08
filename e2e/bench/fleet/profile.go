package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
)

// profile saves a profile from the debug pages, unless nobody wants any.
func (b *bench) profile(ctx context.Context, a *aggregator, page, name string) (err error) {
	if b.cfg.Profile == "" {
		return nil
	}
	resp, err := a.get(ctx, a.debug+"/debug/pprof/"+page)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("profile %s: %s", page, resp.Status)
	}
	f, err := os.Create(filepath.Join(b.cfg.Profile, name))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = io.Copy(f, resp.Body)
	return err
}

// profileFor is how long CPU profiles take, in seconds: the measurements that
// have one are longer, and wait for no profile.
const profileFor = "5"

// profileDuring takes a CPU profile from now on; stop waits for it.
func (b *bench) profileDuring(ctx context.Context, a *aggregator, what string) (stop func() error) {
	if b.cfg.Profile == "" {
		return func() error { return nil }
	}
	done := make(chan error, 1)
	go func() {
		done <- b.profile(ctx, a, "profile?seconds="+profileFor, strings.ReplaceAll(what, " ", "-")+".cpu")
	}()
	return func() error { return <-done }
}
