package resource

import (
	"encoding/base64"
	"encoding/json"

	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// maxToken bounds a continue token: two names, as JSON and base64.
const maxToken = 1 << 10

// A position is where a page ends: after that object. The next page begins there
// in whatever is the snapshot then, so a token does not expire: what comes later
// in the order is neither left out nor told twice, but may be of a newer slot.
type position struct {
	// Of is the resource, "nodes" or "pods", for a token of one is of no use to
	// the other.
	Of        string `json:"of"`
	Namespace string `json:"ns,omitempty"`
	Name      string `json:"name"`
}

// token is the position as a client is given it.
func (p position) token() string {
	b, _ := json.Marshal(p) // strings only
	return base64.RawURLEncoding.EncodeToString(b)
}

// parseToken reads a token. The error is a 400.
func parseToken(of, token string) (position, error) {
	var p position
	bad := badRequest("continue: not a token of a list of %s", of)
	if len(token) > maxToken {
		return p, bad
	}
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || json.Unmarshal(b, &p) != nil {
		return p, bad
	}
	if p.Of != of || p.Name == "" || len(p.Name) > model.MaxName || len(p.Namespace) > model.MaxName {
		return p, bad
	}
	return p, nil
}

// A choice is which objects of a list are wanted.
type choice struct {
	labels labels.Selector // nil: all
	fields fields.Selector // nil: all
	limit  int64           // 0: none
	after  *position       // nil: from the beginning
}

func chosen(of string, o *internalversion.ListOptions) (c choice, err error) {
	if o == nil {
		return c, nil
	}
	if o.LabelSelector != nil && !o.LabelSelector.Empty() {
		c.labels = o.LabelSelector
	}
	if o.FieldSelector != nil && !o.FieldSelector.Empty() {
		c.fields = o.FieldSelector
	}
	if o.Limit < 0 {
		return c, badRequest("limit: %d is negative", o.Limit)
	}
	c.limit = o.Limit
	if o.Continue != "" {
		p, err := parseToken(of, o.Continue)
		if err != nil {
			return c, err
		}
		c.after = &p
	}
	return c, nil
}

// full tells whether a page with so many objects takes no more.
func (c *choice) full(n int) bool { return c.limit > 0 && int64(n) >= c.limit }

// exactly is the value that a field must have, if the selector says.
func (c *choice) exactly(field string) (string, bool) {
	if c.fields == nil {
		return "", false
	}
	return c.fields.RequiresExactMatch(field)
}
