//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"
)

// press is many publishers, each of whom sends the next message when the last
// one is answered.
type press struct {
	fleet   *fleet
	gap     time.Duration // the least between two messages of a publisher; set before run
	until   atomic.Int64  // when no new message is sent, as now gives it
	current atomic.Pointer[tally]
	sent    atomic.Int64 // answered, in all phases
	working atomic.Int64 // publishers that wait for an answer
	rested  chan struct{}

	healthy context.Context // ends with the first failure, which is its cause
	fail    context.CancelCauseFunc
	closing atomic.Bool

	publishers []*publisher
}

// tally is what the readers of the fleet wrote down in one phase.
type tally struct{ pages []page }

// publisher is one connection.
type publisher struct {
	*client
	press *press
	over  transport
	next  []byte // the request, always the same
	ack   func(seq uint64) []byte
	begun atomic.Int64 // when the request that waits for its answer was written
	ready bool
}

// transport is how a publisher sends.
type transport string

const (
	overREST transport = "rest"
	overWS   transport = "ws"
)

// newPress connects a publisher to each group.
func newPress(ctx context.Context, f *fleet, addr netip.AddrPort, over transport, groups []group, size int) (_ *press, err error) {
	p := &press{fleet: f, rested: make(chan struct{}, 1), publishers: make([]*publisher, len(groups))}
	p.healthy, p.fail = context.WithCancelCause(ctx)
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	p.working.Store(int64(len(groups)))
	err = forEach(p.healthy, len(groups), func(i int) error {
		body := draft(groups[i].conversation, text(0, size))
		pub := &publisher{press: p, over: over}
		var fd int
		var rest []byte
		var err error
		if over == overWS {
			pub.next = sendFrame(0, body)
			pub.ack = func(seq uint64) []byte { return ackFrame(groups[i].conversation, seq) }
			fd, rest, err = dialSession(addr, groups[i].tokens[0])
		} else {
			pub.next = postText(addr.String(), groups[i].tokens[0], body)
			fd, err = dial(addr)
		}
		if err != nil {
			return err
		}
		pub.client = &client{fd: fd, in: pub}
		p.publishers[i] = pub
		if over == overREST {
			p.rest() // there is nothing to wait for
		}
		return f.add(pub.client, rest)
	})
	if err != nil {
		return nil, err
	}
	if err := p.wait(); err != nil {
		return nil, fmt.Errorf("publishers are not ready: %w", err)
	}
	return p, nil
}

// close disconnects all publishers.
func (p *press) close() {
	p.closing.Store(true)
	p.fleet.close()
	p.fail(nil)
}

// run lets everybody publish for a while and returns what was written down, and
// when it began.
func (p *press) run(d time.Duration) (page, int64, error) {
	book := &tally{pages: make([]page, len(p.fleet.readers))}
	for i := range book.pages {
		book.pages[i].answer = newRecorder()
	}
	begin := now()
	p.current.Store(book)
	p.until.Store(begin + int64(d))
	p.working.Store(int64(len(p.publishers)))
	for _, pub := range p.publishers {
		if err := pub.publish(); err != nil {
			return page{}, 0, err
		}
	}
	if err := p.wait(); err != nil {
		return page{}, 0, err
	}
	total := page{answer: newRecorder()}
	for _, q := range book.pages {
		total.answer.merge(q.answer)
		total.end = max(total.end, q.end)
	}
	return total, begin, nil
}

// wait waits until nobody works.
func (p *press) wait() error {
	patience := time.NewTimer(time.Duration(max(0, p.until.Load()-now())) + drainTime)
	defer patience.Stop()
	select {
	case <-p.rested:
		return nil
	case <-patience.C:
		return fmt.Errorf("%d publishers got no answer", p.working.Load())
	case <-p.healthy.Done():
		return context.Cause(p.healthy)
	}
}

// rest is called by each publisher that has done its work.
func (p *press) rest() {
	if p.working.Add(-1) == 0 {
		p.rested <- struct{}{}
	}
}

// publish writes the request.
func (p *publisher) publish() error {
	p.begun.Store(now())
	return p.write(p.next)
}

// answered notes an answer and goes on, or rests.
func (p *publisher) answered(in input) error {
	page := &p.press.current.Load().pages[in.reader]
	page.answer.record(in.at - p.begun.Load())
	page.end = in.at
	p.press.sent.Add(1)
	if in.at >= p.press.until.Load() {
		p.press.rest()
		return nil
	}
	if left := p.begun.Load() + int64(p.press.gap) - now(); left > 0 {
		time.AfterFunc(time.Duration(left), func() { // run waits for its answer
			if err := p.publish(); err != nil {
				p.ended(err)
			}
		})
		return nil
	}
	return p.publish()
}

// read implements handler.
func (p *publisher) read(in input) (int, error) {
	if p.over == overREST {
		a, n, err := readAnswer(in.data)
		if err != nil || n == 0 {
			return 0, err
		}
		if a.status != 200 {
			return 0, fmt.Errorf("the server answered %d: %s", a.status, a.body)
		}
		return n, p.answered(in)
	}
	used := 0
	for {
		f, n, err := readFrame(in.data[used:], false)
		if err != nil || n == 0 {
			return used, err
		}
		used += n
		if err := p.hear(f, in); err != nil {
			return 0, err
		}
	}
}

func (p *publisher) hear(f frame, in input) error {
	switch f.op {
	case opPing:
		return p.write(appendFrame(nil, opPong, f.payload, true))
	case opClose:
		return errors.New("the server closed the session")
	case opPong:
		return nil
	}
	switch e := scan(f.payload); e.kind {
	case ready:
		if !p.ready {
			p.ready = true
			p.press.rest()
		}
	case reply:
		if e.code != 0 {
			return fmt.Errorf("the server refused a message with %d: %.200s", e.code, f.payload)
		}
		return p.answered(in)
	case message: // our own, as our other devices get it
		if e.seq%ackEvery == 0 {
			return p.write(p.ack(e.seq))
		}
	case trimmed:
		return errors.New("the server left messages out")
	}
	return nil
}

// ended implements handler.
func (p *publisher) ended(err error) {
	if !p.press.closing.Load() {
		p.press.fail(fmt.Errorf("a publisher lost its connection: %w", err))
	}
}
