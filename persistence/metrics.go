package persistence

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"instantd/protocol"
)

type metrics struct {
	seconds    prometheus.Histogram
	size       prometheus.Histogram
	refused    *prometheus.CounterVec
	registerer prometheus.Registerer
	registered []prometheus.Collector
}

// newMetrics registers the store's metrics, unless registerer is nil.
func newMetrics(s *Store, registerer prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		registerer: registerer,
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "instantd_commit_seconds", Help: "Time of one durable transaction.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14),
		}),
		size: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "instantd_commit_batch_size", Help: "Commits in one durable transaction.",
			Buckets: prometheus.ExponentialBuckets(1, 2, 9),
		}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "instantd_commit_refused_total", Help: "Commits that were refused, by code.",
		}, []string{"code"}),
	}
	if registerer == nil {
		return m, nil
	}
	gauge := func(name, help string, labels prometheus.Labels, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels}, value)
	}
	collectors := []prometheus.Collector{
		m.seconds, m.size, m.refused,
		gauge("instantd_commit_queue", "Commits that wait for the disk.", nil, func() float64 { return float64(s.queue.length()) }),
		gauge("instantd_disk_free_bytes", "Free bytes of the store's disk.", nil, func() float64 { return float64(s.disk.bytes.Load()) }),
	}
	for name, bytes := range s.usage.parts {
		collectors = append(collectors, gauge("instantd_store_bytes",
			"Bytes that the data folder takes on disk, by part, measured every ten seconds; when that takes long, less often.",
			prometheus.Labels{"part": name}, func() float64 { return float64(bytes.Load()) }))
	}
	for _, c := range collectors {
		if err := registerer.Register(c); err != nil {
			m.unregister()
			return nil, fmt.Errorf("register metrics of the store: %w", err)
		}
		m.registered = append(m.registered, c)
	}
	return m, nil
}

// unregister lets the next store of the process register its own.
func (m *metrics) unregister() {
	for _, c := range m.registered {
		m.registerer.Unregister(c)
	}
}

func (m *metrics) observe(took time.Duration, commits int) {
	m.seconds.Observe(took.Seconds())
	if commits > 0 {
		m.size.Observe(float64(commits))
	}
}

func (m *metrics) refuse(err error) {
	m.refused.WithLabelValues(protocol.CodeOf(err).String()).Inc()
}
