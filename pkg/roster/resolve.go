package roster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/identity"
)

// resolveTimeout bounds one DNS lookup; the next round is seconds away.
const resolveTimeout = 5 * time.Second

// resolve finds the addresses of all targets, each once and never our own.
// What cannot be resolved is in the error; the rest is still good.
func (j *joiner) resolve(ctx context.Context, targets []string) ([]netip.AddrPort, error) {
	var found []netip.AddrPort
	var errs []error
	own := map[netip.AddrPort]bool{
		j.cfg.self(): true,
		netip.AddrPortFrom(j.cfg.Bind, uint16(j.cfg.Port)): true,
	}
	for _, target := range targets {
		host, port, err := splitTarget(target, j.cfg.Port)
		if err == nil {
			var addrs []netip.Addr
			addrs, err = j.lookup(ctx, host)
			for _, addr := range addrs {
				if a := netip.AddrPortFrom(addr.Unmap(), port); !own[a] && !slices.Contains(found, a) {
					found = append(found, a)
				}
			}
		}
		if err != nil {
			j.metrics.joins.WithLabelValues("unresolved").Inc()
			errs = append(errs, err)
		}
	}
	return found, errors.Join(errs...)
}

func (j *joiner) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	if j.cfg.Resolve != nil {
		return j.cfg.Resolve(ctx, host)
	}
	// Not memberlist's own lookup: that joins every address it finds, in order.
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}

// splitTarget reads "host", "host:port", an address, or an address with port.
func splitTarget(target string, port int) (host string, _ uint16, _ error) {
	if _, err := netip.ParseAddr(target); err == nil {
		return target, uint16(port), nil
	}
	host, text, err := net.SplitHostPort(target)
	if err != nil {
		host, text = target, strconv.Itoa(port)
	}
	p, err := strconv.ParseUint(text, 10, 16)
	if _, ipErr := netip.ParseAddr(host); err != nil || p == 0 || ipErr != nil && !identity.ValidName(trimDot(host)) {
		return "", 0, fmt.Errorf("join %q: not a host or host:port", target)
	}
	return host, uint16(p), nil
}

// trimDot takes away the dot that keeps a resolver from its search list.
func trimDot(host string) string {
	if n := len(host); n > 0 && host[n-1] == '.' {
		return host[:n-1]
	}
	return host
}

func without(addrs []netip.AddrPort, known map[netip.AddrPort]bool) []netip.AddrPort {
	return slices.DeleteFunc(addrs, func(a netip.AddrPort) bool { return known[a] })
}
