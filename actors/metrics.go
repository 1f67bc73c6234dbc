package actors

import (
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/prometheus/client_golang/prometheus"

	"instantd/protocol"
)

// metrics are what an operator sees of the core.
type metrics struct {
	sends       prometheus.Counter
	events      *prometheus.CounterVec
	latency     prometheus.Histogram
	deliveries  *prometheus.CounterVec
	sessions    *prometheus.GaugeVec
	actors      *prometheus.GaugeVec
	refused     prometheus.Counter
	panics      prometheus.Counter
	deadLetters prometheus.Counter
}

func newMetrics(c *Core) *metrics {
	m := &metrics{
		sends: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "instantd_messages_sent_total", Help: "Messages committed.",
		}),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "instantd_events_total", Help: "Events committed, by kind of actor.",
		}, []string{"actor"}),
		latency: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "instantd_command_seconds", Help: "From the decision to the durable answer.",
			Buckets: prometheus.ExponentialBuckets(0.000_1, 2, 16),
		}),
		deliveries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "instantd_deliveries_total", Help: "Events handed to sessions, by transport.",
		}, []string{"transport"}),
		sessions: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "instantd_sessions", Help: "Live sessions, by transport.",
		}, []string{"transport"}),
		actors: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "instantd_actors", Help: "Actors in memory, by kind.",
		}, []string{"actor"}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "instantd_commands_refused_total", Help: "Commands refused because too many were waiting.",
		}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "instantd_actor_panics_total", Help: "Panics of actors; each harmed one command.",
		}),
		deadLetters: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "instantd_dead_letters_total", Help: "Messages to actors that were gone.",
		}),
	}
	waiting := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "instantd_commands_waiting", Help: "Commands that actors have not answered yet: the depth of all mailboxes.",
	}, func() float64 { return float64(c.directory.pending.Load()) })
	c.system.EventStream.Subscribe(func(event any) {
		if _, dead := event.(*actor.DeadLetterEvent); dead {
			m.deadLetters.Inc()
		}
	})
	if c.Registerer != nil {
		c.Registerer.MustRegister(m.sends, m.events, m.latency, m.deliveries, m.sessions, m.actors,
			m.refused, m.panics, m.deadLetters, waiting)
	}
	return m
}

// committed counts what became of one command.
func (m *metrics) committed(records []protocol.Record, started time.Time) {
	m.latency.Observe(time.Since(started).Seconds())
	for _, r := range records {
		m.events.WithLabelValues(r.Key.Kind.String()).Inc()
		if _, is := r.Event.(protocol.MessageSent); is {
			m.sends.Inc()
		}
	}
}
