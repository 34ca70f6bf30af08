package ring

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	append  prometheus.Histogram
	written prometheus.Counter
	errors  prometheus.Counter
	refused prometheus.Counter
	lost    prometheus.Counter
	dropped prometheus.Counter
	// setAside counts damaged stores.
	setAside prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, r *Ring) *metrics {
	m := &metrics{
		append: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "rollcall_ring_append_seconds",
			Help: "Time to take in one slot, the sync to disk included.",
			// From an NVMe disk's sync to a network disk that is stuck.
			Buckets: []float64{.0003, .001, .003, .01, .03, .1, .3, 1, 3, 10},
		}),
		written: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "rollcall_ring_record_bytes_total",
			Help: "Bytes of records written for the open block.",
		}),
		errors: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "rollcall_ring_errors_total",
			Help: "Errors of the store: opening, writing, background work, damage.",
		}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "rollcall_ring_refused_groups_total",
			Help: "Pods whose samples could not be coded and are not in the ring.",
		}),
		lost: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "rollcall_ring_lost_blocks_total",
			Help: "Closed blocks dropped from memory because the store could not be written for too long.",
		}),
	}
	m.dropped = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "rollcall_ring_dropped_blocks_total",
		Help: "Blocks deleted before their time to keep the directory within --max-disk.",
	})
	m.setAside = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "rollcall_ring_damaged_stores_total",
		Help: "Damaged stores that were set aside; what could be read of them was kept.",
	})
	reg.MustRegister(m.append, m.written, m.errors, m.refused, m.lost, m.dropped, m.setAside, statusCollector{r})
	return m
}

// statusCollector turns the ring's Status into gauges, so that both agree.
type statusCollector struct{ ring *Ring }

func gauge(name, help string) *prometheus.Desc { return prometheus.NewDesc(name, help, nil, nil) }

func (c statusCollector) descs() [9]*prometheus.Desc {
	return [9]*prometheus.Desc{
		gauge("rollcall_ring_memory_only", "1 while samples are kept in memory because the store cannot be written."),
		gauge("rollcall_ring_disk_bytes", "Size of the store on disk, its log included."),
		gauge("rollcall_ring_set_aside_bytes", "Size of the damaged stores that were set aside."),
		gauge("rollcall_ring_max_disk_bytes", "Limit of what the directory may take (--max-disk)."),
		gauge("rollcall_ring_free_bytes", "Free space on the file system, as of the last write; 0 if it does not say."),
		gauge("rollcall_ring_blocks", "Blocks on disk."),
		gauge("rollcall_ring_unstored_slots", "Slots with samples that are not on disk."),
		gauge("rollcall_ring_oldest_slot_seconds", "Oldest slot with samples, in Unix seconds; 0 if none."),
		gauge("rollcall_ring_newest_slot_seconds", "Newest slot with samples, in Unix seconds; 0 if none."),
	}
}

func (c statusCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.descs() {
		ch <- d
	}
}

func (c statusCollector) Collect(ch chan<- prometheus.Metric) {
	s := c.ring.Status()
	memory := 0.0
	if s.State != OnDisk {
		memory = 1
	}
	aside := 0.0
	for _, a := range s.SetAside {
		aside += float64(a.Bytes)
	}
	values := [...]float64{memory, float64(s.DiskBytes), aside, float64(s.MaxDisk), float64(s.FreeBytes), float64(len(s.Blocks)), float64(s.Unstored), float64(s.Oldest), float64(s.Newest)}
	for i, d := range c.descs() {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, values[i])
	}
}
