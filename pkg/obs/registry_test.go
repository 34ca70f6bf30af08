package obs

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-metrics/rollcall/pkg/golden"
)

// get asks h for target and returns the status and the body.
func get(t *testing.T, h http.Handler, target string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, nil))
	return w.Code, w.Body.String()
}

func TestBuildInfo(t *testing.T) {
	_, body := get(t, handlerOf(NewRegistry("agent", "v1.2.3")), "/metrics")
	var got strings.Builder
	for line := range strings.Lines(body) {
		if strings.Contains(line, "rollcall_build_info") {
			// The toolchain of the day does not belong into a golden file.
			got.WriteString(strings.ReplaceAll(line, runtime.Version(), "GOVERSION"))
		}
	}
	golden.Compare(t, "build_info.prom", got.String())
}

func TestRegistryHoldsProcessAndRuntime(t *testing.T) {
	_, body := get(t, handlerOf(NewRegistry("agent", "dev")), "/metrics")
	for _, name := range []string{"go_goroutines", "go_memstats_heap_alloc_bytes", "process_cpu_seconds_total", "process_resident_memory_bytes"} {
		if !strings.Contains(body, "\n"+name+" ") {
			t.Errorf("no %s in:\n%s", name, body)
		}
	}
}

// broken is a collector that fails.
type broken struct{ desc *prometheus.Desc }

func (b broken) Describe(ch chan<- *prometheus.Desc) { ch <- b.desc }
func (b broken) Collect(ch chan<- prometheus.Metric) {
	ch <- prometheus.NewInvalidMetric(b.desc, errors.New("no such disk"))
}

func TestMetricsHandlerServesTheRest(t *testing.T) {
	var logged bytes.Buffer
	reg := NewRegistry("agent", "dev")
	reg.MustRegister(broken{prometheus.NewDesc("rollcall_disk_bytes", "Test.", nil, nil)})
	h := MetricsHandler(reg, reg, slog.New(slog.NewTextHandler(&logged, nil)))

	get(t, h, "/metrics")
	code, body := get(t, h, "/metrics")
	if code != http.StatusOK || !strings.Contains(body, "rollcall_build_info") {
		t.Errorf("got %d, want 200 with the other metrics:\n%s", code, body)
	}
	if want := `promhttp_metric_handler_errors_total{cause="gathering"} 1`; !strings.Contains(body, want) {
		t.Errorf("the first failure is not counted, want %s in:\n%s", want, body)
	}
	if !strings.Contains(logged.String(), "level=WARN") || !strings.Contains(logged.String(), "no such disk") {
		t.Errorf("logged %q, want a warning that says why", &logged)
	}
}

func handlerOf(reg *prometheus.Registry) http.Handler {
	return MetricsHandler(reg, reg, slog.New(slog.DiscardHandler))
}
