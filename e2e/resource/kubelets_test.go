package resource

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	stats "k8s.io/kubelet/pkg/apis/stats/v1alpha1"

	"github.com/rollcall-metrics/rollcall/agent/kubelet"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// An overHTTP is a stand-in that is asked over HTTPS, by the agent's own client. The
// server is outside of the bubble, and closes connections: the bubble's clock would
// wait for them.
type overHTTP struct {
	*standIn
	client *kubelet.Client
	body   atomic.Pointer[[]byte]
	answer atomic.Pointer[func(w http.ResponseWriter, r *http.Request, body []byte)]
}

// serve begins to serve. The stand-in comes later, as it is in a bubble.
func serve(t *testing.T) *overHTTP {
	o := &overHTTP{}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if answer := o.answer.Load(); answer != nil {
			(*answer)(w, r, *o.body.Load())
			return
		}
		_, _ = w.Write(*o.body.Load())
	}))
	s.Config.SetKeepAlivesEnabled(false)
	s.Config.ErrorLog = nothing
	s.StartTLS()
	t.Cleanup(s.Close)
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	port, _ := strconv.Atoi(u.Port())
	o.client, err = kubelet.New(kubelet.Config{
		Node: "node-1", Address: netip.MustParseAddr(u.Hostname()).String(), Port: port, InsecureTLS: true,
		Timeout: 10 * time.Second, MaxBody: 1 << 20,
	})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// Fetch implements [sampler.Kubelet].
func (o *overHTTP) Fetch(ctx context.Context, form kubelet.Form) (kubelet.Answer, error) {
	o.mu.Lock()
	o.measure()
	body, err := json.Marshal(summary(o.scrape()))
	o.mu.Unlock()
	if err != nil {
		return kubelet.Answer{}, err
	}
	o.body.Store(&body)
	return o.client.Fetch(ctx, form)
}

// Reuse implements [sampler.Kubelet].
func (o *overHTTP) Reuse(body []byte) { o.client.Reuse(body) }

// summary is a scrape as a kubelet writes it.
func summary(s model.Scrape) (all stats.Summary) {
	for i := range s.Groups {
		g := &s.Groups[i]
		if g.Pod == (model.PodRef{}) {
			v := &g.Samples[0]
			all.Node = stats.NodeStats{NodeName: "node-1", StartTime: metav1.Unix(v.Start, 0), CPU: cpuOf(v), Memory: memoryOf(v)}
			continue
		}
		pod := stats.PodStats{PodRef: stats.PodReference{Namespace: g.Pod.Namespace, Name: g.Pod.Name, UID: g.Pod.UID}, StartTime: metav1.Unix(g.Samples[0].Start, 0)}
		for j := range g.Samples {
			v := &g.Samples[j]
			pod.Containers = append(pod.Containers, stats.ContainerStats{Name: v.Name, StartTime: metav1.Unix(v.Start, 0), CPU: cpuOf(v), Memory: memoryOf(v)})
		}
		all.Pods = append(all.Pods, pod)
	}
	return all
}

func cpuOf(v *model.Sample) *stats.CPUStats {
	return &stats.CPUStats{Time: measured(v), UsageNanoCores: value(v, model.CPU), UsageCoreNanoSeconds: value(v, model.CPUTotal)}
}

func memoryOf(v *model.Sample) *stats.MemoryStats {
	return &stats.MemoryStats{Time: measured(v), WorkingSetBytes: value(v, model.WorkingSet)}
}

func measured(v *model.Sample) (t metav1.Time) {
	if at, ok := v.Get(model.Measured); ok {
		t = metav1.Unix(int64(at), 0)
	}
	return t
}

func value(v *model.Sample, m model.Metric) *uint64 {
	if x, ok := v.Get(m); ok {
		return &x
	}
	return nil
}

