package main

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"instantd/protocol/instant/rabbittest"
)

// A message that is sent over REST reaches a consumer of the queue that the
// server made for the login, and the center's commands come in over AMQP.
func TestBrokerCarriesBothWays(t *testing.T) {
	t.Parallel()
	url := rabbittest.Start(t).URL()
	server := startServer(t, func(c *Config) { c.AMQP.URL, c.AMQP.PublicURL, c.Instant.BrokerInfo = url, url, true })
	server.waitReady(t, "broker")
	aliceToken := server.login(t, alice)

	connection, err := amqp.Dial(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { connection.Close() })
	channel, err := connection.Channel()
	if err != nil {
		t.Fatal(err)
	}
	err = channel.PublishWithContext(t.Context(), "exchange_instant_base", "instant.base", false, false, amqp.Publishing{
		Body: []byte(`{"cmd":"user_status_update","data":[{"standard_id":"` + bob + `","online":1,"type":2,"token":"bobs"}]}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	server.waitLogin(t, bob, "app")
	queue, _ := server.want(t, "bobs", http.MethodGet, "/instant/c_queue", nil).(map[string]any)
	name, _ := queue["queue"].(string)
	deliveries, err := channel.ConsumeWithContext(t.Context(), name, "", true, true, false, false, nil)
	if err != nil {
		t.Fatalf("consume from %v: %v", queue, err)
	}

	group := server.createGroup(t, aliceToken, "carried", bob)
	server.want(t, aliceToken, http.MethodPost, "/instant/c_message_text",
		map[string]any{"conversation_id": group, "profile": text("by rabbit")})
	if got := wantDelivery(t, deliveries, "create_conversation"); got["conversation_id"] != group {
		t.Errorf("bob's queue carried %v, want the creation of %s", got, group)
	}
	if got := wantDelivery(t, deliveries, "msg"); words(got) != "by rabbit" {
		t.Errorf("bob's queue carried %v", got)
	}
}

// wantDelivery returns the data of the next delivery of a cmd; what else comes
// is passed over.
func wantDelivery(t *testing.T, deliveries <-chan amqp.Delivery, cmd string) map[string]any {
	t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case d, open := <-deliveries:
			var f frame
			if !open || json.Unmarshal(d.Body, &f) != nil {
				t.Fatalf("the queue ended or carried %q, want %s", d.Body, cmd)
			}
			if f.Cmd == cmd {
				return f.Data
			}
		case <-timeout:
			t.Fatalf("the queue did not carry %s", cmd)
		}
	}
}
