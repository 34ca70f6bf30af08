package app

import (
	"context"
	"log/slog"
	"time"

	"k8s.io/klog/v2"

	"github.com/rollcall-metrics/rollcall/pkg/obs"
)

// errorsPerMinute of Kubernetes' libraries are logged as such: what strangers send
// to metrics.k8s.io is an error to them, and every line of it would be logged.
const errorsPerMinute = 10

// LogKubernetes has what Kubernetes' libraries log come out of log, for the whole
// process: as debug messages, but for errors, of which a few are logged as warnings.
func LogKubernetes(log *slog.Logger) {
	klog.SetSlogLogger(slog.New(libraries{log.Handler(), obs.NewRarely(errorsPerMinute, time.Minute)}))
}

type libraries struct {
	to     slog.Handler
	rarely *obs.Rarely
}

// Enabled implements [slog.Handler], as the methods that follow do. Below debug are
// headers and bodies.
func (l libraries) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelError || (level >= slog.LevelInfo && l.to.Enabled(ctx, slog.LevelDebug))
}

func (l libraries) Handle(ctx context.Context, r slog.Record) error {
	level := slog.LevelDebug
	if r.Level >= slog.LevelError {
		if skipped, ok := l.rarely.Allow("error"); ok {
			level = slog.LevelWarn
			if skipped > 0 {
				r.AddAttrs(slog.Int("skipped", skipped))
			}
		}
	}
	if !l.to.Enabled(ctx, level) {
		return nil
	}
	r.Level = level
	return l.to.Handle(ctx, r)
}

func (l libraries) WithAttrs(attrs []slog.Attr) slog.Handler {
	return libraries{l.to.WithAttrs(attrs), l.rarely}
}

func (l libraries) WithGroup(name string) slog.Handler {
	return libraries{l.to.WithGroup(name), l.rarely}
}
