package instant

import (
	"maps"
	"time"

	"instantd/protocol"
)

// grave is the deletion of a user's or conversation's exchange, which waits for
// its time.
type grave struct {
	by   protocol.MessageID // the event that ordered it
	due  time.Time
	dead *change // the deletion, once it is under way on this connection
}

// inter puts off a deletion that an event ordered.
func (p *publisher) inter(key protocol.Key, by protocol.MessageID, delay time.Duration) error {
	if len(p.graves) >= gravesAtMost {
		earliest, _ := p.nextGrave()
		if err := p.bury(func(g grave) bool { return g == earliest }); err != nil {
			return err
		}
	}
	p.graves[key] = grave{by: by, due: time.Now().Add(delay)}
	return nil
}

func (p *publisher) nextGrave() (next grave, ok bool) {
	for _, g := range p.graves {
		if g.dead == nil && (!ok || g.due.Before(next.due)) {
			next, ok = g, true
		}
	}
	return next, ok
}

// bury carries out deletions whose time has come: those of users beside the
// publishing, and so many of conversations that nobody waits for long.
func (p *publisher) bury(due func(grave) bool) (err error) {
	var (
		conversations []protocol.Key
		steps         []step
	)
	for key, g := range p.graves {
		switch {
		case g.dead != nil:
			if g.dead.isDone() {
				delete(p.graves, key)
			}
		case !due(g):
		case key.Kind == protocol.KindUser:
			user := protocol.UserID(key.ID)
			if g.dead, err = p.order(user, userStep(deleteExchange, user)); err != nil {
				return err
			}
			p.graves[key] = g
		case len(steps) < exchangesAtOnce:
			id := protocol.ConversationID(key.ID)
			if err := p.wait(p.obstacle(keyOfConversation(id))); err != nil {
				return err
			}
			conversations, steps = append(conversations, key), append(steps, conversationStep(deleteExchange, id))
		}
	}
	if err := p.topology.apply(steps...); err != nil {
		return err
	}
	for i, key := range conversations {
		delete(p.graves, key)
		delete(p.declared, steps[i].name)
	}
	return nil
}

// buryAll carries out all deletions, when everything is published and confirmed.
func (p *publisher) buryAll() error {
	for len(p.graves) > 0 {
		if err := p.bury(func(grave) bool { return true }); err != nil {
			return err
		}
		if err := p.wait(p.last); err != nil {
			return err
		}
	}
	return nil
}

// forgetAfter drops the deletions that events after a position ordered. Those
// are published again, and order them again; before that, what is to be deleted
// still carries what comes before them. Of the others nothing is under way yet.
func (p *publisher) forgetAfter(position protocol.MessageID) {
	maps.DeleteFunc(p.graves, func(_ protocol.Key, g grave) bool { return g.by > position })
	for key, g := range p.graves {
		g.dead = nil
		p.graves[key] = g
	}
}

// past is the part of the outbox that an earlier process has dealt with, but
// for the deletions that it had put off when it crashed.
type past struct{ from, to protocol.MessageID }

func (s past) done() bool { return s.from >= s.to }

// pastOf is how far back of a position deletions can have been waiting. It
// reckons with events that were published when they were committed. After a
// crash while a long absence of the broker was being made up for, an exchange
// may remain of a conversation dissolved, or of a user gone, before that: an
// empty name to the broker, which a user takes up again when he comes back, and
// an operator may delete.
func (b *Broker) pastOf(position protocol.MessageID) past {
	begin := protocol.FirstMessageID(position.Time().Add(-max(b.Grace, b.Linger)))
	return past{from: max(begin-1, 0), to: position}
}

// recallSome readies again, of some records of the past, the deletions that they
// ordered. One that was carried out then does nothing now. It is called when
// nothing is left to publish: so bound says who has queues as of now.
func (p *publisher) recallSome() error {
	records, err := p.Outbox.Read(p.past.from, readAtOnce)
	if err != nil {
		p.Log.Error("amqp deletions of an earlier process", "error", err) // publishing does not hang on them
		p.past.from = p.past.to
		return nil
	}
	next := p.past.to
	for _, r := range records {
		if r.ID > p.past.to {
			break
		}
		if err := p.recall(r); err != nil {
			return err
		}
		next = r.ID
	}
	p.past.from = next
	return nil
}

func (p *publisher) recall(r protocol.Record) error {
	delay := p.Linger
	switch r.Event.(type) {
	case protocol.ConversationDissolved:
	case protocol.QueueReleased:
		if len(p.bound[protocol.UserID(r.Key.ID)]) > 0 {
			return nil
		}
		delay = p.Grace
	default:
		return nil
	}
	if _, waits := p.graves[r.Key]; waits {
		return nil
	}
	return p.inter(r.Key, r.ID, delay)
}
