package instant

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	amqp "github.com/rabbitmq/amqp091-go"

	"instantd/protocol"
)

// report is an Apply that tells what it was given.
func report(to chan<- string) func(context.Context, []byte) error {
	return func(ctx context.Context, body []byte) error {
		select {
		case to <- string(body):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func TestCommandsAreCarriedOutInOrder(t *testing.T) {
	t.Parallel()
	url, applied := vhost(t), make(chan string)
	b, _ := runBroker(t, url, newLedger(), func(o *BrokerOptions) { o.Apply = report(applied) })
	connected(t, b)
	center := newClient(t, url)
	const many = 3 * intakePrefetch
	for i := range many {
		center.command(fmt.Sprint(i))
	}
	for i := range many {
		if got := <-applied; got != fmt.Sprint(i) {
			t.Fatalf("applied %s, want %d", got, i)
		}
	}
}

func TestCommandsThatNeverWorkAreSetAside(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		apply  func(try int) error
		tries  int
		reason string // empty: it is carried out at last
	}{
		{"a malformed one at once", func(int) error { return protocol.Errorf(protocol.Invalid, "cmd is missing") }, 1, "cmd is missing"},
		{"a refused one at once", func(int) error { return protocol.Errorf(protocol.Conflict, "it is taken") }, 1, "it is taken"},
		{"one that makes us panic at once", func(int) error { panic("secret") }, 1, "it made the server panic"},
		{"one that fails by a defect after some tries", func(int) error { return errors.New("secret") }, internalTries, "internal error"},
		{"not one that is busy for long", func(try int) error {
			if try <= internalTries {
				return protocol.Errorf(protocol.Unavailable, "busy")
			}
			return nil
		}, internalTries + 1, ""},
		{"not one that comes too fast", func(try int) error {
			if try == 1 {
				return protocol.Errorf(protocol.RateLimited, "slow down")
			}
			return nil
		}, 2, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			url, next := vhost(t), make(chan string, 1)
			tries := 0 // Apply is called by one goroutine, next orders it before the test
			b, _ := runBroker(t, url, newLedger(), func(o *BrokerOptions) {
				o.Apply = func(ctx context.Context, body []byte) error {
					if string(body) != "trouble" {
						return report(next)(ctx, body)
					}
					tries++
					return c.apply(tries)
				}
			})
			connected(t, b)
			center := newClient(t, url)
			center.command("trouble")
			center.command("fine")
			if got := <-next; got != "fine" {
				t.Errorf("applied %s", got)
			}
			if tries != c.tries {
				t.Errorf("%d tries, want %d", tries, c.tries)
			}
			want := 0.0
			if c.reason != "" {
				want = 1
				d := receive(t, center.consume(queueDead))
				if string(d.Body) != "trouble" || d.Headers["x-reason"] != c.reason {
					t.Errorf("dead letter %q for reason %q, want reason %q", d.Body, d.Headers["x-reason"], c.reason)
				}
			}
			if got := testutil.ToFloat64(b.metrics.deadLetters); got != want {
				t.Errorf("%v dead letters, want %v", got, want)
			}
		})
	}
}

func TestACommandUnderWayComesAgainAfterTheEnd(t *testing.T) {
	t.Parallel()
	url, begun := vhost(t), make(chan struct{})
	b, stop := runBroker(t, url, newLedger(), func(o *BrokerOptions) {
		o.Apply = func(ctx context.Context, _ []byte) error {
			close(begun)
			<-ctx.Done()
			return fmt.Errorf("interrupted: %w", ctx.Err())
		}
	})
	connected(t, b)
	newClient(t, url).command("patient")
	<-begun
	stop()

	applied := make(chan string, 1)
	runBroker(t, url, newLedger(), func(o *BrokerOptions) { o.Apply = report(applied) })
	if got := <-applied; got != "patient" {
		t.Errorf("applied %s", got)
	}
}

// The end comes while the first command waits for its next try.
func TestNoCommandOvertakesOneThatIsTriedAgain(t *testing.T) {
	t.Parallel()
	url, tried := vhost(t), make(chan struct{}, internalTries)
	var applied []string // by one goroutine, read after the end
	b, stop := runBroker(t, url, newLedger(), func(o *BrokerOptions) {
		o.Apply = func(_ context.Context, body []byte) error {
			if string(body) != "first" {
				applied = append(applied, string(body))
				return nil
			}
			select {
			case tried <- struct{}{}:
			default:
			}
			return protocol.Errorf(protocol.Unavailable, "busy")
		}
	})
	connected(t, b)
	center := newClient(t, url)
	center.command("first")
	for i := range intakePrefetch {
		center.command(fmt.Sprint(i))
	}
	for range 3 { // by then the others have arrived
		<-tried
	}
	stop()
	if len(applied) > 0 {
		t.Errorf("%v were carried out before the first", applied)
	}
}

func TestTheCentersQueueComesBackWhenItIsDeleted(t *testing.T) {
	t.Parallel()
	url, applied, said := vhost(t), make(chan string, 1), new(book)
	b, _ := runBroker(t, url, newLedger(), func(o *BrokerOptions) { o.Apply, o.Log = report(applied), said.logger() })
	connected(t, b)
	center := newClient(t, url)
	if _, err := center.ch.QueueDelete(queueBase, false, false, false); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the loss is noticed", func() bool { return testutil.ToFloat64(b.metrics.reconnects) > 0 })
	connected(t, b)
	if !said.says("queue_instant_base was deleted") {
		t.Errorf("the deletion is explained so:\n%s", said.text.String())
	}
	center.command("again")
	if got := <-applied; got != "again" {
		t.Errorf("applied %s", got)
	}
}

// An operator who never looks must not fill the broker's disk.
func TestDeadLettersAreBounded(t *testing.T) {
	t.Parallel()
	url := vhost(t)
	b, _ := runBroker(t, url, newLedger(), nil)
	connected(t, b)
	c := newClient(t, url)
	for limit, want := range map[int]bool{deadLettersKept: true, 0: false} {
		args := amqp.Table{}
		if limit > 0 {
			args["x-max-length"] = limit
		}
		is := c.try(func(ch *amqp.Channel) error {
			_, err := ch.QueueDeclare(queueDead, true, false, false, false, args)
			return err
		})
		if is != want {
			t.Errorf("the queue has a limit of %d (0: none): %v", limit, is)
		}
	}
}
