package main

import (
	"net/http"
	"testing"

	"instantd/protocol/instant/rabbittest"
)

// TestWhatHappenedBeforeTheFirstConnectionIsPublished starts a server whose
// broker is away, and lets the broker appear after a login and a message.
func TestWhatHappenedBeforeTheFirstConnectionIsPublished(t *testing.T) {
	t.Parallel()
	node := rabbittest.Start(t)
	node.Stop(t)
	s := startServer(t, func(c *Config) { c.AMQP.URL, c.AMQP.PublicURL = node.URL(), node.URL() })
	alice, bob := s.login(t, "alice"), s.login(t, "bob")
	group := s.createGroup(t, alice, "early", "bob")
	sent := s.want(t, alice, http.MethodPost, "/instant/c_message_text", map[string]any{
		"conversation_id": group, "profile": text("hello"),
	}).(map[string]any)["msg_id"].(float64)
	node.Restart(t)
	queue := s.want(t, bob, http.MethodGet, "/instant/c_queue", nil).(map[string]any)["queue"].(string)
	arrived, end := startConsumer(t, node.URL(), queue)
	defer end()
	if id := <-arrived; float64(id) != sent {
		t.Errorf("message %d arrived, want %.0f", id, sent)
	}
}
