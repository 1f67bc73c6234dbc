package instant

import (
	"maps"
	"time"

	"instantd/protocol"
)

// grave is a deletion that waits for its time.
type grave struct {
	step step
	by   protocol.MessageID // the event that ordered it
	due  time.Time
}

// inter puts off a deletion that an event ordered.
func (p *publisher) inter(s step, by protocol.MessageID, delay time.Duration) error {
	if len(p.graves) >= gravesAtMost {
		earliest, _ := p.nextGrave()
		if err := p.bury(func(g grave) bool { return g == earliest }); err != nil {
			return err
		}
	}
	p.graves[s.name] = grave{s, by, time.Now().Add(delay)}
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

// forgetAfter drops the deletions that events after a position ordered. Those
// are published again, and order them again; before that, what is to be deleted
// still carries what comes before them.
func (p *publisher) forgetAfter(position protocol.MessageID) {
	maps.DeleteFunc(p.graves, func(_ string, g grave) bool { return g.by > position })
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
	var s step
	delay := p.Linger
	switch r.Event.(type) {
	case protocol.ConversationDissolved:
		s = conversationStep(deleteExchange, r.Conversation())
	case protocol.QueueReleased:
		user := protocol.UserID(r.Key.ID)
		if len(p.bound[user]) > 0 {
			return nil
		}
		s, delay = step{do: deleteExchange, name: exchangeOfUser(user)}, p.Grace
	default:
		return nil
	}
	if _, waits := p.graves[s.name]; waits {
		return nil
	}
	return p.inter(s, r.ID, delay)
}
