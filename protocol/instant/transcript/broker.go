package transcript

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// The names that the document fixes, for the center's side of it.
const (
	exchangeBase = "exchange_instant_base"
	keyBase      = "instant.base"
	keyWaterMark = "u_.water_mark"
)

// broker is the connection of a scenario to RabbitMQ. It is the center's as
// well.
type broker struct {
	conn     *amqp.Connection
	patience time.Duration
	center   *amqp.Channel
	marks    <-chan amqp.Delivery
}

func dialBroker(url string, patience time.Duration) (*broker, error) {
	if url == "" {
		return nil, errors.New("this server has no message broker")
	}
	conn, err := amqp.Dial(url)
	if err != nil {
		return nil, err
	}
	b := &broker{conn: conn, patience: patience}
	if err := b.hearMarks(); err != nil {
		conn.Close()
		return nil, err
	}
	return b, nil
}

func (b *broker) hearMarks() (err error) {
	if b.center, err = b.conn.Channel(); err != nil {
		return err
	}
	queue, err := b.center.QueueDeclare("", false, true, true, false, nil)
	if err != nil {
		return err
	}
	if err := b.center.QueueBind(queue.Name, keyWaterMark, exchangeBase, false, nil); err != nil {
		return err
	}
	b.marks, err = b.center.Consume(queue.Name, "", true, true, false, false, nil)
	return err
}

// say lets the center say something, and returns when the server has carried it
// out.
func (b *broker) say(ctx context.Context, text string) error {
	if err := b.publish(ctx, text); err != nil {
		return err
	}
	_, err := b.mark(ctx)
	return err
}

func (b *broker) publish(ctx context.Context, text string) error {
	return b.center.PublishWithContext(ctx, exchangeBase, keyBase, false, false, amqp.Publishing{
		ContentType: "application/json", DeliveryMode: amqp.Persistent, Body: []byte(text),
	})
}

// mark puts a barrier behind everything that was answered or said before, and
// returns when it has come: the server carries out the center's commands one
// after another and publishes in the order of its commits, and every queue
// hears water marks.
func (b *broker) mark(ctx context.Context) (mark string, err error) {
	mark = rand.Text()
	if err := b.publish(ctx, `{"cmd":"update_water_mark","data":{"barrier":"`+mark+`"}}`); err != nil {
		return "", err
	}
	for {
		d, err := take(b.marks, b.patience)
		if err != nil {
			return "", fmt.Errorf("waiting for the server: %w", err)
		}
		if markOf(d.Body) == mark {
			return mark, nil
		}
	}
}

// markOf is the barrier that a notice is, empty for what a scenario asked for.
func markOf(notice []byte) string {
	var n struct {
		Data struct {
			Barrier string `json:"barrier"`
		} `json:"data"`
	}
	json.Unmarshal(notice, &n) // what does not fit is no barrier
	return n.Data.Barrier
}

// errCancelled is the end of a queue.
var errCancelled = errors.New("the consumer is cancelled")

func take(deliveries <-chan amqp.Delivery, patience time.Duration) (amqp.Delivery, error) {
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	select {
	case d, open := <-deliveries:
		if !open {
			return d, errCancelled
		}
		return d, nil
	case <-timeout.C:
		return amqp.Delivery{}, errNothingCame
	}
}

// connect connects to the broker once.
func (s *stage) connect() (err error) {
	if s.broker == nil {
		s.broker, err = dialBroker(s.server.BrokerURL, s.server.Patience)
	}
	return err
}

// center lets the center say something over AMQP.
func (s *stage) center(ctx context.Context, text string) error {
	if err := s.connect(); err != nil {
		return err
	}
	return s.broker.say(ctx, s.names.expand(text))
}
