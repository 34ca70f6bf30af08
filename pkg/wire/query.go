package wire

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"

	"github.com/rollcall-metrics/rollcall/pkg/model"
)

const (
	// ChunksPath is the peer API's path that answers a query with chunks.
	ChunksPath = "/peer/v1/chunks"
	// LatestPath is the path that answers with the newest scrape.
	LatestPath = "/peer/v1/latest"
	// DebugPath is the peer API's prefix of the agent's debug pages:
	// DebugPath + "ring" is the agent's /debug/ring.
	DebugPath = "/peer/v1/debug/"
	// ContentType is the type of a stream of frames.
	ContentType = "application/vnd.rollcall.frames"
)

// Values are the query as URL parameters.
func Values(q model.Query) url.Values {
	v := url.Values{}
	v.Set("from", strconv.FormatInt(q.From, 10))
	v.Set("to", strconv.FormatInt(q.To, 10))
	if q.Pods {
		v.Set("pods", "true")
	}
	for name, value := range map[string]string{"namespace": q.Namespace, "pod": q.Pod, "container": q.Container} {
		if value != "" {
			v.Set(name, value)
		}
	}
	if q.NoOwn {
		v.Set("own", "false")
	}
	if q.Metrics != 0 {
		v.Set("metrics", strconv.FormatUint(uint64(q.Metrics), 10))
	}
	if q.Step != 0 {
		v.Set("step", strconv.FormatInt(q.Step, 10))
		v.Set("agg", string(q.Agg))
	}
	return v
}

// ParseQuery is the inverse of [Values]. Parameters that it does not know are
// an error: answering them by ignoring them would be a wrong answer.
func ParseQuery(v url.Values) (model.Query, error) {
	var q model.Query
	err := parse(v, func(name, value string) (err error) {
		switch name {
		case "from":
			q.From, err = strconv.ParseInt(value, 10, 64)
		case "to":
			q.To, err = strconv.ParseInt(value, 10, 64)
		case "pods":
			q.Pods, err = strconv.ParseBool(value)
		case "namespace":
			q.Namespace = value
		case "pod":
			q.Pod = value
		case "container":
			q.Container = value
		case "own":
			var own bool
			own, err = strconv.ParseBool(value)
			q.NoOwn = !own
		case "metrics":
			var set uint64
			set, err = strconv.ParseUint(value, 10, 32)
			q.Metrics = model.Metrics(set)
			if err == nil && (q.Metrics == 0 || q.Metrics&^model.AllMetrics != 0) {
				// Of another version, perhaps: leaving them out would be a wrong answer.
				err = errors.New("not a set of known metrics")
			}
		case "step":
			q.Step, err = strconv.ParseInt(value, 10, 32)
			if err == nil && q.Step <= 0 {
				err = errors.New("not positive")
			}
		case "agg":
			q.Agg, err = model.ParseAggregate(value)
		default:
			err = errUnknown
		}
		return err
	})
	if err != nil {
		return q, err
	}
	switch {
	case !v.Has("from") || !v.Has("to"):
		return q, errors.New("parameters from and to are needed")
	case q.From > q.To:
		return q, fmt.Errorf("from %d is after to %d", q.From, q.To)
	case q.Pod != "" && q.Namespace == "":
		return q, errors.New("parameter pod needs a namespace")
	case q.Container != "" && q.Pod == "":
		return q, errors.New("parameter container needs a pod")
	case !q.Pods && q.Namespace != "":
		return q, errors.New("parameter namespace needs pods=true")
	case !q.Pods && q.NoOwn:
		return q, errors.New("parameter own=false needs pods=true")
	case v.Has("step") != v.Has("agg"):
		return q, errors.New("parameters step and agg need each other")
	}
	return q, nil
}

// A Latest asks one node for its newest scrape: a chunk with one row each for
// the node itself and for all its pods.
type Latest struct {
	// To is the newest slot that may be answered, in Unix seconds, so that all
	// nodes answer for the same.
	To int64
	// Since is the slot of the last answer, in Unix seconds: named are the pods
	// that have samples since then and are not in the scrape. 0 names all that
	// have samples at all.
	Since int64
	// Late has the slot To answered even if it is late, should the node have no older
	// one that is still shown. A slot is late that came to the ring only after
	// aggregators began to ask for it: who asked before that was told of an older one,
	// and so is everyone else. Late is for an aggregator that has nothing of the node.
	Late bool
}

// Values are the question as URL parameters.
func (l Latest) Values() url.Values {
	v := url.Values{"to": {strconv.FormatInt(l.To, 10)}, "since": {strconv.FormatInt(l.Since, 10)}}
	if l.Late {
		v.Set("late", "true")
	}
	return v
}

// ParseLatest is the inverse of [Latest.Values]. Parameters that it does not
// know are an error.
func ParseLatest(v url.Values) (l Latest, err error) {
	err = parse(v, func(name, value string) (err error) {
		switch name {
		case "to":
			l.To, err = strconv.ParseInt(value, 10, 64)
		case "since":
			l.Since, err = strconv.ParseInt(value, 10, 64)
		case "late":
			l.Late, err = strconv.ParseBool(value)
		default:
			err = errUnknown
		}
		return err
	})
	if err == nil && (!v.Has("to") || !v.Has("since")) {
		err = errors.New("parameters to and since are needed")
	}
	return l, err
}

var errUnknown = errors.New("unknown")

// parse gives each parameter, which may be there once, to take.
func parse(v url.Values, take func(name, value string) error) error {
	for name, values := range v {
		if len(values) > 1 {
			return fmt.Errorf("parameter %q is given %d times", name, len(values))
		}
		if err := take(name, values[0]); err != nil {
			return fmt.Errorf("parameter %q: %w", name, err)
		}
	}
	return nil
}
