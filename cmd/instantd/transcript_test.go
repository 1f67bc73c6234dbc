package main

import (
	"flag"
	"testing"

	"instantd/protocol/instant/rabbittest"
	"instantd/protocol/instant/transcript"
)

var update = flag.Bool("update", false, "let the server's answers replace what the transcripts expect")

// The documented conversations of the instant dialect, against the whole
// server, without a broker and with one.
func TestTranscriptInstant(t *testing.T) {
	t.Parallel()
	transcript.RunAll(t, startServer(t).stage(), "../../protocol/instant/testdata")
}

func TestTranscriptInstantAMQP(t *testing.T) {
	t.Parallel()
	url := rabbittest.Start(t).URL()
	server := startServer(t, func(c *Config) { c.AMQP.URL, c.AMQP.PublicURL, c.Instant.BrokerInfo = url, url, true })
	server.waitReady(t, "broker")
	transcript.RunAll(t, server.stage(), "../../protocol/instant/testdata/amqp")
}

// stage is where transcripts are played.
func (s *running) stage() transcript.Server {
	return transcript.Server{
		URL: "http://" + s.Addr(), AdminURL: "http://" + s.AdminAddr(), AdminSecret: s.config.Admin.Secret,
		BrokerURL: s.config.AMQP.URL, Location: s.config.Location(), Update: *update,
	}
}
