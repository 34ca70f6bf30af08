package standin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// setFault sets a fault by its name.
func setFault(t *testing.T, k *Kubelet, text string) {
	t.Helper()
	f, err := ParseFault(text)
	if err != nil {
		t.Fatal(err)
	}
	k.SetFault(f)
	if got := k.Fault(); got != f {
		t.Fatalf("fault is %v, want %v", got, f)
	}
}

// TestFaults asks a kubelet with each fault, and again once it is lifted.
func TestFaults(t *testing.T) {
	for fault, check := range map[string]func(t *testing.T, resp *http.Response, body []byte, err error){
		"reset": func(t *testing.T, _ *http.Response, _ []byte, err error) {
			if !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("error is %v, want connection reset", err)
			}
		},
		"slow:1ms": func(t *testing.T, resp *http.Response, body []byte, err error) {
			if err != nil || resp.StatusCode != 200 || !json.Valid(body) {
				t.Errorf("not a proper answer: %v", err)
			}
		},
		"status:500": refused(500, "Internal Error: failed to list pod stats: failed to list all container stats: rpc error: code = DeadlineExceeded desc = context deadline exceeded"),
		"status:401": refused(401, "Unauthorized"),
		"status:403": refused(403, "Forbidden (user=system:serviceaccount:rollcall:rollcall-agent, verb=get, resource=nodes, subresource(s)=[stats])"),
		"status:503": refused(503, "Service Unavailable"),
		"truncate": func(t *testing.T, resp *http.Response, body []byte, err error) {
			if !errors.Is(err, io.ErrUnexpectedEOF) || resp.StatusCode != 200 || int64(len(body)) != resp.ContentLength/2 {
				t.Errorf("%d bytes, error %v; want half of what was announced, unexpected EOF", len(body), err)
			}
		},
		"garbage": func(t *testing.T, resp *http.Response, body []byte, err error) {
			if err != nil || resp.StatusCode != 200 || len(body) == 0 || json.Valid(body) {
				t.Errorf("%d bytes, error %v; want a whole body that is not JSON", len(body), err)
			}
		},
	} {
		t.Run(fault, func(t *testing.T) {
			k := newKubelet(t, nil)
			s := serve(t, k)
			setFault(t, k, fault)
			resp, body, err := s.get(t, "/stats/summary")
			check(t, resp, body, err)
			wantServed := 0
			if fault == "slow:1ms" {
				wantServed = 1
			}
			if got := len(k.Truth(noon.Unix(), noon.Unix()).Slots); got != wantServed {
				t.Errorf("%d slots count as served, want %d", got, wantServed)
			}

			setFault(t, k, "none")
			if resp, body, err := s.get(t, "/stats/summary"); err != nil || resp.StatusCode != 200 || !json.Valid(body) {
				t.Errorf("lifted, but no proper answer: %v", err)
			}
			if got := len(k.Truth(noon.Unix(), noon.Unix()).Slots); got != 1 {
				t.Errorf("lifted: %d slots count as served, want 1", got)
			}
		})
	}
}

// TestFaultsOverHTTP2: a server that offers HTTP/2 fails as well, by stream.
func TestFaultsOverHTTP2(t *testing.T) {
	k := newKubelet(t, nil)
	s := httptest.NewUnstartedServer(k)
	s.EnableHTTP2 = true
	s.StartTLS()
	defer s.Close()
	defer k.Close()
	over2 := &testServer{Server: s, client: s.Client()}
	for _, fault := range []string{"reset", "truncate"} {
		setFault(t, k, fault)
		if _, _, err := over2.get(t, "/stats/summary"); err == nil {
			t.Errorf("%s: no error", fault)
		}
	}
	setFault(t, k, "none")
	if resp, _, err := over2.get(t, "/stats/summary"); err != nil || resp.ProtoMajor != 2 {
		t.Errorf("lifted: %v, want a proper answer over HTTP/2", err)
	}
}

func refused(status int, want string) func(*testing.T, *http.Response, []byte, error) {
	return func(t *testing.T, resp *http.Response, body []byte, err error) {
		if err != nil || resp.StatusCode != status || string(body) != want {
			t.Errorf("got %q, %v; want %d %q", body, err, status, want)
		}
	}
}

// TestTokenComesBeforeTheBody: a body that fails needs a token like any other.
func TestTokenComesBeforeTheBody(t *testing.T) {
	k := newKubelet(t, nil)
	for _, fault := range []string{"slow:1ns", "truncate", "garbage", "endless"} {
		setFault(t, k, fault)
		w := httptest.NewRecorder()
		k.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/stats/summary", nil))
		if w.Code != http.StatusUnauthorized {
			t.Errorf("%s: answered %d without a token", fault, w.Code)
		}
	}
}

