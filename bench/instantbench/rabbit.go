//go:build linux

package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// startBrokered starts an instantd that has a broker.
func startBrokered(f serverFlags, url string) (*instantd, error) {
	if f.URL != "" {
		return nil, errors.New("--transport amqp starts a server of its own: leave --url out")
	}
	if err := checkBroker(url); err != nil {
		return nil, err
	}
	return startInstantd(f, "INSTANTD_AMQP_URL="+url, "INSTANTD_AMQP_PUBLIC_URL="+url)
}

// consume makes a group of new users, who read the queues that the server
// declares for them. What is made on the broker goes with the server.
func (s *instantd) consume(ctx context.Context, readers int, url string, members int) (*audience, error) {
	if err := s.connected(ctx); err != nil {
		return nil, err
	}
	users, tokens, err := s.login(ctx, members)
	if err != nil {
		return nil, err
	}
	names := make([]string, members)
	err = forEach(ctx, members, func(i int) (err error) {
		names[i], err = s.queue(ctx, tokens[i])
		return err
	})
	if err != nil {
		return nil, err
	}
	conversation := ""
	s.sweep = func() error {
		return sweep(url, append(names, queueBase, queueDead), exchangesOf(users, conversation))
	}
	a, err := consume(ctx, readers, url, group{tokens: tokens}, names)
	if err != nil {
		return nil, err
	}
	conversation, err = s.create(ctx, tokens[0], users)
	if err == nil {
		a.group.conversation = conversation
		err = a.queues.begun.wait(a.healthy, "members have not heard of the group")
	}
	if err != nil {
		a.close()
		return nil, err
	}
	return a, nil
}

// connected waits until the server has reached its broker.
func (s *instantd) connected(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		text, err := s.fromOps(ctx, "/readyz")
		if err != nil {
			return err
		}
		var state struct {
			Checks []struct {
				Name   string `json:"name"`
				OK     bool   `json:"ok"`
				Reason string `json:"reason"`
			} `json:"checks"`
		}
		if err := json.Unmarshal(text, &state); err != nil {
			return fmt.Errorf("read readiness: %w", err)
		}
		reason := "it has none"
		for _, check := range state.Checks {
			if check.Name == "broker" && check.OK {
				return nil
			}
			if check.Name == "broker" {
				reason = check.Reason
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("the server does not reach the broker: %s", reason)
		}
	}
}

// queue is the queue that the server declared for a login.
func (s *instantd) queue(ctx context.Context, token string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.at.String()+"/instant/c_queue", nil)
	if err != nil {
		return "", fmt.Errorf("ask for a queue: %w", err)
	}
	request.Header.Set("x-token", token)
	response, err := s.client.Do(request)
	if err != nil {
		return "", fmt.Errorf("ask for a queue: %w", err)
	}
	defer response.Body.Close()
	var answered struct {
		Reason string `json:"reason"`
		Data   struct {
			Queue string `json:"queue"`
		} `json:"data"`
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err == nil {
		err = json.Unmarshal(text, &answered)
	}
	if err != nil || answered.Data.Queue == "" {
		return "", fmt.Errorf("ask for a queue: the server answered %d %s: %w", response.StatusCode, answered.Reason, err)
	}
	return answered.Data.Queue, nil
}

// rabbit is RabbitMQ alone: one durable exchange, a durable queue for each
// member, persistent messages, confirms. It runs already.
type rabbit struct {
	url      string
	exchange string
	queues   []string
}

func startRabbit(url string) (*rabbit, error) {
	if err := checkBroker(url); err != nil {
		return nil, err
	}
	return &rabbit{url: url, exchange: "bench-" + rand.Text()[:8]}, nil
}

func (r *rabbit) name() string         { return peerKinds["rabbitmq"].name }
func (r *rabbit) addr() netip.AddrPort { return netip.AddrPort{} }
func (r *rabbit) pid() int             { return 0 }
func (r *rabbit) close() error         { return sweep(r.url, r.queues, []string{r.exchange}) }

func (r *rabbit) group(context.Context, int) (group, error) {
	return group{}, errors.New("RabbitMQ alone has no sessions")
}

// consume declares everything and reads it.
func (r *rabbit) consume(ctx context.Context, readers, members int) (*audience, error) {
	err := withBroker(r.url, func(channel *amqp.Channel) error {
		if err := channel.ExchangeDeclare(r.exchange, "topic", true, false, false, false, nil); err != nil {
			return err
		}
		for i := range members {
			name := fmt.Sprintf("%s-%05d", r.exchange, i)
			if _, err := channel.QueueDeclare(name, true, false, false, false, nil); err != nil {
				return err
			}
			r.queues = append(r.queues, name)
			if err := channel.QueueBind(name, "bench", r.exchange, false, nil); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("declare queues: %w", err)
	}
	return consume(ctx, readers, r.url, group{conversation: "bench"}, r.queues)
}

// rabbitSender publishes with confirms, many at once.
type rabbitSender struct {
	audience *audience
	exchange string
	conn     *amqp.Connection
	channel  *amqp.Channel
	waiting  chan unconfirmed
}

// unconfirmed is a message on its way.
type unconfirmed struct {
	number  int
	confirm *amqp.DeferredConfirmation
}

// newRabbitSender connects. It ends with the audience.
func newRabbitSender(a *audience, r *rabbit) (*rabbitSender, error) {
	conn, err := amqp.Dial(r.url)
	if err != nil {
		return nil, fmt.Errorf("reach the broker: %w", err)
	}
	s := &rabbitSender{audience: a, exchange: r.exchange, conn: conn, waiting: make(chan unconfirmed, 16<<10)}
	if s.channel, err = conn.Channel(); err == nil {
		err = s.channel.Confirm(false)
	}
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("reach the broker: %w", err)
	}
	a.queues.conns = append(a.queues.conns, conn)
	a.queues.consuming.Go(s.run) // ends with the audience
	return s, nil
}

// send implements sender. A message looks as instantd's do.
func (s *rabbitSender) send(number int, text string) error {
	confirm, err := s.channel.PublishWithDeferredConfirm(s.exchange, "bench", true, false, amqp.Publishing{
		ContentType: "application/json", DeliveryMode: amqp.Persistent, Body: []byte(told(uint64(number)+1, text)),
	})
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	select {
	case s.waiting <- unconfirmed{number, confirm}:
		return nil
	case <-s.audience.healthy.Done():
		return context.Cause(s.audience.healthy)
	}
}

// run takes confirms in the order of the messages.
func (s *rabbitSender) run() {
	a := s.audience
	for {
		select {
		case m := <-s.waiting:
			if ok, err := m.confirm.WaitContext(a.healthy); err != nil || !ok {
				if !a.closing.Load() {
					a.fail(errors.New("the broker did not take a message"))
				}
				return
			}
			if l := a.current.Load(); l != nil {
				l.answered(a.queues.confirms(), m.number, now())
			}
		case <-a.healthy.Done():
			return
		}
	}
}
