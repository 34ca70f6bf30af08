package apiv1

import (
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/rollcall-metrics/rollcall/pkg/model"
)

const (
	// defaultWindow is what a request without a time gets.
	defaultWindow = 15 * time.Minute
	// maxTimeout is the longest that a request may ask for.
	maxTimeout = time.Minute
	// maxSteps is how many steps an answer may have: a week of 15 s. Steps are
	// put together one by one, in whatever order they come.
	maxSteps = 50_000
)

// params are a request's parameters, understood.
type params struct {
	from, to int64 // Unix seconds, both included
	latest   bool  // only the newest point, whatever its time
	step     int64 // seconds; 0: every slot
	agg      model.Aggregate
	metrics  []model.Metric
	explicit bool // the request names the metrics
	node     string
	// partial is the share of expected nodes that must answer; deny is 1.
	partial float64
	timeout time.Duration
}

// parseParams understands a request's parameters; errors name the parameter
// and are of kind Invalid. pods tells whether the route is one of pods.
func parseParams(v url.Values, cfg Config, now time.Time, pods bool) (params, error) {
	p := params{agg: model.Mean, metrics: []model.Metric{model.CPU, model.WorkingSet}, timeout: cfg.Timeout}
	for name, values := range v {
		if len(values) > 1 {
			return p, Errorf(Invalid, "parameter %q is given %d times", name, len(values))
		}
		var err error
		switch value := values[0]; name {
		case "window", "start", "end":
			// Understood together, below.
		case "step":
			p.step, err = parseStep(value, cfg.Resolution)
		case "agg":
			p.agg, err = model.ParseAggregate(value)
		case "latest":
			if p.latest = value == "true"; !p.latest && value != "false" {
				err = Errorf(Invalid, "%q is neither true nor false", value)
			}
		case "metrics":
			p.explicit = true
			p.metrics, err = parseMetrics(value)
		case "partial":
			p.partial, err = parsePartial(value)
		case "timeout":
			p.timeout, err = parseDuration(value)
			if err == nil && p.timeout > maxTimeout {
				err = Errorf(Invalid, "%v is longer than %v", p.timeout, maxTimeout)
			}
		case "node":
			if !pods {
				return p, Errorf(Invalid, "parameter %q is for pods; the node is part of the path: /api/v1/node/%s", name, value)
			}
			if p.node = value; value == "" {
				err = Errorf(Invalid, "it is empty")
			}
		default:
			return p, Errorf(Invalid, "unknown parameter %q; known are window, start, end, step, agg, latest, metrics, partial, timeout and, for pods, node", name)
		}
		if err != nil {
			return p, Errorf(Invalid, "parameter %q: %v", name, err)
		}
	}
	if p.latest {
		return p, p.noTime(v)
	}
	return p, p.parseTime(v, now)
}

// noTime refuses what makes no sense with only the newest points.
func (p *params) noTime(v url.Values) error {
	for _, name := range []string{"window", "start", "end", "step", "agg"} {
		if v.Has(name) {
			return Errorf(Invalid, "parameter %q: there is only one point with latest=true", name)
		}
	}
	return nil
}

// parseTime understands window, start and end.
func (p *params) parseTime(v url.Values, now time.Time) error {
	window := defaultWindow
	var err error
	if v.Has("window") {
		if v.Has("start") && v.Has("end") {
			return Errorf(Invalid, "parameter %q: start and end say it already", "window")
		}
		if window, err = parseDuration(v.Get("window")); err != nil {
			return Errorf(Invalid, "parameter %q: %v", "window", err)
		}
	}
	start, end := now.Add(-window), now
	if v.Has("end") {
		if end, err = parseInstant(v.Get("end")); err != nil {
			return Errorf(Invalid, "parameter %q: %v", "end", err)
		}
		start = end.Add(-window)
	}
	if v.Has("start") {
		if start, err = parseInstant(v.Get("start")); err != nil {
			return Errorf(Invalid, "parameter %q: %v", "start", err)
		}
		if v.Has("window") {
			end = start.Add(window)
		}
	}
	if start.After(end) {
		return Errorf(Invalid, "parameter %q: %s is after the end, %s", "start", start.UTC().Format(time.RFC3339), end.UTC().Format(time.RFC3339))
	}
	p.from, p.to = start.Unix(), end.Unix()
	if start.Nanosecond() > 0 {
		p.from++ // the first whole second that is not before start
	}
	if p.step > 0 {
		// A first step that is cut would change with the time of asking.
		p.from -= ((p.from % p.step) + p.step) % p.step
		if (p.to-p.from)/p.step > maxSteps {
			return Errorf(Invalid, "parameter %q: the window has more than %d steps of %ds; take longer ones, or none", "step", maxSteps, p.step)
		}
	}
	return nil
}

// parseInstant reads Unix seconds or RFC 3339.
func parseInstant(s string) (time.Time, error) {
	if sec, err := strconv.ParseInt(s, 10, 64); err == nil {
		if sec < -1<<37 || sec > 1<<37 {
			return time.Time{}, Errorf(Invalid, "%d seconds are thousands of years; it takes seconds, not milliseconds", sec)
		}
		return time.Unix(sec, 0), nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return t, Errorf(Invalid, "%q is neither Unix seconds nor RFC 3339 (2026-11-21T03:14:45Z)", s)
	}
	return t, nil
}

// parseDuration reads "15m" or a number of seconds; it is positive.
func parseDuration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if sec, numErr := strconv.ParseInt(s, 10, 32); numErr == nil {
		d, err = time.Duration(sec)*time.Second, nil
	}
	if err != nil || d <= 0 {
		return 0, Errorf(Invalid, "%q is not a positive duration such as 90s, 15m or 24h", s)
	}
	return d, nil
}

func parseStep(s string, resolution time.Duration) (int64, error) {
	d, err := parseDuration(s)
	if err != nil {
		return 0, err
	}
	if d%resolution != 0 {
		return 0, Errorf(Invalid, "%v is not a multiple of the resolution, %v", d, resolution)
	}
	if d > math.MaxInt32*time.Second {
		return 0, Errorf(Invalid, "%v is longer than any history", d)
	}
	return int64(d / time.Second), nil
}

func parseMetrics(s string) ([]model.Metric, error) {
	var metrics []model.Metric
	for name := range strings.SplitSeq(s, ",") {
		m, err := model.ParseMetric(name)
		if err != nil {
			return nil, err
		}
		if slices.Contains(metrics, m) {
			return nil, Errorf(Invalid, "%s is given twice", name)
		}
		metrics = append(metrics, m)
	}
	return metrics, nil
}

// parsePartial reads allow, deny or min:0.99.
func parsePartial(s string) (float64, error) {
	switch s {
	case "allow":
		return 0, nil
	case "deny":
		return 1, nil
	}
	if share, ok := strings.CutPrefix(s, "min:"); ok {
		if f, err := strconv.ParseFloat(share, 64); err == nil && f >= 0 && f <= 1 {
			return f, nil
		}
	}
	return 0, Errorf(Invalid, "%q is none of allow, deny, min:SHARE with a share from 0 to 1", s)
}

// parseQuery parses the query string strictly: net/url's shortcut drops what
// it cannot read, and a dropped parameter is a wrong answer.
func parseQuery(c *gin.Context) (url.Values, error) {
	v, err := url.ParseQuery(c.Request.URL.RawQuery)
	if err != nil {
		return nil, Errorf(Invalid, "query string: %v", err)
	}
	return v, nil
}
