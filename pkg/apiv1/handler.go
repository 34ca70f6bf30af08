package apiv1

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/rollcall-metrics/rollcall/pkg/coverage"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// A Config is what the contract depends on.
type Config struct {
	// Resolution is the distance of slots; steps are multiples of it.
	Resolution time.Duration
	// Namespaces, if not empty, are the only ones that are served.
	Namespaces []string
	// Timeout bounds an answer when the request does not say.
	Timeout time.Duration
}

func (c *Config) serves(namespace string) bool {
	return len(c.Namespaces) == 0 || slices.Contains(c.Namespaces, namespace)
}

// New returns the handler of /api/v1. Other paths are answered with the
// contract's 404, other methods with its 405.
// Answers are compressed if the client accepts that.
func New(cfg Config, source Source) http.Handler {
	h := &handler{cfg: cfg, source: source}
	gin.SetMode(gin.ReleaseMode)
	e := gin.New()
	e.HandleMethodNotAllowed = true
	e.RedirectTrailingSlash = false
	e.UseRawPath = true // a name with an escaped slash is one name, and unknown
	for _, path := range []string{"/node", "/node/:node"} {
		e.GET("/api/v1"+path, h.nodes)
	}
	for _, path := range []string{"/pod", "/pod/:namespace", "/pod/:namespace/:pod", "/pod/:namespace/:pod/:container"} {
		e.GET("/api/v1"+path, h.pods)
	}
	e.NoRoute(func(c *gin.Context) {
		fail(c, Errorf(NotFound, "no such path: %s; try /api/v1/node or /api/v1/pod", c.Request.URL.Path), nil)
	})
	e.NoMethod(func(c *gin.Context) {
		fail(c, Errorf(NotAllowed, "%s is not supported, only GET", c.Request.Method), nil)
	})
	return Compressed(e)
}

type handler struct {
	cfg         Config
	source      Source
	compressing Crowd
}

// nodes answers about all nodes or one.
func (h *handler) nodes(c *gin.Context) {
	p, answer, ok := h.ask(c, Question{Node: c.Param("node")})
	if !ok {
		return
	}
	defer answer.done()
	m := newMerger(p, &answer)
	if h.tooFew(c, m, false) {
		return
	}
	if r := start(c, p, &answer); r != nil {
		defer h.compressing.Enter(c.Writer.Header(), c.Request)()
		r.nodes(m)
	}
}

// pods answers about all pods, those of a namespace, one, or one container.
func (h *handler) pods(c *gin.Context) {
	namespace, name, container := c.Param("namespace"), c.Param("pod"), c.Param("container")
	if namespace != "" && !h.cfg.serves(namespace) {
		fail(c, Errorf(NotFound, "namespace %q is not among those that are served (--namespaces)", namespace), nil)
		return
	}
	p, answer, ok := h.ask(c, Question{Query: model.Query{Pods: true, Namespace: namespace, Pod: name, Container: container}})
	if !ok {
		return
	}
	defer answer.done()
	m := newMerger(p, &answer)
	if h.tooFew(c, m, true) {
		return
	}
	// What a node sends beyond the question is left out.
	m.list(func(ref *model.PodRef) bool {
		return h.cfg.serves(ref.Namespace) && (namespace == "" || namespace == ref.Namespace) && (name == "" || name == ref.Name)
	})
	if err := m.unknown(namespace, name, container); err != nil && answer.Coverage.Complete() {
		fail(c, err, &answer.Coverage)
		return
	}
	if r := start(c, p, &answer); r != nil {
		defer h.compressing.Enter(c.Writer.Header(), c.Request)()
		r.pods(m, container)
	}
}

// unknown says which of the names nobody knows; nil if all are known.
func (m *merger) unknown(namespace, pod, container string) error {
	if namespace == "" {
		return nil
	}
	here, known := m.known()
	switch {
	case !known && pod == "":
		return Errorf(NotFound, "no node has samples of a pod in namespace %q", namespace)
	case !known:
		return Errorf(NotFound, "no node has samples of pod %q in namespace %q", pod, namespace)
	case container != "" && here && !m.knowsContainer(container):
		return Errorf(NotFound, "pod %q in namespace %q has no samples of a container %q around this window", pod, namespace, container)
	}
	return nil
}

// ask understands the parameters and asks the source. When ok is false the
// request has been answered.
func (h *handler) ask(c *gin.Context, q Question) (p params, answer Answer, ok bool) {
	query, err := parseQuery(c)
	now := time.Now()
	if err == nil {
		p, err = parseParams(query, h.cfg, now, q.Pods)
	}
	if err != nil {
		fail(c, err, nil)
		return p, answer, false
	}
	q.From, q.To, q.Timeout, q.Latest = p.from, p.to, p.timeout, p.latest
	if p.latest {
		q.To = model.Sampled(now, h.cfg.Resolution)
		q.From = q.To - model.StaleSlots*int64(h.cfg.Resolution/time.Second)
		p.from, p.to = q.From, q.To
	}
	q.Metrics = model.MetricsOf(p.metrics...)
	if p.step > 0 {
		q.Step, q.Agg = p.step, p.agg
	}
	if q.Pods {
		q.Node = p.node
		q.NoOwn = !p.explicit
	}
	answer, err = h.source.Ask(c.Request.Context(), q)
	if err != nil {
		fail(c, err, nil)
		return p, answer, false
	}
	if answer.Slot != 0 {
		p.from, p.to = answer.Slot-(q.To-q.From), answer.Slot
	}
	return p, answer, true
}

// tooFew answers 503 if more nodes are missing than the request allows.
func (h *handler) tooFew(c *gin.Context, m *merger, pods bool) bool {
	if m.partial == 0 {
		return false
	}
	m.check(pods)
	cov := &m.answer.Coverage
	if cov.Share() >= m.partial && (m.partial < 1 || cov.Complete()) {
		return false
	}
	c.Header("Cache-Control", "no-store")
	fail(c, Errorf(Incomplete, "%d of %d nodes answered, the request asks for a share of %s",
		cov.Answered, cov.Expected, fmt.Sprint(m.partial)), cov)
	return true
}

// start sends the headers of a good answer. It returns nil if the client has
// the answer already.
func start(c *gin.Context, p params, a *Answer) *renderer {
	if !a.Coverage.Complete() {
		c.Header("Cache-Control", "no-store")
	} else if a.Tag != "" {
		tag := `"` + a.Tag + `"`
		c.Header("ETag", "W/"+tag)
		if hasTag(c.Request.Header, tag) {
			c.Status(http.StatusNotModified)
			return nil
		}
	}
	c.Header("Content-Type", "application/json")
	c.Status(http.StatusOK)
	return newRenderer(p, c.Writer)
}

// hasTag tells whether If-None-Match names that tag, weak or not (RFC 9110,
// 13.1.2).
func hasTag(h http.Header, tag string) bool {
	for _, list := range h.Values("If-None-Match") {
		for had := range strings.SplitSeq(list, ",") {
			if had = strings.TrimSpace(had); had == "*" || strings.TrimPrefix(had, "W/") == tag {
				return true
			}
		}
	}
	return false
}

// fail answers with an error, and the coverage if there is one.
func fail(c *gin.Context, err error, cov *coverage.Coverage) {
	status, body := errorJSON(err, cov)
	if status == http.StatusTooManyRequests {
		c.Header("Retry-After", retryAfter)
	}
	c.Data(status, "application/json", body)
}