// TestBlackholeEnds checks all three ways out of a black hole, after a day.
func TestBlackholeEnds(t *testing.T) {
	for name, end := range map[string]func(k *Kubelet, cancel func()){
		"the client goes away": func(_ *Kubelet, cancel func()) { cancel() },
		"the fault is lifted":  func(k *Kubelet, _ func()) { k.SetFault(Fault{}) },
		"another fault is set": func(k *Kubelet, _ func()) { k.SetFault(Fault{Kind: Blackhole}) },
		"the kubelet closes":   func(k *Kubelet, _ func()) { k.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := newKubelet(t, nil)
				setFault(t, k, "blackhole")
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/stats/summary", nil)
				r.Header.Set("Authorization", "Bearer "+testToken)
				w := httptest.NewRecorder()
				time.AfterFunc(24*time.Hour, func() { end(k, cancel) })
				began := time.Now()
				func() {
					defer func() {
						if err, _ := recover().(error); !errors.Is(err, http.ErrAbortHandler) {
							t.Errorf("the handler ended with %v, want ErrAbortHandler", err)
						}
					}()
					k.ServeHTTP(w, r)
				}()
				if took := time.Since(began); took != 24*time.Hour || w.Body.Len() != 0 {
					t.Errorf("%d bytes after %v, want none, until the end", w.Body.Len(), took)
				}
			})
		})
	}
}

// TestBlackholeAfterClose: a closed kubelet holds nobody, whatever is set.
func TestBlackholeAfterClose(t *testing.T) {
	k := newKubelet(t, nil)
	s := serve(t, k)
	k.Close()
	setFault(t, k, "blackhole")
	if _, _, err := s.get(t, "/stats/summary"); !errors.Is(err, io.EOF) {
		t.Errorf("error is %v, want EOF", err)
	}
}

// TestEndlessEnds reads more than any document has, and then goes away, lifts
// the fault, or closes the kubelet.
func TestEndlessEnds(t *testing.T) {
	for name, end := range map[string]func(k *Kubelet, cancel func()){
		"the client goes away": func(_ *Kubelet, cancel func()) { cancel() },
		"the fault is lifted":  func(k *Kubelet, _ func()) { k.SetFault(Fault{}) },
		"the kubelet closes":   func(k *Kubelet, _ func()) { k.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			k := newKubelet(t, nil)
			setFault(t, k, "endless")
			s := serve(t, k)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			resp, err := s.client.Do(s.request(t, "/stats/summary").WithContext(ctx))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if _, err := io.CopyN(io.Discard, resp.Body, 1<<20); err != nil {
				t.Fatalf("the body ended: %v", err)
			}
			end(k, cancel)
			if _, err := io.Copy(io.Discard, resp.Body); err == nil {
				t.Error("the body ended as if it were complete")
			}
			if got := len(k.Truth(noon.Unix(), noon.Unix()).Slots); got != 0 {
				t.Errorf("%d slots count as served", got)
			}
		})
	}
}

// TestEndlessToAReaderThatStopped: a paused agent does not read, and a lifted
// fault must end all the same. The server's Close waits for the handler.
func TestEndlessToAReaderThatStopped(t *testing.T) {
	k := newKubelet(t, nil)
	setFault(t, k, "endless")
	ended := make(chan error, 1)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			err, _ := recover().(error)
			ended <- err
			panic(err)
		}()
		k.ServeHTTP(stuck{ResponseWriter: w}, r)
	}))
	defer s.Close()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/stats/summary", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+testToken)
	resp, err := s.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	k.SetFault(Fault{})
	if err := <-ended; !errors.Is(err, http.ErrAbortHandler) {
		t.Errorf("the handler ended with %v, want ErrAbortHandler", err)
	}
}

// A stuck response writer sends so much at once that a reader who does not read
// blocks it: far more than the sockets hold.
type stuck struct{ http.ResponseWriter }

func (s stuck) Unwrap() http.ResponseWriter { return s.ResponseWriter }

func (s stuck) Write(p []byte) (int, error) {
	if len(p) == endlessChunk {
		_, err := s.ResponseWriter.Write(make([]byte, 64<<20))
		return len(p), err
	}
	n, err := s.ResponseWriter.Write(p)
	_ = http.NewResponseController(s.ResponseWriter).Flush()
	return n, err
}

// TestSlow checks the delay, in a bubble of its own time.
func TestSlow(t *testing.T) {
	k := newKubelet(t, nil)
	body := mustBody(t, k, k.turnAt(noon), full)
	for name, c := range map[string]struct {
		then func(k *Kubelet, cancel func()) // after 1 s
		took time.Duration
		want int // bytes
	}{
		"all the time":         {func(*Kubelet, func()) {}, 3 * time.Second, len(body)},
		"the client goes away": {func(_ *Kubelet, cancel func()) { cancel() }, time.Second, 0},
		"the fault is lifted":  {func(k *Kubelet, _ func()) { k.SetFault(Fault{}) }, time.Second, len(body)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := newKubelet(t, nil)
				setFault(t, k, "slow:3s")
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				time.AfterFunc(time.Second, func() { c.then(k, cancel) })
				r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/stats/summary", nil)
				r.Header.Set("Authorization", "Bearer "+testToken)
				w := httptest.NewRecorder()
				began := time.Now()
				k.ServeHTTP(w, r)
				if took := time.Since(began); took != c.took || w.Body.Len() != c.want {
					t.Errorf("%d bytes after %v, want %d after %v", w.Body.Len(), took, c.want, c.took)
				}
			})
		})
	}
}
