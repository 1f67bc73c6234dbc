package instant

import (
	"fmt"
	"time"

	"instantd/protocol"
)

// grave is a deletion that waits for its time.
type grave struct {
	step step
	due  time.Time
}

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

// bind makes a queue one of a user's; with the first one he begins to listen.
// fresh says that nothing of his is known to be in order.
func (p *publisher) bind(user protocol.UserID, queue protocol.Queue, fresh bool) error {
	if !bindable(user) {
		p.Log.Warn("amqp user is not bound: his id would match others'", "user", user)
		return nil
	}
	var steps []step
	exchange := exchangeOfUser(user)
	if len(p.bound[user]) == 0 {
		conversations, err := p.Roster.ConversationsOf(user)
		if err != nil {
			return fmt.Errorf("conversations of %s: %w", user, err)
		}
		steps = p.missing(conversations...)
		if _, kept := p.graves[exchange]; fresh && !kept {
			// One of an earlier process may hold bindings to what he left since.
			steps = append(steps, step{do: deleteExchange, name: exchange})
		}
		steps = append(steps, userSteps(user, conversations)...)
		p.bound[user] = make(map[string]bool)
	}
	delete(p.graves, exchange)
	p.bound[user][queue.Name] = true
	return p.topology.apply(append(steps, queueSteps(user, queue)...)...)
}

// release takes a queue away from a user. After the last one his exchange stays
// for a while, because most people come back.
func (p *publisher) release(user protocol.UserID, queue protocol.Queue) error {
	if err := p.topology.apply(releaseStep(user, queue)); err != nil {
		return err
	}
	delete(p.bound[user], queue.Name)
	if len(p.bound[user]) > 0 {
		return nil
	}
	delete(p.bound, user)
	return p.inter(step{do: deleteExchange, name: exchangeOfUser(user)}, p.Grace)
}

// inter puts off a deletion.
func (p *publisher) inter(s step, delay time.Duration) error {
	if len(p.graves) >= gravesAtMost {
		earliest, _ := p.nextGrave()
		if err := p.bury(func(g grave) bool { return g == earliest }); err != nil {
			return err
		}
	}
	p.graves[s.name] = grave{s, time.Now().Add(delay)}
	return nil
}

func (p *publisher) nextGrave() (next grave, ok bool) {
	for _, g := range p.graves {
		if !ok || g.due.Before(next.due) {
			next, ok = g, true
		}
	}
	return next, ok
}

// bury carries out the deletions whose time has come.
func (p *publisher) bury(due func(grave) bool) error {
	for name, g := range p.graves {
		if !due(g) {
			continue
		}
		if err := p.topology.apply(g.step); err != nil {
			return err
		}
		delete(p.graves, name)
		delete(p.declared, name)
	}
	return nil
}
