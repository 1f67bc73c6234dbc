package instant

import (
	"hash/maphash"
	"sync"

	amqp "github.com/rabbitmq/amqp091-go"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"instantd/protocol"
)

// Bounds of what a builder has to do. When one is reached, publishing waits.
const (
	crewsAtOnce    = 4        // each with a channel of its own
	changesAtOnce  = 128      // carried out together
	changesOrdered = 4_096    // not begun
	stepsOrdered   = 64 << 10 // not done
)

// A change is what one event changes in the topology of one user. A nil one
// changes nothing, and is done.
type change struct {
	user   protocol.UserID
	steps  []step
	number int64                      // in the order in which they are done
	after  *amqp.DeferredConfirmation // the newest frame that it must not overtake

	mu   sync.Mutex
	then []func() error
	done chan struct{} // closed when the broker has done it, and what follows
}

// follow has something done as soon as the change is done, on the builder's
// goroutine. It is false when the change is done already.
func (c *change) follow(do func() error) bool {
	if c.isDone() {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isDone() {
		return false
	}
	c.then = append(c.then, do)
	return true
}

// finish does what follows. Who comes too late to follow finds it done.
func (c *change) finish() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, do := range c.then {
		if err := do(); err != nil {
			return err
		}
	}
	c.then = nil
	close(c.done)
	return nil
}

func (c *change) isDone() bool {
	if c == nil {
		return true
	}
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// newer is the one of two changes that is done later.
func newer(a, b *change) *change {
	if a == nil || b != nil && b.number > a.number {
		return b
	}
	return a
}

// builder carries out changes beside the publishing, because a login costs a
// broker milliseconds, and a thousand of them must not hold up the messages of
// everybody else. Changes are done in the order in which they were ordered, as
// far as anybody can see: many are carried out together, those of one user in
// order, and when one counts as done, so do all before it. The exchanges of
// conversations that a change names must exist already. One goroutine orders.
type builder struct {
	link   *link
	crews  []*declarer
	orders chan *change
	space  *semaphore.Weighted // for steps
	seed   maphash.Seed

	// Of the goroutine that orders.
	last  *change                    // the newest order
	ahead *amqp.DeferredConfirmation // the newest frame
}

// newBuilder makes a builder whose declarers are like the pattern.
func newBuilder(l *link, pattern declarer) *builder {
	b := &builder{
		link:   l,
		orders: make(chan *change, changesOrdered),
		space:  semaphore.NewWeighted(stepsOrdered),
		seed:   maphash.MakeSeed(),
	}
	for range crewsAtOnce {
		crew := pattern
		b.crews = append(b.crews, &crew)
	}
	return b
}

// order has steps carried out, and does not wait for them. No steps are no
// change.
func (b *builder) order(user protocol.UserID, steps ...step) (*change, error) {
	if len(steps) == 0 {
		return nil, nil
	}
	c := &change{user: user, steps: steps, number: 1, after: b.ahead, done: make(chan struct{})}
	if b.last != nil {
		c.number = b.last.number + 1
	}
	if err := b.space.Acquire(b.link.life, c.weight()); err != nil {
		return nil, b.link.why(err)
	}
	select {
	case b.orders <- c:
		b.last = c
		return c, nil
	case <-b.link.life.Done():
		return nil, b.link.why(errGone)
	}
}

func (c *change) weight() int64 { return min(int64(len(c.steps)), stepsOrdered) }

// wait returns when a change is done.
func (b *builder) wait(c *change) error {
	if c.isDone() {
		return nil
	}
	select {
	case <-c.done:
		return nil
	case <-b.link.life.Done():
		return b.link.why(errGone)
	}
}

// run works until finish is called and everything is done, or until the
// connection is lost.
func (b *builder) run() error {
	for first := range b.orders {
		together := []*change{first}
		for len(together) < changesAtOnce && len(b.orders) > 0 {
			together = append(together, <-b.orders)
		}
		if err := b.build(together); err != nil {
			b.link.abort(err)
			return err
		}
		for _, c := range together {
			if err := c.finish(); err != nil {
				b.link.abort(err)
				return err
			}
			b.space.Release(c.weight())
		}
	}
	return nil
}

// finish says that nothing more is ordered.
func (b *builder) finish() { close(b.orders) }

// build shares changes out so that one crew has all of a user. A binding that
// came before an earlier frame was routed would let somebody hear what was not
// for him.
func (b *builder) build(together []*change) error {
	if newest := together[len(together)-1].after; newest != nil {
		select {
		case <-newest.Done():
		case <-b.link.life.Done():
			return b.link.why(errGone)
		}
	}
	steps := make([][]step, len(b.crews))
	for _, c := range together {
		crew := maphash.String(b.seed, string(c.user)) % uint64(len(b.crews))
		steps[crew] = append(steps[crew], c.steps...)
	}
	var group errgroup.Group // ends below, with the crews or the connection
	for i, crew := range b.crews {
		if len(steps[i]) > 0 {
			group.Go(func() error { return crew.apply(steps[i]...) })
		}
	}
	return group.Wait()
}
