package instant

import (
	"fmt"

	"instantd/protocol"
)

// join makes sure that a conversation has its exchange, and that the new
// members who have queues listen to it.
func (p *publisher) join(id protocol.ConversationID, members []protocol.Member) error {
	if id.IsFeed() {
		return nil
	}
	steps := p.missing(id)
	for _, m := range members {
		if len(p.bound[m.User]) > 0 {
			steps = append(steps, memberStep(bindExchange, id, m.User))
		}
	}
	return p.topology.apply(steps...)
}

// part ends the listening of users who are no longer members, whether they have
// queues now or had some. It uses the channel of the frames: only there it
// comes after the frames that they are still to get, and before the next ones.
func (p *publisher) part(id protocol.ConversationID, persons []protocol.Person) error {
	return p.link.within(func() error {
		for i, person := range persons {
			last := i == len(persons)-1 // its answer comes after the others are done
			if err := p.topology.run(p.frames, memberStep(unbindExchange, id, person.User), !last); err != nil {
				return p.whyClosed(err)
			}
		}
		return nil
	})
}

// bind makes a queue one of a user's; with the first one he begins to listen, to
// the conversations that he was in right after the event at: the records that
// follow it are still to be published, and change it. fresh says that nothing of
// his is known to be in order.
func (p *publisher) bind(user protocol.UserID, queue protocol.Queue, at protocol.MessageID, fresh bool) error {
	if !bindable(user) {
		p.Log.Warn("amqp user is not bound: his id would match others'", "user", user)
		return nil
	}
	var steps []step
	exchange := exchangeOfUser(user)
	if len(p.bound[user]) == 0 {
		in, later, err := p.Roster.ConversationsAt(user, at)
		if err != nil {
			return fmt.Errorf("conversations of %s at %s: %w", user, at, err)
		}
		steps = p.missing(in...)
		if _, kept := p.graves[exchange]; fresh && !kept {
			// One of an earlier process may hold bindings to what he left since.
			steps = append(steps, step{do: deleteExchange, name: exchange})
		}
		steps = append(steps, userSteps(user, in)...)
		for _, id := range later {
			// An earlier connection may have got further than its confirmations.
			steps = append(steps, memberStep(unbindExchange, id, user))
		}
		p.bound[user] = make(map[string]bool)
	}
	delete(p.graves, exchange)
	p.bound[user][queue.Name] = true
	return p.topology.apply(append(steps, queueSteps(user, queue)...)...)
}

// release takes a queue away from a user. After the last one his exchange stays
// for a while, because most people come back.
func (p *publisher) release(user protocol.UserID, queue protocol.Queue, by protocol.MessageID) error {
	if err := p.topology.apply(releaseStep(user, queue)); err != nil {
		return err
	}
	delete(p.bound[user], queue.Name)
	if len(p.bound[user]) > 0 {
		return nil
	}
	delete(p.bound, user)
	return p.inter(step{do: deleteExchange, name: exchangeOfUser(user)}, by, p.Grace)
}
