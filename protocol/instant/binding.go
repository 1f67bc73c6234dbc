package instant

import (
	"fmt"
	"slices"

	amqp "github.com/rabbitmq/amqp091-go"

	"instantd/protocol"
)

// bindingsAtOnce are planned before their steps are ordered: one user's can be
// thousands.
const bindingsAtOnce = 32

// binding is a queue that becomes one of a user's.
type binding struct {
	user  protocol.UserID
	queue protocol.Queue
}

// bind makes queues those of their users, and returns the change that is done
// last. at is the event after which the first queue of a user begins to listen:
// to the conversations that he was in then, because the records that follow are
// still to be published, and change it.
func (p *publisher) bind(at protocol.MessageID, bindings ...binding) (last *change, err error) {
	for portion := range slices.Chunk(bindings, bindingsAtOnce) {
		var (
			plans   = make([]plan, len(portion))
			missing []step
		)
		for i, b := range portion {
			if plans[i], err = p.plan(b, at); err != nil {
				return nil, err
			}
			missing = append(missing, p.missing(plans[i].listens...)...)
		}
		if err := p.topology.apply(missing...); err != nil {
			return nil, err
		}
		for i, b := range portion {
			if last, err = p.order(b.user, plans[i].steps...); err != nil {
				return nil, err
			}
			p.holdUp(last, b.user, plans[i].listens)
		}
	}
	return last, nil
}

// plan is what a binding takes.
type plan struct {
	steps   []step
	listens []protocol.ConversationID // whose frames the queue is to get
}

func (p *publisher) plan(b binding, at protocol.MessageID) (plan, error) {
	if !bindable(b.user) {
		p.Log.Warn("amqp user is not bound: his key would match others'", "user", b.user)
		return plan{}, nil
	}
	in, later, err := p.Roster.ConversationsAt(b.user, at)
	if err != nil {
		return plan{}, fmt.Errorf("conversations of %s at %s: %w", b.user, at, err)
	}
	var steps []step
	if len(p.bound[b.user]) == 0 {
		steps = userSteps(b.user, in)
		for _, id := range later {
			// An earlier connection may have got further than its confirmations.
			steps = append(steps, memberStep(unbindExchange, id, b.user))
		}
		p.bound[b.user] = make(map[string]bool)
	}
	delete(p.graves, protocol.UserKey(b.user))
	p.bound[b.user][b.queue.Name] = true
	return plan{append(steps, queueSteps(b.user, b.queue)...), in}, nil
}

// release takes a queue away from a user. After the last one his exchange stays
// for a while, because most people come back.
func (p *publisher) release(user protocol.UserID, queue protocol.Queue, by protocol.MessageID) (*change, error) {
	if queue.Declared { // it stays, and is to hold what it was still to get
		if err := p.wait(p.obstacle(keyOfUser(user))); err != nil {
			return nil, err
		}
		if err := p.routed(); err != nil {
			return nil, err
		}
	}
	in, _, err := p.Roster.ConversationsAt(user, by)
	if err != nil {
		return nil, fmt.Errorf("conversations of %s at %s: %w", user, by, err)
	}
	c, err := p.order(user, releaseStep(user, queue))
	if err != nil {
		return nil, err
	}
	p.holdUp(c, user, in)
	delete(p.bound[user], queue.Name)
	if len(p.bound[user]) > 0 {
		return c, nil
	}
	delete(p.bound, user)
	return c, p.inter(protocol.UserKey(user), by, p.Grace)
}

// holdUp says that a change of a user's queues must not be overtaken by what
// they get, or get no more: what is his, and what is said where he listens.
func (p *publisher) holdUp(c *change, user protocol.UserID, listens []protocol.ConversationID) {
	p.pending[keyOfUser(user)] = c
	for _, id := range listens {
		p.pending[keyOfConversation(id)] = c
	}
}

// join makes sure that a conversation has its exchange, and that the new
// members who have queues listen to it. It returns the change that is done last.
func (p *publisher) join(id protocol.ConversationID, created bool, members []protocol.Member) (last *change, err error) {
	if id.IsFeed() {
		return nil, nil
	}
	if err := p.topology.apply(p.missing(id)...); err != nil {
		return nil, err
	}
	for _, m := range members {
		if len(p.bound[m.User]) == 0 {
			continue
		}
		var c *change
		s := memberStep(bindExchange, id, m.User)
		if created { // nothing was said before
			c, err = p.order(m.User, s)
		} else {
			c, err = p.inLine(p.obstacle(keyOfUser(m.User)), func(frames *amqp.Channel) error { return p.topology.run(frames, s, true) })
		}
		if err != nil {
			return nil, err
		}
		last = newer(last, c)
	}
	if last != nil {
		p.pending[keyOfConversation(id)] = newer(p.pending[keyOfConversation(id)], last)
	}
	return last, nil
}

// part ends the listening of users who are no longer members, whether they have
// queues now or had some. It waits for the broker: nobody would do it again.
func (p *publisher) part(id protocol.ConversationID, persons []protocol.Person) error {
	if err := p.wait(p.obstacle(keyOfConversation(id))); err != nil {
		return err
	}
	return p.link.within(func() error {
		return p.now(func(frames *amqp.Channel) error {
			for i, person := range persons {
				last := i == len(persons)-1 // its answer comes after the others are done
				if err := p.topology.run(frames, memberStep(unbindExchange, id, person.User), !last); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// now uses the channel of the frames. What is done with it comes after all that
// was done with it before.
func (p *publisher) now(use func(frames *amqp.Channel) error) error {
	p.turn.Lock()
	defer p.turn.Unlock()
	if err := use(p.frames); err != nil {
		return p.whyClosed(err)
	}
	return nil
}

// inLine does the same as soon as a change is done, and returns the change if
// that is not yet.
func (p *publisher) inLine(after *change, use func(frames *amqp.Channel) error) (*change, error) {
	if after.follow(func() error { return p.now(use) }) {
		return after, nil
	}
	return nil, p.now(use)
}

// obstacle is the change that must be done before a frame with a key is
// published: then the queues of the user, or of all who listen to the
// conversation, are in place.
func (p *publisher) obstacle(key string) *change {
	if isForAll(key) {
		return p.last
	}
	return p.pending[key]
}
