package roster

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/netip"
	"strings"

	"github.com/rollcall-metrics/rollcall/pkg/obs"
)

// memberlistLog is where memberlist's lines go. A packet of a stranger can
// cause one, so there is a budget; what the delegates log themselves, better,
// and what is routine is for debugging only.
type memberlistLog struct {
	log    *slog.Logger
	rarely *obs.Rarely
	// refused is told of what strangers sent. It may be nil.
	refused func(reason string)
	// mistaken is told of members that took us for the process before this one,
	// by the address that their message came from. It may be nil.
	mistaken func(from netip.Addr)
}

// unexpected begins the line about a ping for another name than ours: with the
// gossip key, to our address. Names have the start of a process, see [life], so
// the sender has not heard yet that we were started again.
const unexpected = "Got ping for unexpected"

// sender is the address at the end of memberlist's line.
func sender(text string) (netip.Addr, bool) {
	_, from, _ := strings.Cut(text, " from=")
	addr, err := netip.ParseAddrPort(from)
	return addr.Addr().Unmap(), err == nil
}

// stranger is why memberlist has refused a packet or a stream before any
// delegate could see it; "" if the line is about something else. memberlist has
// no other way to tell.
func stranger(text string) string {
	switch {
	case strings.Contains(text, "label header"), strings.Contains(text, "unacceptable label"), strings.Contains(text, "cannot decode label"):
		return wrongLabel
	case strings.Contains(text, "decrypt"), strings.Contains(text, "Decrypt"), strings.Contains(text, "is not encrypted"):
		return noKey
	}
	return ""
}

// routine are beginnings of lines that are logged elsewhere or mean nothing.
var routine = [...]string{
	"ignoring alive message", // NotifyAlive
	"Conflicting address",    // NotifyConflict
	"Refuting",               // normal after a restart
	unexpected,               // likewise, at the same address: for the process before
}

func (l *memberlistLog) Write(line []byte) (int, error) {
	level, text := parseLine(string(bytes.TrimSpace(line)))
	if reason := stranger(text); reason != "" && l.refused != nil {
		l.refused(reason)
	}
	if strings.HasPrefix(text, unexpected) && l.mistaken != nil {
		if from, ok := sender(text); ok {
			l.mistaken(from)
		}
	}
	for _, start := range routine {
		if strings.HasPrefix(text, start) {
			level = slog.LevelDebug
		}
	}
	// What was under way when the network was closed fails, as it should.
	if strings.HasSuffix(text, net.ErrClosed.Error()) {
		level = slog.LevelDebug
	}
	if !l.log.Enabled(context.Background(), level) {
		return len(line), nil
	}
	if level == slog.LevelDebug {
		l.log.Debug("memberlist", "line", text)
		return len(line), nil
	}
	if skipped, ok := l.rarely.Allow(level.String()); ok {
		l.log.Log(context.Background(), level, "memberlist", "line", text, "not_logged_before", skipped)
	}
	return len(line), nil
}

// parseLine splits "[WARN] memberlist: text".
func parseLine(line string) (slog.Level, string) {
	prefix, text, ok := strings.Cut(line, "] ")
	if !ok {
		return slog.LevelInfo, line
	}
	text = strings.TrimPrefix(text, "memberlist: ")
	switch prefix {
	case "[DEBUG":
		return slog.LevelDebug, text
	case "[INFO":
		return slog.LevelInfo, text
	case "[WARN":
		return slog.LevelWarn, text
	case "[ERR", "[ERROR":
		return slog.LevelError, text
	}
	return slog.LevelInfo, line
}
