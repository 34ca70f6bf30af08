package standin

import (
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// A Kubelet is one stand-in kubelet. All methods can be called at any time
// from any goroutine.
type Kubelet struct {
	node       string
	resolution int64 // seconds
	token      string
	stage      *stage
	served     *servedLog
	faults     *faultState
	clock      atomic.Pointer[func() time.Time]
	requests   atomic.Int64
}

// New makes a kubelet that has served nothing yet and has no fault. It starts
// no goroutine. An error names the field of cfg that cannot be used.
func New(cfg Config) (*Kubelet, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	trace := cfg.Trace
	if trace == nil {
		var err error
		if trace, err = LoadTrace(); err != nil {
			return nil, fmt.Errorf("stand-in kubelet %s: %w", cfg.Node, err)
		}
	}
	k := &Kubelet{
		node:       cfg.Node,
		resolution: int64(cfg.Resolution.Seconds()),
		token:      cfg.Token,
		stage:      newStage(cfg, trace),
		served:     newServedLog(cfg.Resolution),
		faults:     newFaultState(),
	}
	k.SetClock(time.Now)
	return k, nil
}

// SetClock sets what time it is for the kubelet: it answers for the slot in
// which a request arrives. The default is time.Now.
func (k *Kubelet) SetClock(now func() time.Time) { k.clock.Store(&now) }

// SetFault makes the kubelet fail from the next request on. Faults are those
// that [ParseFault] accepts, and the zero value. Requests that an
// earlier fault still holds end: a slow answer comes at once, anything else
// loses its connection.
func (k *Kubelet) SetFault(f Fault) { k.faults.set(f) }

// Fault is the fault that is set.
func (k *Kubelet) Fault() Fault { return k.faults.get() }

// Close ends all requests that a fault holds, now and later. It does not wait
// for them: the server's Shutdown or Close does.
func (k *Kubelet) Close() { k.faults.close() }

// Requests is how many requests have arrived, answered or not.
func (k *Kubelet) Requests() int { return int(k.requests.Load()) }

// ServeHTTP answers GET /stats/summary, in the light form if the query has
// only_cpu_and_memory=true, to requests with the bearer token.
func (k *Kubelet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	turn := floorTo((*k.clock.Load())().Unix(), k.resolution) / k.resolution
	k.requests.Add(1)
	fault, ctx, end := k.faults.begin(r.Context())
	defer end()

	// What happens before a kubelet has read the request.
	switch fault.Kind {
	case Blackhole:
		<-ctx.Done()
		panic(http.ErrAbortHandler) // closes the connection without an answer
	case Reset:
		reset(w)
		return
	case Slow:
		wait := time.NewTimer(fault.Delay)
		defer wait.Stop()
		select {
		case <-wait.C:
		case <-ctx.Done():
		}
		if r.Context().Err() != nil {
			return
		}
	case Status:
		refuse(w, fault.Status)
		return
	}

	switch { // in the kubelet's order: authentication comes first
	case !k.authenticated(r):
		refuse(w, http.StatusUnauthorized)
		return
	case r.URL.Path != "/stats/summary":
		refuse(w, http.StatusNotFound)
		return
	case r.Method != http.MethodGet:
		w.Header().Set("Allow", http.MethodGet)
		refuse(w, http.StatusMethodNotAllowed)
		return
	}

	f := formOf(r.URL.Query())
	body, err := k.body(turn, f)
	if err != nil {
		refuse(w, http.StatusInternalServerError)
		return
	}
	switch fault.Kind {
	case Truncate:
		truncate(w, body)
	case Garbage:
		garble(w)
	case Endless:
		endless(ctx, w, body)
	default:
		k.serve(w, turn, f, body)
	}
}

func (k *Kubelet) authenticated(r *http.Request) bool {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return ok && subtle.ConstantTimeCompare([]byte(token), []byte(k.token)) == 1
}

// body is the document as the kubelet writes it: indented, without a newline at
// the end.
func (k *Kubelet) body(turn int64, f form) ([]byte, error) {
	return json.MarshalIndent(k.stage.document(turn, f), "", " ")
}

// serve sends the document and notes it. The note is made when all but the last
// byte has left: whoever has read the answer finds it in the truth, and an
// answer that could not be sent is not there.
func (k *Kubelet) serve(w http.ResponseWriter, turn int64, f form, body []byte) {
	announce(w, body)
	last := len(body) - 1
	if _, err := w.Write(body[:last]); err != nil {
		return
	}
	if err := http.NewResponseController(w).Flush(); err != nil {
		return
	}
	k.served.note(turn, f)
	_, _ = w.Write(body[last:])
}
