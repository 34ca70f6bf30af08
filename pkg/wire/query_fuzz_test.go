package wire

import (
	"net/url"
	"testing"
)

// FuzzParseQuery: whatever is asked, a query that is taken makes sense, and
// means the same when it is asked once more.
func FuzzParseQuery(f *testing.F) {
	for _, query := range []string{
		"from=1&to=2", "from=-5&to=1099511627776&pods=true", "from=1&to=2&pods=1&namespace=a%26b&pod=c%3Dd",
		"from=1&to=2&pods=false&namespace=a", "from=1&from=2&to=3", "from=9223372036854775807&to=9223372036854775807", "=&;",
		"from=1&to=2&pods=true&namespace=a&pod=b&container=c&metrics=6&step=60&agg=mean",
	} {
		f.Add(query)
	}
	f.Fuzz(func(t *testing.T, query string) {
		v, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		q, err := ParseQuery(v)
		if err != nil {
			return
		}
		if q.From > q.To || (q.Pod != "" && q.Namespace == "") || (q.Namespace != "" && !q.Pods) {
			t.Fatalf("%q became %+v", query, q)
		}
		if again, err := ParseQuery(Values(q)); err != nil || again != q {
			t.Fatalf("%q became %+v, and that %+v, %v", query, q, again, err)
		}
	})
}
