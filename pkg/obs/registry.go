package obs

import (
	"fmt"
	"log/slog"
	"net/http"
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// maxScrapes bounds the scrapes answered at once, in requests. The metrics
// port is open to the whole cluster and each answer is gathered in memory;
// two Prometheus replicas and someone with curl fit, more get a 503.
const maxScrapes = 4

// NewRegistry returns a registry that holds the Go runtime's and the
// process's metrics, and rollcall_build_info, which is 1 and carries the
// component ("agent", "aggregator"), the version that was linked into the
// binary, and the Go version it was built with.
func NewRegistry(component, version string) *prometheus.Registry {
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "rollcall_build_info",
		Help: "Which build of Rollcall this is; always 1.",
		ConstLabels: prometheus.Labels{
			"component": component,
			"version":   version,
			"goversion": runtime.Version(),
		},
	})
	info.Set(1)

	reg := prometheus.NewRegistry()
	reg.MustRegister(
		info,
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return reg
}

// MetricsHandler serves what g gathers, reg mostly, in the formats Prometheus
// reads. A collector that fails costs its own metrics only: the others are served,
// the failure is logged as a warning and counted in
// promhttp_metric_handler_errors_total, which is added to reg.
func MetricsHandler(reg prometheus.Registerer, g prometheus.Gatherer, log *slog.Logger) http.Handler {
	return promhttp.HandlerFor(g, promhttp.HandlerOpts{
		ErrorLog:            gatherLog{log},
		ErrorHandling:       promhttp.ContinueOnError,
		Registry:            reg,
		MaxRequestsInFlight: maxScrapes,
	})
}

// gatherLog is the logger promhttp asks for.
type gatherLog struct{ log *slog.Logger }

func (l gatherLog) Println(v ...any) {
	l.log.Warn("metrics are incomplete", "err", fmt.Sprint(v...))
}
