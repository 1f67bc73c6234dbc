package instant

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"runtime"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"instantd/protocol"
)

const (
	intakePrefetch = 32 // on their way while one is being carried out
	internalTries  = 5  // of one command, before a defect of ours counts as one of its own
	firstRetry     = 50 * time.Millisecond
	lastRetry      = 5 * time.Second
)

// deadLettersKept bounds the queue of dead letters; beyond, the oldest go.
const deadLettersKept = 10_000

var errCancelled = errors.New("the broker ended the consumer: queue_instant_base was deleted, or is not available")

// intake is the consuming half of a Broker for the time of one connection.
type intake struct {
	*Broker
	link *link
	work context.Context // ends with ctx or the connection; its cause says why
	dead *amqp.Channel   // for dead letters, in confirm mode
}

// consume carries out what the center says (SPEC §5), strictly one after another, until
// the connection is lost or ctx ends. What is not acknowledged by then comes
// again.
func (b *Broker) consume(ctx context.Context, l *link) error {
	work, end := context.WithCancelCause(ctx)
	defer end(nil)
	defer context.AfterFunc(l.life, func() { end(context.Cause(l.life)) })()
	in := &intake{Broker: b, link: l, work: work}
	topology := declarer{link: l, exchangeType: b.ExchangeType, kept: func(s step, why *amqp.Error) {
		b.Log.Debug("amqp topology kept as it is", "name", s.name, "code", why.Code)
	}}
	if err := topology.apply(baseSteps()...); err != nil {
		return err
	}
	var err error
	if in.dead, err = l.channel(); err != nil {
		return err
	}
	if err := l.within(func() error { return in.dead.Confirm(false) }); err != nil {
		return err
	}
	commands, err := l.channel()
	if err != nil {
		return err
	}
	cancelled := commands.NotifyCancel(make(chan string, 1))
	closed := commands.NotifyClose(make(chan *amqp.Error, 1))
	var deliveries <-chan amqp.Delivery
	err = l.within(func() error {
		if err := commands.Qos(intakePrefetch, 0, false); err != nil {
			return err
		}
		deliveries, err = commands.Consume(queueBase, "", false, false, false, false, nil)
		return err
	})
	if err != nil {
		return err
	}
	b.consuming.up(l)
	b.Log.Info("amqp connected", "connection", b.consuming.name)
	l.worked.Store(true)
	for {
		select {
		case <-ctx.Done():
			return nil
		case d, ok := <-deliveries:
			if !ok {
				return l.why(whyEnded(cancelled, closed))
			}
			if err := in.take(ctx, d); err != nil {
				return l.why(err)
			}
		}
	}
}

// whyEnded finds what the broker said before the deliveries ended. The library
// passes it on first.
func whyEnded(cancelled <-chan string, closed <-chan *amqp.Error) error {
	select {
	case _, ok := <-cancelled:
		if ok {
			return errCancelled
		}
	default:
	}
	select {
	case refusal := <-closed:
		if refusal != nil {
			return refusal
		}
	default:
	}
	return errGone
}

// take carries out one delivery and acknowledges it: when it is done, or when
// it lies among the dead letters because it never can be.
func (in *intake) take(ctx context.Context, d amqp.Delivery) error {
	pause := firstRetry
	for try := 1; ; try++ {
		err := in.apply(ctx, d.Body)
		if ctx.Err() != nil && err != nil {
			return context.Cause(ctx)
		}
		if err == nil {
			return d.Ack(false)
		}
		code := protocol.CodeOf(err)
		if code == protocol.Internal {
			in.Log.Error("command of the center failed", "try", try, "error", err)
		}
		if !passing(err) || code == protocol.Internal && try >= internalTries {
			return in.bury(d, err)
		}
		if !wait(in.work, pause/2+rand.N(pause/2)) {
			return context.Cause(in.work)
		}
		pause = min(2*pause, lastRetry)
	}
}

// apply turns a panic into an error that is not worth another try. What was
// thrown may quote the command, so only what the runtime says is logged.
func (in *intake) apply(ctx context.Context, body []byte) (err error) {
	defer func() {
		thrown := recover()
		if thrown == nil {
			return
		}
		what := fmt.Sprintf("%T", thrown)
		var defect runtime.Error
		if e, ok := thrown.(error); ok && errors.As(e, &defect) {
			what = defect.Error()
		}
		stack := make([]byte, 4<<10)
		in.Log.Error("command of the center panicked", "panic", what, "stack", string(stack[:runtime.Stack(stack, false)]))
		err = protocol.Errorf(protocol.Invalid, "it made the server panic")
	}()
	return in.Apply(ctx, body)
}

// bury puts a delivery among the dead letters, where an operator can look at it
// and send it again.
func (in *intake) bury(d amqp.Delivery, why error) error {
	reason := protocol.ReasonOf(why)
	headers := maps.Clone(d.Headers)
	if headers == nil {
		headers = make(amqp.Table)
	}
	headers["x-reason"] = reason
	receipt, err := in.dead.PublishWithDeferredConfirm("", queueDead, false, false, amqp.Publishing{
		Headers: headers, ContentType: d.ContentType, ContentEncoding: d.ContentEncoding,
		DeliveryMode: amqp.Persistent, MessageId: d.MessageId, Timestamp: d.Timestamp, Type: d.Type, AppId: d.AppId,
		Body: d.Body,
	})
	if err != nil {
		return fmt.Errorf("dead letter: %w", err)
	}
	if acked, err := receipt.WaitContext(in.link.life); err != nil || !acked {
		return fmt.Errorf("dead letter was not taken: %w", errors.Join(err, errNacked))
	}
	in.metrics.deadLetters.Inc()
	in.Log.LogAttrs(context.Background(), slog.LevelWarn, "command of the center is a dead letter",
		slog.String("reason", reason), slog.String("queue", queueDead), slog.Int("bytes", len(d.Body)))
	return d.Ack(false)
}
