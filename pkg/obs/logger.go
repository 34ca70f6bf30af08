package obs

import (
	"fmt"
	"io"
	"log/slog"
)

// NewLogger returns a logger that writes one line per record to w. The level
// is debug, info, warn or error, the format text or json; the error for
// anything else names the flag, --log-level or --log-format, and what it takes.
func NewLogger(w io.Writer, level, format string) (*slog.Logger, error) {
	opts := &slog.HandlerOptions{}
	// Not slog.Level.UnmarshalText: it takes "INFO+2" and any case, and what
	// the flags take should be what --help says.
	switch level {
	case "debug":
		opts.Level = slog.LevelDebug
	case "info":
		opts.Level = slog.LevelInfo
	case "warn":
		opts.Level = slog.LevelWarn
	case "error":
		opts.Level = slog.LevelError
	default:
		return nil, fmt.Errorf("--log-level is %q, want debug, info, warn or error", level)
	}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(w, opts)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, opts)), nil
	default:
		return nil, fmt.Errorf("--log-format is %q, want text or json", format)
	}
}
