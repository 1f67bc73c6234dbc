//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// maxMessages bounds the messages of one phase.
const maxMessages = 1 << 20

// drainTime is how long after the last message everybody may take to have read it.
const drainTime = 30 * time.Second

// ledger is what one phase sent, and who has read it. One goroutine sends;
// every reader of the fleet delivers.
type ledger struct {
	first    int // number of the first message: none is used in two phases
	members  int
	slots    []slot
	pages    []page // one for each reader of the fleet
	window   chan struct{}
	sent     int
	lag      recorder      // from when a message was due to when it was sent
	complete atomic.Int64  // messages that everybody has read
	replies  atomic.Int64  // messages whose answer the sender has got
	changed  chan struct{} // told when one of these has grown
}

// slot is one message.
type slot struct {
	due  int64 // when it was to be sent; written before left
	left atomic.Int32
}

// page is what one reader wrote down.
type page struct {
	each, last, answer recorder
	deliveries         int64
	end                int64 // when the last message was complete
	_                  [64]byte
}

// newLedger makes a ledger of messages, numbered from first, that go to a number
// of members. With inFlight above 0 no more than that are on their way at once.
func newLedger(first, members, readers, inFlight int) *ledger {
	l := &ledger{
		first: first, members: members, slots: make([]slot, maxMessages), pages: make([]page, readers),
		lag: newRecorder(), changed: make(chan struct{}, 1),
	}
	if inFlight > 0 {
		l.window = make(chan struct{}, inFlight)
	}
	for i := range l.pages {
		l.pages[i].each, l.pages[i].last, l.pages[i].answer = newRecorder(), newRecorder(), newRecorder()
	}
	return l
}

var errFull = errors.New("more messages than one phase may have")

// take gives the next message a number. The message counts as sent, so that
// one that does not get out is a loss.
func (l *ledger) take(due int64) (number int, err error) {
	if l.sent == len(l.slots) {
		return 0, errFull
	}
	s := &l.slots[l.sent]
	s.due = due
	s.left.Store(int32(l.members))
	l.sent++
	l.lag.record(now() - due)
	return l.first + l.sent - 1, nil
}

// slot is where a message is noted, nil when it is not of this phase.
func (l *ledger) slot(number int) *slot {
	i := number - l.first
	if i < 0 || i >= len(l.slots) {
		return nil
	}
	s := &l.slots[i]
	s.left.Load() // due was written before: from here on it is seen, whatever way the message took
	return s
}

// acquire waits until one more message may be on its way. When too many were
// lost there is never room again.
func (l *ledger) acquire(ctx context.Context) error {
	patience := time.NewTimer(drainTime)
	defer patience.Stop()
	select {
	case l.window <- struct{}{}:
		return nil
	case <-patience.C:
		return fmt.Errorf("%d messages have been on their way for %s", cap(l.window), drainTime)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// release lets one more message be on its way.
func (l *ledger) release() {
	if l.window != nil {
		<-l.window
	}
}

// deliver notes that one more member has read a message. Only the reader with
// this number calls it.
func (l *ledger) deliver(reader, number int, at int64) {
	s := l.slot(number)
	if s == nil {
		return
	}
	p := &l.pages[reader]
	p.deliveries++
	p.each.record(at - s.due)
	// After the page: the last reader's drain may add up all pages at once.
	if s.left.Add(-1) != 0 {
		return
	}
	p.last.record(at - s.due)
	p.end = at
	l.complete.Add(1)
	l.release()
	l.tell()
}

// answered notes that the sender got the answer to a message.
func (l *ledger) answered(reader, number int, at int64) {
	s := l.slot(number)
	if s == nil {
		return
	}
	l.pages[reader].answer.record(at - s.due)
	l.replies.Add(1)
	l.tell()
}

func (l *ledger) tell() {
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

// drain waits, after the last message was sent, until everybody has read it
// and every answer is there.
func (l *ledger) drain(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, drainTime)
	defer cancel()
	for l.complete.Load() < int64(l.sent) || l.replies.Load() < int64(l.sent) {
		select {
		case <-l.changed:
		case <-ctx.Done():
			return fmt.Errorf("of %d messages %d did not reach everybody and %d were not answered: %w",
				l.sent, l.sent-int(l.complete.Load()), l.sent-int(l.replies.Load()), context.Cause(ctx))
		}
	}
	return nil
}

// sum adds up what the readers wrote. Call it when everything is read.
func (l *ledger) sum() page {
	total := page{each: newRecorder(), last: newRecorder(), answer: newRecorder()}
	for _, p := range l.pages {
		total.each.merge(p.each)
		total.last.merge(p.last)
		total.answer.merge(p.answer)
		total.deliveries += p.deliveries
		total.end = max(total.end, p.end)
	}
	return total
}
