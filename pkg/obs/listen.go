package obs

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"time"
)

// leastKeepAlive is how long a connection is idle before it is probed, and
// mostKeepAlive the same at most.
const leastKeepAlive, mostKeepAlive = time.Minute, 2 * time.Minute

// KeepAlive says when the kernel probes a connection that is idle. It is another
// time for each call: of 5000 connections that were used at the same moment, all
// would be probed at the same moment, which is more packets than a kernel queues
// for a virtual interface (net.core.netdev_max_backlog, 1000). The same ones
// would get lost each time, until the kernel takes these connections for dead.
func KeepAlive() net.KeepAliveConfig {
	idle := leastKeepAlive + rand.N(mostKeepAlive-leastKeepAlive)
	return net.KeepAliveConfig{Enable: true, Idle: idle.Round(time.Second)}
}

// Listen listens on addr, a TCP "host:port" that came from the named flag
// ("--listen"); port 0 takes any free one. Its connections are probed as
// [KeepAlive] says, at one time for all. The error is one line that names
// the flag, the address, what went wrong, and what to do about it; it wraps
// the system's error. The caller closes the listener, or gives it to [Serve].
func Listen(ctx context.Context, flagName, addr string) (net.Listener, error) {
	lc := net.ListenConfig{KeepAliveConfig: KeepAlive()}
	l, err := lc.Listen(ctx, "tcp", addr)
	if err == nil {
		return l, nil
	}
	// A net.OpError says the address again.
	if op := (*net.OpError)(nil); errors.As(err, &op) {
		err = op.Err
	}
	return nil, fmt.Errorf("%s %s: %w%s", dashed(flagName), addr, err, nextStep(err))
}

// nextStep says what usually helps against an error of listen, or "".
func nextStep(err error) string {
	var (
		badAddr *net.AddrError
		dns     *net.DNSError
	)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return "; another process has this port (ss -ltnp shows which): stop it, or choose another port"
	case errors.Is(err, syscall.EACCES):
		return "; ports below 1024 need CAP_NET_BIND_SERVICE: choose a higher one"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "; this host does not have that address: choose one of its own, or leave the host out for all of them"
	case errors.As(err, &badAddr):
		return "; want host:port, like 127.0.0.1:8000 or :8000"
	case errors.As(err, &dns):
		return "; want an IP address of this host, or a name or port that it can look up"
	}
	return ""
}

// RequireLoopback returns an error that names the flag if addr, a "host:port",
// can be reached from outside this host. The debug listeners ask nobody who
// they are, so only loopback is safe for them; who may reach that is decided
// by whoever decides on kubectl port-forward.
func RequireLoopback(flagName, addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("%s %s: %w; want host:port, like 127.0.0.1:9811", dashed(flagName), addr, addrReason(err))
	}
	if host == "localhost" {
		return nil
	}
	// Other names are refused unasked: what they resolve to is up to DNS.
	if ip, err := netip.ParseAddr(host); err == nil && ip.Unmap().IsLoopback() {
		return nil
	}
	return fmt.Errorf("%s %s: not a loopback address, and this listener has no authentication; want 127.0.0.1, [::1] or localhost", dashed(flagName), addr)
}

// addrReason takes the address out of an error that would repeat it.
func addrReason(err error) error {
	if a := (*net.AddrError)(nil); errors.As(err, &a) {
		return errors.New(a.Err)
	}
	return err
}

// dashed writes a flag as the user does, whichever way the caller spells it.
func dashed(flagName string) string { return "--" + strings.TrimLeft(flagName, "-") }
