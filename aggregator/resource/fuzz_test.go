package resource

import (
	"encoding/json"
	"net/http"
	"net/url"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/metrics/pkg/apis/metrics/v1beta1"
)

// Whatever a token says, it is either a position, which comes back as it is, or
// refused.
func FuzzToken(f *testing.F) {
	f.Add(position{Of: "pods", Namespace: "shop", Name: "cart"}.token())
	f.Add(position{Of: "nodes", Name: "node-1"}.token())
	f.Add("eyJvZiI6InBvZHMifQ")
	f.Add("%%%")
	f.Fuzz(func(t *testing.T, token string) {
		for _, of := range []string{"pods", "nodes"} {
			p, err := parseToken(of, token)
			if err != nil {
				continue
			}
			again, err := parseToken(of, p.token())
			if err != nil || again != p || p.Of != of || p.Name == "" {
				t.Errorf("%q: %+v, then %+v, %v", token, p, again, err)
			}
		}
	})
}

// Whatever is asked, the answer is a list of what there is, or a status that says
// what is wrong with the question.
func FuzzList(f *testing.F) {
	for _, q := range [][3]string{
		{"app=cart", "metadata.name=cart", ""}, {"!app", "spec.nodeName!=node-1", "5"}, {"a in (b,c)", "metadata.namespace==shop", "1"},
		{"=", "=", "-1"}, {"app", "status.phase=Running", "x"}, {"(", ",", "9223372036854775807"},
	} {
		f.Add(q[0], q[1], q[2], position{Of: "pods", Namespace: "shop", Name: "cart"}.token())
	}
	fleet := newFleet("shop/cart", "shop/till", "web/front")
	c := serve(f, fleet)
	f.Fuzz(func(t *testing.T, labels, fields, limit, token string) {
		q := url.Values{"labelSelector": {labels}, "fieldSelector": {fields}, "limit": {limit}, "continue": {token}}
		rec := client{t, c.handler, nil}.get("pods?"+q.Encode(), "")
		switch rec.Code {
		case http.StatusOK:
			var list v1beta1.PodMetricsList
			if err := json.Unmarshal(rec.Body.Bytes(), &list); err != nil || len(list.Items) > len(fleet.pods) {
				t.Errorf("%v: %v %s", q, err, rec.Body)
			}
		case http.StatusBadRequest:
			var status metav1.Status
			if err := json.Unmarshal(rec.Body.Bytes(), &status); err != nil || status.Message == "" {
				t.Errorf("%v: %v %s", q, err, rec.Body)
			}
		default:
			t.Errorf("%v: %d %s", q, rec.Code, rec.Body)
		}
	})
}
