package transcript

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// prefetch is how many notices wait at a consumer.
const prefetch = 64

// consumer reads one queue.
type consumer struct {
	channel    *amqp.Channel
	queue      string
	patience   time.Duration
	own        bool // the client's: the server did not declare it
	deliveries <-chan amqp.Delivery
}

// consume reads a queue, which it declares before when it is the client's own.
func (b *broker) consume(queue string, own bool) (*consumer, error) {
	channel, err := b.conn.Channel()
	if err != nil {
		return nil, err
	}
	c := &consumer{channel: channel, queue: queue, patience: b.patience, own: own}
	if own {
		if _, err := channel.QueueDeclare(queue, true, false, false, false, nil); err != nil {
			return nil, err
		}
	}
	if err := channel.Qos(prefetch, 0, false); err != nil {
		return nil, err
	}
	c.deliveries, err = channel.Consume(queue, "", false, false, false, false, nil)
	return c, err
}

// bind is what a client does with its own queue.
func (c *consumer) bind(exchange, key string) error {
	if !c.own {
		return fmt.Errorf("%s is the server's to bind", c.queue)
	}
	return c.channel.QueueBind(c.queue, key, exchange, false, nil)
}

// next takes the next notice.
func (c *consumer) next() (amqp.Delivery, error) {
	for {
		d, err := take(c.deliveries, c.patience)
		if err != nil {
			return d, err
		}
		if err := d.Ack(false); err != nil {
			return d, err
		}
		if markOf(d.Body) == "" {
			return d, inOrder(d)
		}
	}
}

// inOrder checks what every notice has.
func inOrder(d amqp.Delivery) error {
	if d.ContentType != "application/json" || d.DeliveryMode != amqp.Persistent || d.MessageId == "" {
		return fmt.Errorf("a notice of type %q, mode %d, id %q: %s", d.ContentType, d.DeliveryMode, d.MessageId, d.Body)
	}
	return nil
}

// rest takes what came before a mark and was not asked for.
func (c *consumer) rest(ctx context.Context, b *broker) (rest []amqp.Delivery, err error) {
	if c.own {
		if err := c.bind(exchangeBase, keyWaterMark); err != nil {
			return nil, err
		}
	}
	mark, err := b.mark(ctx)
	if err != nil {
		return nil, err
	}
	for {
		d, err := take(c.deliveries, c.patience)
		if err != nil {
			return nil, fmt.Errorf("waiting for a water mark: %w", err)
		}
		if err := d.Ack(false); err != nil {
			return nil, err
		}
		switch markOf(d.Body) {
		case mark:
			return rest, nil
		case "":
			rest = append(rest, d)
		}
	}
}

// cancelled waits for the end of the queue.
func (c *consumer) cancelled() error {
	d, err := c.next()
	if err == nil {
		return fmt.Errorf("it is not cancelled, but got %s", d.Body)
	}
	if errors.Is(err, errCancelled) {
		return nil
	}
	return err
}

// consume begins to read a queue: "amqp consumer [user[/class]]" the one that
// the server declared for a login, "amqp-own consumer queue" one of the client's.
func (s *stage) consume(ctx context.Context, text string, own bool) (err error) {
	if err := s.connect(); err != nil {
		return err
	}
	name, which := cut(s.names.expand(text))
	if which == "" {
		which = name
	}
	if !own {
		if which, err = s.queueOf(ctx, which); err != nil {
			return err
		}
	}
	s.consumers[name], err = s.broker.consume(which, own)
	return err
}

// queueOf asks the server for the queue of "user[/class]", and waits until it is
// there.
func (s *stage) queueOf(ctx context.Context, who string) (string, error) {
	body, err := s.ask(ctx, who+" GET /instant/c_queue")
	if err != nil {
		return "", err
	}
	var named struct{ Data struct{ Queue string } }
	if err := json.Unmarshal(body, &named); err != nil {
		return "", fmt.Errorf("c_queue: %w", err)
	}
	_, err = s.broker.mark(ctx)
	return named.Data.Queue, err
}

// queue does what a line says that begins with a consumer's name.
func (s *stage) queue(ctx context.Context, c *consumer, word, rest string) error {
	switch {
	case strings.HasSuffix(word, "<"):
		return s.expectNotice(c, word, rest)
	case rest == "quiet":
		lines, err := s.unread(ctx, word, c)
		if err != nil {
			return err
		}
		return quiet(lines, word+" quiet")
	case strings.HasPrefix(rest, "binds "):
		exchange, key := cut(s.names.expand(strings.TrimPrefix(rest, "binds ")))
		return c.bind(exchange, key)
	case rest == "leaves":
		delete(s.consumers, word)
		return c.channel.Close()
	case rest == "is cancelled":
		delete(s.consumers, word)
		return c.cancelled()
	}
	return fmt.Errorf("%q is nothing that a consumer does", rest)
}

// expectNotice compares the next notice: "exchange key json".
func (s *stage) expectNotice(c *consumer, word, rest string) error {
	exchange, more := cut(rest)
	key, pattern := cut(more)
	d, err := c.next()
	if err != nil {
		return absent(fmt.Errorf("no notice: %w", err))
	}
	err = s.names.match([]byte(pattern), d.Body)
	if s.names.expand(exchange) != d.Exchange || s.names.expand(key) != d.RoutingKey {
		err = fmt.Errorf("it came from %s with %s", d.Exchange, d.RoutingKey)
	}
	if err != nil {
		return &mismatch{fmt.Errorf("%w\n  got %s", err, d.Body), s.noticeLine(word, d, pattern)}
	}
	return nil
}

// unread are the lines of the notices that no line asked for.
func (s *stage) unread(ctx context.Context, name string, c *consumer) (lines []string, err error) {
	notices, err := c.rest(ctx, s.broker)
	for _, d := range notices {
		lines = append(lines, s.noticeLine(name+"<", d, ""))
	}
	return lines, err
}

func (s *stage) noticeLine(word string, d amqp.Delivery, pattern string) string {
	start := word + " " + s.names.contract(d.Exchange) + " " + s.names.contract(d.RoutingKey)
	return s.recorder.line(start, pattern, d.Body)
}
