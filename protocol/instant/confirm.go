package instant

import (
	"errors"
	"fmt"

	amqp "github.com/rabbitmq/amqp091-go"

	"instantd/protocol"
)

const (
	notedAtOnce    = 256 // records between two notes in the outbox
	refusalsInTurn = 5   // of one event, before it is given up
)

var errNacked = errors.New("the broker refused a frame")

// receipts are what must be confirmed for one record.
type receipts struct {
	id     protocol.MessageID
	weight int64 // of the room that its frames take
	frames []*amqp.DeferredConfirmation
	change *change // of the topology; until it is done, frames has gaps
}

// isEmpty tells that there is nothing to wait for.
func (r receipts) isEmpty() bool { return len(r.frames) == 0 && r.change == nil }

// collect waits for the confirmations, in order, and notes how far they got.
// It ends when underWay is closed and everything is confirmed or lost.
func (p *publisher) collect() error {
	var (
		last    protocol.MessageID // confirmed
		unnoted int                // records
		failure error
	)
	note := func() {
		if unnoted == 0 {
			return
		}
		unnoted = 0
		if err := p.Outbox.Confirm(Way, last); err != nil && failure == nil {
			failure = fmt.Errorf("confirm %s to the outbox: %w", last, err)
		}
	}
	for sent := range p.underWay {
		if failure == nil {
			failure = p.confirm(sent)
			if failure == nil {
				last, unnoted = sent.id, unnoted+1
				p.progress.advance(last)
				p.link.worked.Store(true)
			}
			if failure != nil || len(p.underWay) == 0 || unnoted >= notedAtOnce {
				note()
			}
			if failure != nil {
				p.link.abort(failure) // and the publishing goroutine with it
			}
		}
		p.room.Release(sent.weight)
		p.metrics.unconfirmed.Sub(float64(len(sent.frames)))
	}
	return failure
}

// refusal is an event that the broker did not take, and how often in turn.
type refusal struct {
	id    protocol.MessageID
	times int
}

// confirm waits until the broker has changed its topology for a record, and has
// taken every frame of it. One that it refuses is tried again over a new
// connection. When that does not help, one full queue must not stop everybody
// else: the event is given up for AMQP, and stays in the history.
func (p *publisher) confirm(sent receipts) error {
	if err := p.wait(sent.change); err != nil {
		return err
	}
	refused := false
	for _, receipt := range sent.frames {
		refused = !receipt.Wait() || refused
	}
	if !refused {
		return nil
	}
	if p.frames.IsClosed() {
		return p.whyClosed(errGone)
	}
	if p.refused.id != sent.id {
		p.refused = refusal{id: sent.id}
	}
	if p.refused.times++; p.refused.times < refusalsInTurn {
		p.link.worked.Store(false) // so that the pauses grow
		return fmt.Errorf("%w of event %s", errNacked, sent.id)
	}
	p.metrics.refused.Inc()
	p.Log.Error("amqp event given up: the broker refuses it; is a queue full?", "event", sent.id, "times", p.refused.times)
	return nil
}

// whyClosed finds what the broker said when it closed the channel of frames.
func (p *publisher) whyClosed(err error) error {
	select {
	case refusal := <-p.closed:
		if refusal != nil {
			return refusal
		}
	default:
	}
	return p.link.why(err)
}
