package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"instantd/protocol/instant/rabbittest"
)

// TestEveryEventReachesTheConsumerAfterAnOutage kills RabbitMQ under load and
// lets it come back. REST goes on meanwhile; afterwards the consumer has every
// message, in order, with nothing missing.
func TestEveryEventReachesTheConsumerAfterAnOutage(t *testing.T) {
	t.Parallel()
	node := rabbittest.Start(t)
	s := startServer(t, func(c *Config) { c.AMQP.URL, c.AMQP.PublicURL = node.URL(), node.URL() })
	alice, bob := s.login(t, "alice"), s.login(t, "bob")
	group := s.createGroup(t, alice, "outage", "bob")
	queue := s.want(t, bob, http.MethodGet, "/instant/c_queue", nil).(map[string]any)["queue"].(string)

	var got []int64
	arrived, end := startConsumer(t, node.URL(), queue)
	defer end()
	send := func(n int) int64 {
		data := s.want(t, alice, http.MethodPost, "/instant/c_message_text", map[string]any{
			"conversation_id": group, "profile": text(strconv.Itoa(n)),
		})
		return int64(data.(map[string]any)["msg_id"].(float64))
	}
	var want []int64
	for n := range 100 {
		want = append(want, send(n))
	}
	node.Kill(t)
	for n := range 200 { // nobody who sends notices
		want = append(want, send(n))
	}
	node.Restart(t)
	for n := range 100 {
		want = append(want, send(n))
	}
	seen := map[int64]bool{}
	late := time.After(3 * patience)
	for len(seen) < len(want) {
		select {
		case id := <-arrived:
			if !seen[id] { // at least once: those that were not confirmed come again
				seen[id] = true
				got = append(got, id)
			}
		case <-late:
			t.Fatalf("%d of %d messages arrived", len(seen), len(want))
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("the messages did not arrive in order")
	}
}

// startConsumer reads the ids of the messages in a queue until end is called.
func startConsumer(t *testing.T, url, queue string) (arrived <-chan int64, end func()) {
	ctx, cancel := context.WithCancel(t.Context())
	ids := make(chan int64, 1<<14)
	var running sync.WaitGroup
	running.Go(func() { consumeAgainAndAgain(ctx, url, queue, ids) }) // ends with ctx
	return ids, func() {
		cancel()
		running.Wait()
	}
}

// consumeAgainAndAgain reads a queue, over as many connections as it takes.
func consumeAgainAndAgain(ctx context.Context, url, queue string, arrived chan<- int64) {
	for {
		if connection, err := amqp.Dial(url); err == nil {
			release := context.AfterFunc(ctx, func() { connection.Close() })
			consume(connection, queue, arrived)
			release()
			connection.Close()
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(50 * time.Millisecond): // the pause of any client that reconnects
		}
	}
}

func consume(connection *amqp.Connection, queue string, arrived chan<- int64) {
	channel, err := connection.Channel()
	if err != nil {
		return
	}
	if err := channel.Qos(50, 0, false); err != nil {
		return
	}
	deliveries, err := channel.Consume(queue, "", false, false, false, false, nil)
	if err != nil {
		return
	}
	for d := range deliveries {
		var notice struct {
			Cmd  string `json:"cmd"`
			Data struct {
				ID string `json:"id"`
			} `json:"data"`
		}
		if json.Unmarshal(d.Body, &notice) == nil && notice.Cmd == "msg" {
			var id int64
			fmt.Sscan(notice.Data.ID, &id)
			arrived <- id
		}
		d.Ack(false)
	}
}
