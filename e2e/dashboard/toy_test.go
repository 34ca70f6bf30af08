package dashboard

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/model"
)

const (
	toyResolution = 15 * time.Second
	toyWindow     = 15 * time.Minute
)

// A toy is the least that keeps the contract, of made-up values, and what breaks it.
type toy struct {
	// unless they are nil, they change who is found, what is told of them, the answer
	// as it is written, and all of how it is answered.
	names  func([]string) []string
	tell   func(items []toyItem, cpu bool) []toyItem
	body   func(string) string
	around func(http.Handler) http.Handler
}

type toyItem struct {
	DataPoints   []int      `json:"dataPoints"`
	MetricPoints []toyPoint `json:"metricPoints"`
	MetricName   string     `json:"metricName"`
	UIDs         []string   `json:"uids"`
}

type toyPoint struct {
	Timestamp time.Time `json:"timestamp"`
	Value     uint64    `json:"value"`
}

// toyPods and toyNodes are who there is. Pods have two containers, of which one is not
// measured in some slots.
var (
	toyPods  = []string{"cart-0", "cart-1", "cart-2", "index-0"}
	toyNodes = []string{"node-1", "node-2", "node-3"}
)

const toyNamespace = "shop"

// toyNewest is the newest slot.
func toyNewest() int64 { return model.Shown(time.Now(), toyResolution) }

// toyParts are the containers of a pod, or of a node, which has one.
func toyParts(name string, cpu bool, from, to int64) Parts {
	containers := []string{"app", "log"}
	if slices.Contains(toyNodes, name) {
		containers = []string{""}
	}
	all := Parts{}
	for i, c := range containers {
		all[c] = map[int64]uint64{}
		for slot := model.SlotOf(time.Unix(from, 0), toyResolution); slot <= to; slot += 15 {
			if slot < from || i == 1 && slot/15%16 == 5 {
				continue
			}
			v := uint64(slot/15%97) + uint64(len(name)*10+i)
			if !cpu {
				v *= 1 << 20
			}
			all[c][slot] = v
		}
	}
	return all
}

// toyTruth implements [Truth].
type toyTruth struct{}

func (toyTruth) Pods(_ context.Context, _ string, m Metric, from, to int64) (map[string]Parts, error) {
	all := map[string]Parts{}
	for _, name := range toyPods {
		all[name] = toyParts(name, m == CPU, from, min(to, toyNewest()))
	}
	return all, nil
}

func (toyTruth) Nodes(_ context.Context, m Metric, from, to int64) (map[string]Parts, error) {
	all := map[string]Parts{}
	for _, name := range toyNodes {
		all[name] = toyParts(name, m == CPU, from, min(to, toyNewest()))
	}
	return all, nil
}

func (y toy) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+root+"/nodes/{name}/metrics/{metric}/{anything}", func(w http.ResponseWriter, r *http.Request) {
		y.answer(w, r, toyNodes)
	})
	mux.HandleFunc("GET "+root+"/namespaces/{namespace}/pod-list/{name}/metrics/{metric}/{anything}", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("namespace") != toyNamespace {
			y.answer(w, r, nil)
			return
		}
		y.answer(w, r, toyPods)
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") })
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, "nothing here\n")
	})
	if y.around != nil {
		return y.around(mux)
	}
	return mux
}

func (y toy) answer(w http.ResponseWriter, r *http.Request, there []string) {
	names := unique(strings.Split(r.PathValue("name"), ","))
	if y.names != nil {
		names = y.names(strings.Split(r.PathValue("name"), ","))
	}
	metric := r.PathValue("metric")
	var l struct {
		Items []toyItem `json:"items"`
	}
	for _, name := range names {
		if slices.Contains(there, name) {
			l.Items = append(l.Items, toyItem{[]int{}, toyPoints(name, metric == "cpu"), metric, []string{name}})
		}
	}
	if y.tell != nil {
		l.Items = y.tell(l.Items, metric == "cpu")
	}
	body, err := json.Marshal(l)
	if err != nil {
		panic(err)
	}
	if y.body != nil {
		body = []byte(y.body(string(body)))
	}
	w.Header().Set("Content-Type", "application/json")
	if !strings.HasPrefix(r.Header.Get("Accept-Encoding"), "gzip") || strings.Contains(r.Header.Get("Accept-Encoding"), "q=0") {
		_, _ = w.Write(body)
		return
	}
	w.Header().Set("Content-Encoding", "gzip")
	z := gzip.NewWriter(w)
	_, _ = z.Write(body)
	_ = z.Close()
}

// toyPoints are the sums of all parts, without holes: a part that was not measured is
// taken from the slot before.
func toyPoints(name string, cpu bool) (points []toyPoint) {
	to := toyNewest()
	from := to - int64(toyWindow/time.Second)
	parts := toyParts(name, cpu, from-15, to)
	for slot := from; slot <= to; slot += 15 {
		p := toyPoint{Timestamp: time.Unix(slot, 0).UTC()}
		for _, values := range parts {
			v, ok := values[slot]
			if !ok {
				v = values[slot-15]
			}
			p.Value += v
		}
		points = append(points, p)
	}
	return points
}
