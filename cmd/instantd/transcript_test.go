package main

import (
	"testing"

	"instantd/protocol/instant/transcript"
)

// The documented conversations of the instant dialect, against the whole
// server.
func TestTranscriptInstant(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	transcript.RunAll(t, transcript.Server{
		URL: "http://" + server.Addr(), AdminURL: "http://" + server.AdminAddr(),
		AdminSecret: server.config.Admin.Secret, Location: server.config.Location(),
	}, "../../protocol/instant/testdata")
}
