package web

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are the figures of all listeners and transports. Labels come from
// the configuration and from closed sets, never from strangers.
type Metrics struct {
	connections *prometheus.GaugeVec     // listener
	refused     *prometheus.CounterVec   // listener, limit
	requests    *prometheus.HistogramVec // listener, class
	limited     *prometheus.CounterVec   // listener
	panics      *prometheus.CounterVec   // where
	sockets     prometheus.Gauge
	framesOut   *prometheus.CounterVec // transport
	bytesOut    *prometheus.CounterVec // transport
	framesIn    *prometheus.CounterVec // transport
	closes      *prometheus.CounterVec // transport, reason
}

// NewMetrics makes the figures and registers them, once for the process. A nil
// registerer makes figures that nobody looks at. It panics when they are
// registered already.
func NewMetrics(registerer prometheus.Registerer) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	m := &Metrics{
		connections: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "instantd_connections", Help: "Open connections.",
		}, []string{"listener"}),
		refused: counter("instantd_connections_refused_total", "Connections reset because a limit was reached.", "listener", "limit"),
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "instantd_request_duration_seconds", Help: "Time to answer HTTP requests, by status class.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10, 60},
		}, []string{"listener", "class"}),
		limited: counter("instantd_requests_limited_total", "HTTP requests refused for their rate.", "listener"),
		panics:  counter("instantd_panics_total", "Panics recovered in handlers.", "where"),
		sockets: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "instantd_websockets", Help: "Open WebSocket connections.",
		}),
		framesOut: counter("instantd_frames_sent_total", "Frames written to peers.", "transport"),
		bytesOut:  counter("instantd_frame_bytes_sent_total", "Payload bytes of frames written to peers.", "transport"),
		framesIn:  counter("instantd_frames_received_total", "Frames received from peers.", "transport"),
		closes:    counter("instantd_closes_total", "Ended connections, by reason.", "transport", "reason"),
	}
	if registerer != nil {
		registerer.MustRegister(m.connections, m.refused, m.requests, m.limited, m.panics,
			m.sockets, m.framesOut, m.bytesOut, m.framesIn, m.closes)
	}
	return m
}

// FrameSent counts a frame that another transport (sse, poll, tcp) wrote.
func (m *Metrics) FrameSent(transport string, bytes int) {
	m.framesOut.WithLabelValues(transport).Inc()
	m.bytesOut.WithLabelValues(transport).Add(float64(bytes))
}

func (m *Metrics) answered(listener string, status int, took time.Duration) {
	class := "cut" // no answer got out
	if status > 0 {
		class = strconv.Itoa(status/100) + "xx"
	}
	m.requests.WithLabelValues(listener, class).Observe(took.Seconds())
}
