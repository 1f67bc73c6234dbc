package main

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"instantd/protocol/instant"
)

// newBroker makes the AMQP side of the instant dialect. It connects when it
// runs, and tries again until a broker answers.
func (s *Server) newBroker(metrics prometheus.Registerer) (*instant.Broker, error) {
	amqp := s.config.AMQP
	base := instant.Base{Core: s.core, DeclareQueues: true}
	return instant.NewBroker(instant.BrokerOptions{
		URL:          amqp.URL,
		PublicURL:    amqp.PublicURL,
		ExchangeType: amqp.ExchangeType,
		QueueExpires: amqp.QueueExpires,
		Grace:        amqp.Grace,
		DrainTimeout: s.config.Drain / 4, // the rest is for what comes before and after
		Outbox:       s.store,
		Roster:       s.store,
		Encoder:      instant.NewEncoder(s.config.Location(), instant.Compat(s.config.Instant.Compat)),
		Apply:        base.Apply,
		Log:          s.log,
		Registerer:   metrics,
	})
}

// runBroker serves AMQP until ctx ends, and then flushes what the broker takes.
func (s *Server) runBroker(ctx context.Context) {
	if s.broker == nil {
		return
	}
	if err := s.broker.Run(ctx); err != nil {
		s.log.Error("broker ended", "error", err)
	}
}
