package obs

import (
	"net"
	"syscall"
	"testing"
)

// probedAfter is after how many idle seconds the kernel probes a connection.
func probedAfter(t *testing.T, c net.Conn) int {
	t.Helper()
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var on, seconds int
	err = raw.Control(func(fd uintptr) {
		on, _ = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_KEEPALIVE)
		seconds, _ = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE)
	})
	if err != nil || on == 0 {
		t.Fatalf("keep-alive %d, %v", on, err)
	}
	return seconds
}

// Both ends of idle connections are probed, each at another time.
func TestKeepAlive(t *testing.T) {
	const listeners = 40
	dialed, accepted := map[int]int{}, map[int]int{}
	for range listeners {
		l, err := Listen(t.Context(), "--listen", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		c, err := (&net.Dialer{KeepAliveConfig: KeepAlive()}).DialContext(t.Context(), "tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		a, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		dialed[probedAfter(t, c)]++
		accepted[probedAfter(t, a)]++
	}
	for name, times := range map[string]map[int]int{"dialed": dialed, "accepted": accepted} {
		// Of 61 times, drawn 40 times: that fewer than 10 differ does not happen.
		if len(times) < 10 {
			t.Errorf("%s: all are probed after %v", name, times)
		}
		for seconds := range times {
			if seconds < 60 || seconds > 120 {
				t.Errorf("%s: probed after %d s", name, seconds)
			}
		}
	}
}
