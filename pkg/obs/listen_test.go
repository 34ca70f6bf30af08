package obs

import (
	"errors"
	"strings"
	"syscall"
	"testing"
)

func TestListenTakesAFreePort(t *testing.T) {
	l, err := Listen(t.Context(), "--listen", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if strings.HasSuffix(l.Addr().String(), ":0") {
		t.Errorf("listens on %v", l.Addr())
	}
}

func TestListenPortInUse(t *testing.T) {
	l, err := Listen(t.Context(), "--listen", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()

	addr := l.Addr().String()
	_, err = Listen(t.Context(), "metrics-listen", addr)
	want := "--metrics-listen " + addr + ": bind: address already in use; another process has this port (ss -ltnp shows which): stop it, or choose another port"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	if !errors.Is(err, syscall.EADDRINUSE) {
		t.Error("the system's error is not wrapped")
	}
}

func TestListenErrors(t *testing.T) {
	tests := []struct{ name, addr, step string }{
		{"no port", "127.0.0.1", "want host:port"},
		{"too many colons", "::1:8000", "want host:port"},
		{"port out of range", "127.0.0.1:70000", "want host:port"},
		{"not an address of this host", "192.0.2.1:0", "does not have that address"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l, err := Listen(t.Context(), "listen", tt.addr)
			if err == nil {
				_ = l.Close()
				t.Fatalf("listens on %s", tt.addr)
			}
			if text := err.Error(); !strings.HasPrefix(text, "--listen "+tt.addr+": ") || !strings.Contains(text, tt.step) || strings.Contains(text, "\n") {
				t.Errorf("got %q, want one line with the flag, the address and %q", text, tt.step)
			}
		})
	}
}

func TestNextStep(t *testing.T) {
	if got := nextStep(syscall.EACCES); !strings.Contains(got, "CAP_NET_BIND_SERVICE") {
		t.Errorf("got %q", got)
	}
	if got := nextStep(errors.New("something else")); got != "" {
		t.Errorf("got %q for an unknown error", got)
	}
}

func TestRequireLoopback(t *testing.T) {
	tests := []struct {
		addr string
		want string // in the error; "" is none
	}{
		{"127.0.0.1:9811", ""},
		{"127.8.9.10:0", ""},
		{"[::1]:9811", ""},
		{"[::ffff:127.0.0.1]:9811", ""},
		{"localhost:9811", ""},
		{":9811", "not a loopback address"},
		{"0.0.0.0:9811", "not a loopback address"},
		{"[::]:9811", "not a loopback address"},
		{"10.1.2.3:9811", "not a loopback address"},
		{"[::ffff:10.1.2.3]:9811", "not a loopback address"},
		{"node-1:9811", "not a loopback address"},
		{"127.0.0.1.example.com:9811", "not a loopback address"},
		{"127.0.0.1", "missing port in address; want host:port"},
		{"", "missing port in address; want host:port"},
	}
	for _, tt := range tests {
		t.Run(tt.addr, func(t *testing.T) {
			err := RequireLoopback("--debug-listen", tt.addr)
			switch {
			case tt.want == "" && err != nil:
				t.Error(err)
			case tt.want != "" && (err == nil || !strings.HasPrefix(err.Error(), "--debug-listen "+tt.addr+": ") || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("got %v, want the flag, the address and %q", err, tt.want)
			}
		})
	}
}
