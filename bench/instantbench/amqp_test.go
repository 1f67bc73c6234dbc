//go:build linux

package main

import (
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"instantd/protocol/instant/rabbittest"
)

func TestFanoutOverQueues(t *testing.T) {
	url := rabbittest.Shared(t).Vhost(t)
	r := bench(t, "fanout", "--transport", "amqp", "--amqp-url", url, "--members", "10", "--rate", "50", "--in-flight", "4")
	if len(r.Rounds) != 4 || len(r.Checks) != 2 {
		t.Fatalf("%d phases, %d checks; want 4 and 2", len(r.Rounds), len(r.Checks))
	}
	for _, p := range r.Rounds {
		if p.Sent == 0 || p.Work != 10*p.Sent || p.Last.Count != int64(p.Sent) || p.Each.Count != int64(p.Work) || p.Answer.Count != int64(p.Sent) {
			t.Errorf("%s, %s does not add up: %+v", p.Peer, p.Name, p)
		}
	}
	err := withBroker(url, func(channel *amqp.Channel) error {
		_, err := channel.QueueDeclarePassive(queueBase, true, false, false, false, nil)
		return err
	})
	if err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("something is left on the broker: %v", err)
	}
}

func TestABrokerInUseIsRefused(t *testing.T) {
	url := rabbittest.Shared(t).Vhost(t)
	err := withBroker(url, func(channel *amqp.Channel) error {
		if _, err := channel.QueueDeclare(queueBase, true, false, false, false, nil); err != nil {
			return err
		}
		if err := checkBroker(url); err != nil {
			t.Errorf("a queue that nobody reads is a reason: %v", err)
		}
		if _, err := channel.Consume(queueBase, "", true, false, false, false, nil); err != nil {
			return err
		}
		return checkBroker(url)
	})
	if err == nil || !strings.Contains(err.Error(), "another server") {
		t.Errorf("error = %v", err)
	}
}

func TestQueuesRefuse(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		args []string
		want int
		says string
	}{
		{"no broker", []string{"--transport", "amqp"}, 2, "--amqp-url"},
		{"a broker for nothing", []string{"--amqp-url", "amqp://127.0.0.1:1"}, 2, "--transport"},
		{"a peer without queues", []string{"--transport", "amqp", "--amqp-url", "amqp://127.0.0.1:1", "--peers", "raw"}, 2, "raw is not read over amqp"},
		{"a peer without sessions", []string{"--peers", "rabbitmq"}, 2, "rabbitmq is not read over ws"},
		{"a broker elsewhere", []string{"--transport", "amqp", "--amqp-url", "amqp://192.0.2.1/"}, 1, "loopback only"},
		{"something else than a broker", []string{"--transport", "amqp", "--amqp-url", "http://127.0.0.1/"}, 1, "--amqp-url"},
		{"a running server", []string{"--transport", "amqp", "--amqp-url", "amqp://127.0.0.1:1", "--url", "http://127.0.0.1:1"}, 1, "--url"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var stdout, stderr strings.Builder
			got := run(t.Context(), append([]string{"fanout"}, tt.args...), &stdout, &stderr)
			if got != tt.want || !strings.Contains(stderr.String(), tt.says) {
				t.Errorf("status %d and %q, want %d and %q", got, stderr.String(), tt.want, tt.says)
			}
		})
	}
}