// TestKubeletsBodies is what kubelets answer, from the 90th second on.
func TestKubeletsBodies(t *testing.T) {
	type answer = func(w http.ResponseWriter, r *http.Request, body []byte)
	replaced := func(old, by string) answer {
		return func(w http.ResponseWriter, _ *http.Request, body []byte) {
			_, _ = w.Write(bytes.ReplaceAll(body, []byte(old), []byte(by)))
		}
	}
	const tooOld = "none: node node-1: stale (its newest sample is 1m0s older than this slot, too old to be shown)"
	for name, c := range map[string]struct {
		answer        answer
		soon, minutes string
	}{
		"good":              {nil, "app 100m 64Mi @90 10s", "app 100m 64Mi @140 20s"},
		"malformed":         {func(w http.ResponseWriter, _ *http.Request, body []byte) { _, _ = w.Write(body[:len(body)/2]) }, "app 100m 64Mi @80 20s", tooOld},
		"empty":             {func(http.ResponseWriter, *http.Request, []byte) {}, "app 100m 64Mi @80 20s", tooOld},
		"of something else": {func(w http.ResponseWriter, _ *http.Request, _ []byte) { _, _ = w.Write([]byte(`{"kind":"Status"}`)) }, "app 100m 64Mi @80 20s", tooOld},
		"cut off": {func(w http.ResponseWriter, _ *http.Request, body []byte) {
			w.Header().Set("Content-Length", strconv.Itoa(len(body)))
			_, _ = w.Write(body[:len(body)/2])
		}, "app 100m 64Mi @80 20s", tooOld},
		"endless": {func(w http.ResponseWriter, _ *http.Request, body []byte) {
			for err := error(nil); err == nil; _, err = w.Write(bytes.Repeat([]byte(" "), 1<<16)) {
			}
		}, "app 100m 64Mi @80 20s", tooOld},
		"full form fails": {func(w http.ResponseWriter, r *http.Request, body []byte) {
			if r.URL.RawQuery == "" {
				http.Error(w, "rootfs of a container", 500)
				return
			}
			_, _ = w.Write(body)
		}, "app 100m 64Mi @90 10s", "app 100m 64Mi @140 20s"},
		"fields that nobody knows":   {replaced(`"workingSetBytes"`, `"x":[{"y":1e99}],"workingSetBytes"`), "app 100m 64Mi @90 10s", "app 100m 64Mi @140 20s"},
		"no node":                    {replaced(`"node":{`, `"nodes":{`), "app 100m 64Mi @80 20s", tooOld},
		"memory below 0":             {replaced(`"workingSetBytes":67108864`, `"workingSetBytes":-4096`), "none: container app: the kubelet does not say how much memory it uses", "none: container app: the kubelet does not say how much memory it uses"},
		"memory that has underflown": {replaced(`"workingSetBytes":67108864`, `"workingSetBytes":18446744073709547520`), "none: container app: the kubelet does not say how much memory it uses", "none: container app: the kubelet does not say how much memory it uses"},
		"cpu that cannot be":         {replaced(`"usageNanoCores":100000000`, `"usageNanoCores":18446744073709551615`), "app 100m 64Mi @90 10s", "app 100m 64Mi @140 20s"},
		"times that are none":        {replaced(`"time":"2000`, `"time":"yesterday 2000`), "none: container app: the kubelet does not say when it was measured", "none: container app: the kubelet does not say when it was measured"},
		"no startTime":               {replaced(`"startTime":"2000-01-01T00:00:00Z"`, `"startTime":null`), "app 100m 64Mi @90 30s", "app 100m 64Mi @140 20s"},
		"pod twice":                  {replaced(`"pods":[`, `"pods":[{"podRef":{"name":"cart","namespace":"shop","uid":"1"},"startTime":"1999-01-01T00:00:00Z","containers":[]},`), "app 100m 64Mi @90 10s", "app 100m 64Mi @140 20s"},
		"container twice": {replaced(`"containers":[`, `"containers":[{"name":"app","startTime":"1999-01-01T00:00:00Z","cpu":{"time":"2000-01-01T00:01:00Z","usageNanoCores":1},"memory":{"time":"2000-01-01T00:01:00Z","workingSetBytes":1}},`),
			"app 100m 64Mi @90 10s", "app 100m 64Mi @140 20s"},
	} {
		t.Run(name, func(t *testing.T) {
			o := serve(t)
			inFleet(t, []string{"node-1"}, func(f *fleet) {
				o.standIn = f.node().standIn
				f.node().asks = o
				running(func(f *fleet) {
					if c.answer != nil {
						o.answer.Store(&c.answer)
					}
					f.until(107)
					f.expect("shop/cart", c.soon)
					f.until(152)
					f.expect("shop/cart", c.minutes)
				})(f)
			})
		})
	}
}
