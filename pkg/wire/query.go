package wire

import (
	"fmt"
	"net/url"
	"strconv"

	"github.com/rollcall-metrics/rollcall/pkg/model"
)

const (
	// ChunksPath is the peer API's path that answers a query with chunks.
	ChunksPath = "/peer/v1/chunks"
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
	if q.Namespace != "" {
		v.Set("namespace", q.Namespace)
	}
	if q.Pod != "" {
		v.Set("pod", q.Pod)
	}
	return v
}

// ParseQuery is the inverse of [Values]. Parameters that it does not know are
// an error: answering them by ignoring them would be a wrong answer.
func ParseQuery(v url.Values) (model.Query, error) {
	var q model.Query
	for name, values := range v {
		if len(values) != 1 {
			return q, fmt.Errorf("parameter %q is given %d times", name, len(values))
		}
		var err error
		switch value := values[0]; name {
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
		default:
			err = fmt.Errorf("unknown")
		}
		if err != nil {
			return q, fmt.Errorf("parameter %q: %w", name, err)
		}
	}
	switch {
	case !v.Has("from") || !v.Has("to"):
		return q, fmt.Errorf("parameters from and to are needed")
	case q.From > q.To:
		return q, fmt.Errorf("from %d is after to %d", q.From, q.To)
	case q.Pod != "" && q.Namespace == "":
		return q, fmt.Errorf("parameter pod needs a namespace")
	case !q.Pods && q.Namespace != "":
		return q, fmt.Errorf("parameter namespace needs pods=true")
	}
	return q, nil
}
