package expected

import (
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The verbs with which the API server is asked.
const (
	listing  = "list"
	watching = "watch"
)

// contact is how it goes to ask the API server for one resource.
type contact struct {
	resource string
	// meanwhile says what holds while it does not answer, for people.
	meanwhile func() string
	log       *slog.Logger
	requests  *prometheus.CounterVec

	mu     sync.Mutex
	last   time.Time          // when it said something; zero: never
	failed map[string]failure // by verb: one may work and the other not
}

// failure is why a verb does not work, and since when.
type failure struct {
	since time.Time
	err   error
}

func newContact(resource string, meanwhile func() string, log *slog.Logger, requests *prometheus.CounterVec) *contact {
	for _, verb := range []string{listing, watching} {
		for _, result := range []string{"ok", "failed"} {
			requests.WithLabelValues(resource, verb, result)
		}
	}
	return &contact{resource: resource, meanwhile: meanwhile, log: log, requests: requests, failed: map[string]failure{}}
}

// heard notes that the API server said something without being asked anew.
func (c *contact) heard() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = time.Now()
}

// asked notes how a request went, and logs that once per change.
func (c *contact) asked(verb string, err error) {
	if err != nil && !apierrors.IsResourceExpired(err) && !apierrors.IsGone(err) { // those two want to be asked anew
		c.requests.WithLabelValues(c.resource, verb, "failed").Inc()
		c.fail(verb, err)
		return
	}
	c.requests.WithLabelValues(c.resource, verb, "ok").Inc()
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = now
	if f, ok := c.failed[verb]; ok {
		delete(c.failed, verb)
		c.log.Info("the API server answers again", "resource", c.resource, "verb", verb, "after", now.Sub(f.since))
	}
}

func (c *contact) fail(verb string, err error) {
	meanwhile := c.meanwhile()
	c.mu.Lock()
	defer c.mu.Unlock()
	before, known := c.failed[verb]
	f := failure{since: time.Now(), err: err}
	if known {
		f.since = before.since
	}
	c.failed[verb] = f
	// By its kind: the text of a network's error has another port each time.
	if !known || reasonOf(before.err) != reasonOf(err) {
		c.log.Warn("the API server does not answer", "resource", c.resource, "verb", verb, "err", err, "meanwhile", meanwhile)
	}
}

// reasonOf is the kind of an error, empty if the API server did not say it.
func reasonOf(err error) metav1.StatusReason { return apierrors.ReasonForError(err) }

// state is when the API server last said something, and what does not work, if
// anything; a list that fails says more than a watch.
func (c *contact) state() (last time.Time, verb string, f failure) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, verb := range []string{listing, watching} {
		if f, ok := c.failed[verb]; ok {
			return c.last, verb, f
		}
	}
	return c.last, "", failure{}
}
