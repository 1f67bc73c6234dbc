//go:build linux

package main

import (
	"context"
	"time"
)

// load is what one sender puts on one group.
type load struct {
	peer     peer
	audience *audience
	sender   sender
	size     int // of a text
	sent     int // messages, in all phases
}

// run sends for a while: rate messages a second, or with inFlight above 0 as
// many as keep so many on their way. It returns when everybody has read all.
func (l *load) run(name string, inFlight int, rate float64, d time.Duration) (phase, error) {
	a := l.audience
	book := newLedger(l.sent, len(a.members), a.pages(), inFlight)
	a.current.Store(book)
	before, err := use(l.peer.pid())
	if err != nil {
		return phase{}, err
	}
	begin := now()
	if inFlight > 0 {
		err = l.saturate(book, begin+int64(d))
	} else {
		err = pace(a.healthy, begin, begin+int64(d), time.Duration(float64(time.Second)/rate), func(_ int, due int64) error {
			return l.send(book, due)
		})
	}
	l.sent += book.sent
	if err == nil {
		err = book.drain(a.healthy)
	}
	if a.healthy.Err() != nil {
		return phase{}, context.Cause(a.healthy)
	}
	if err != nil {
		return phase{}, err
	}
	after, err := use(l.peer.pid())
	if err != nil {
		return phase{}, err
	}
	total := book.sum()
	seconds := float64(total.end-begin) / 1e9
	return phase{
		Peer: l.peer.name(), Name: name,
		Sent: float64(book.sent), Work: float64(total.deliveries), Seconds: seconds, Rate: float64(total.deliveries) / seconds,
		Last: total.last.latency(), Each: total.each.latency(), Answer: total.answer.latency(), Lag: book.lag.latency(),
		Cost: after.since(before, total.deliveries),
	}, nil
}

// saturate sends a message whenever one may be on its way.
func (l *load) saturate(book *ledger, end int64) error {
	for now() < end {
		if err := book.acquire(l.audience.healthy); err != nil {
			return err
		}
		if err := l.send(book, now()); err != nil {
			return err
		}
	}
	return nil
}

func (l *load) send(book *ledger, due int64) error {
	number, err := book.take(due)
	if err != nil {
		return err
	}
	return l.sender.send(number, text(number, l.size))
}
