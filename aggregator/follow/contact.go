package follow

import (
	"errors"
	"log/slog"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The verbs with which the API server is asked.
const (
	listing  = "list"
	watching = "watch"
)

// A Contact is how it goes to ask the API server for one resource. It is safe for
// concurrent use.
type Contact struct {
	resource  string
	meanwhile func() string
	log       *slog.Logger
	metrics   *Metrics

	mu     sync.Mutex
	last   time.Time          // when it said something; zero: never
	failed map[string]Failure // by verb: one may work and the other not
}

// A Failure is a verb that does not work.
type Failure struct {
	Verb  string    // "list" or "watch"
	Since time.Time // of its first failure, after which there was no success
	Err   error     // of its last one
}

// New makes a Contact, which asks nothing until Follow. Resource names it, in the
// plural, as RBAC does; meanwhile says what holds while the API server does not
// answer, for the log.
func New(resource string, meanwhile func() string, log *slog.Logger, metrics *Metrics) *Contact {
	metrics.show(resource)
	return &Contact{resource: resource, meanwhile: meanwhile, log: log, metrics: metrics, failed: map[string]Failure{}}
}

// State is when the API server last said something about the resource, zero if it
// never did, and what does not work, nil if everything does. A list that fails says
// more than a watch.
func (c *Contact) State() (last time.Time, failed *Failure) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, verb := range []string{listing, watching} {
		if f, ok := c.failed[verb]; ok {
			return c.last, &f
		}
	}
	return c.last, nil
}

// Hint is what to do about it, as a sentence for people that begins with a space;
// empty if that is not known. Grant ends the sentence "Grant this aggregator's
// service account list and watch on …".
func (f *Failure) Hint(grant string) string {
	switch {
	case apierrors.IsForbidden(f.Err):
		return " Grant this aggregator's service account list and watch on " + grant + "."
	case apierrors.IsUnauthorized(f.Err):
		return " See whether the API server accepts this aggregator's service account token."
	case errors.Is(f.Err, errListExpired):
		return " See why it takes the API server so long to list them."
	case reasonOf(f.Err) == "":
		return " See whether this aggregator reaches the API server."
	}
	return ""
}

// heard notes that the API server said something without being asked anew.
func (c *Contact) heard() {
	c.metrics.contact.WithLabelValues(c.resource).SetToCurrentTime()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = time.Now()
}

// asked notes how a request went, and logs that once per change.
func (c *Contact) asked(verb string, err error) {
	if err != nil && !apierrors.IsResourceExpired(err) && !apierrors.IsGone(err) { // those two want to be asked anew
		c.metrics.requests.WithLabelValues(c.resource, verb, "failed").Inc()
		c.fail(verb, err)
		return
	}
	c.metrics.requests.WithLabelValues(c.resource, verb, "ok").Inc()
	c.heard()
	c.mu.Lock()
	defer c.mu.Unlock()
	if f, ok := c.failed[verb]; ok {
		delete(c.failed, verb)
		c.log.Info("the API server answers again", "resource", c.resource, "verb", verb, "after", time.Since(f.Since))
	}
}

func (c *Contact) fail(verb string, err error) {
	meanwhile := c.meanwhile()
	c.mu.Lock()
	defer c.mu.Unlock()
	before, known := c.failed[verb]
	f := Failure{Verb: verb, Since: time.Now(), Err: err}
	if known {
		f.Since = before.Since
	}
	c.failed[verb] = f
	// By its kind: the text of a network's error has another port each time.
	if !known || reasonOf(before.Err) != reasonOf(err) {
		c.log.Warn("the API server does not answer", "resource", c.resource, "verb", verb, "err", err, "meanwhile", meanwhile)
	}
}

// reasonOf is the kind of an error, empty if the API server did not say it.
func reasonOf(err error) metav1.StatusReason { return apierrors.ReasonForError(err) }
