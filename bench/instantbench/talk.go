//go:build linux

package main

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// talk is the load of many groups on one server.
type talk struct {
	server  peer
	crowd   *crowd
	desk    *desk // reads pages; nil when the server keeps none
	lots    *rand.Rand
	popular *rand.Zipf // the next group
	reads   float64    // part of what is done
	size    int        // of a text
	members int        // of each group
	sent    int        // messages, in all phases
}

// close ends everything; it may be repeated.
func (t *talk) close() {
	if t.desk != nil {
		t.desk.close()
	}
	t.crowd.close()
}

// run sends and reads for a while: rate a second, or with inFlight above 0 as
// much as keeps so many on their way. It returns a phase of the messages and, if
// pages were read, one of them, when all of it has come.
func (t *talk) run(name string, inFlight int, rate float64, d time.Duration) ([]phase, error) {
	crowd := t.crowd
	book := newLedger(t.sent, t.members, len(crowd.fleet.readers), inFlight)
	pages := newReadings(len(crowd.fleet.readers))
	crowd.current.Store(book)
	before, err := use(t.server.pid())
	if err != nil {
		return nil, err
	}
	begin := now()
	if inFlight > 0 {
		err = t.saturate(book, pages, begin+int64(d))
	} else {
		err = pace(crowd.healthy, begin, begin+int64(d), time.Duration(float64(time.Second)/rate), func(_ int, due int64) error {
			return t.act(book, pages, due)
		})
	}
	t.sent += book.sent
	if err == nil {
		err = book.drain(crowd.healthy)
	}
	if err == nil && t.desk != nil {
		err = t.desk.drain()
	}
	if err != nil {
		return nil, crowd.cause(err)
	}
	after, err := use(t.server.pid())
	if err != nil {
		return nil, err
	}
	total := book.sum()
	seconds := float64(total.end-begin) / 1e9
	phases := []phase{{
		Peer: t.server.name(), Name: name,
		Sent: float64(book.sent), Work: float64(total.deliveries), Seconds: seconds, Rate: float64(total.deliveries) / seconds,
		Last: total.last.latency(), Each: total.each.latency(), Answer: total.answer.latency(), Lag: book.lag.latency(),
		Cost: after.since(before, total.deliveries),
	}}
	if read := sumReadings(pages).phase(begin); read.Work > 0 {
		read.Peer, read.Name = t.server.name(), name+", pages"
		phases = append(phases, read)
	}
	return phases, nil
}

// saturate goes on whenever one more thing may be on its way.
func (t *talk) saturate(book *ledger, pages []readings, end int64) error {
	for now() < end {
		if err := book.acquire(t.crowd.healthy); err != nil {
			return err
		}
		if err := t.act(book, pages, now()); err != nil {
			return err
		}
	}
	return nil
}

// act does one thing in a group: a member sends, or reads. Where the server does
// not number messages, the first member alone sends; and where it keeps none,
// nobody reads.
func (t *talk) act(book *ledger, pages []readings, due int64) error {
	room := t.crowd.community.rooms[t.popular.Uint64()]
	member := room.members[t.lots.IntN(len(room.members))]
	speaks := t.crowd.community.speaks
	if t.lots.Float64() < t.reads {
		return t.read(book, pages, room, member, due)
	}
	number, err := book.take(due)
	if err != nil {
		return err
	}
	room.sent++
	if !speaks.keeps() {
		member = room.members[0]
	}
	return t.crowd.callers[member].write(speaks.tell(number, room, text(number, t.size)))
}

// read reads the newest page of a group.
func (t *talk) read(book *ledger, pages []readings, room *room, member int, due int64) error {
	if t.desk == nil {
		book.release()
		return nil
	}
	request := getPage(t.desk.host, t.crowd.community.residents[member].token, room.conversation, chatPage, 0)
	return t.desk.ask(request, func(in input, _ int64, a answer) error {
		e, err := readPage(a.body)
		if err != nil {
			return err
		}
		if e.messages < chatPage && e.messages > 0 && e.oldest != 2 {
			return fmt.Errorf("a page ends after %d messages at seq %d", e.messages, e.oldest)
		}
		pages[in.reader].note(in.at, due)
		book.release()
		return nil
	})
}
