//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// ackEvery is how many messages a member reads before it acknowledges. Members
// take turns, as they would on networks of their own.
const ackEvery = 100

// audience is a group whose members are all online.
type audience struct {
	fleet   *fleet
	group   group
	dialect dialect
	members []*member
	queues  *queues                // what the members read; nil when they have sessions
	current atomic.Pointer[ledger] // of the phase that runs; nil between phases

	absent  atomic.Int64
	present chan struct{} // closed when everybody is ready

	healthy context.Context // ends with the first failure, which is its cause
	fail    context.CancelCauseFunc
	closing atomic.Bool
	closed  sync.Once
}

// member is one session of the group.
type member struct {
	*client
	number   int
	audience *audience
	ready    bool
	sends    bool
	order    order
	heard    int // messages of the phases, each once
	foreign  int // other messages
	pongs    int // heard after ready: the answers of a peer that has no others
}

// gather brings the members of a group online, in this fleet, which it closes
// when it fails. The first of them will send.
func gather(ctx context.Context, f *fleet, addr netip.AddrPort, g group, senders int) (_ *audience, err error) {
	a := &audience{fleet: f, group: g, dialect: g.speaks, present: make(chan struct{})}
	if a.dialect == nil {
		a.dialect = instantDialect{}
	}
	a.healthy, a.fail = context.WithCancelCause(ctx)
	defer func() {
		if err != nil {
			a.close()
		}
	}()
	a.absent.Store(int64(len(g.tokens)))
	a.members = make([]*member, len(g.tokens))
	err = forEach(a.healthy, len(g.tokens), func(i int) error {
		fd, rest, err := dialPath(addr, a.dialect.path(g.tokens[i]))
		if err != nil {
			return err
		}
		m := &member{number: i, audience: a, sends: i < senders}
		m.client = &client{fd: fd, in: m}
		a.members[i] = m
		return errors.Join(m.write(a.dialect.hello(m.sends)), f.add(m.client, rest))
	})
	if err != nil {
		return nil, err
	}
	patience := time.NewTimer(drainTime)
	defer patience.Stop()
	select {
	case <-a.present:
		return a, nil
	case <-patience.C:
		return nil, fmt.Errorf("%d of %d members are not ready", a.absent.Load(), len(g.tokens))
	case <-a.healthy.Done():
		return nil, context.Cause(a.healthy)
	}
}

// close takes everybody offline; it may be repeated. What the members counted
// may be read then.
func (a *audience) close() {
	a.closed.Do(func() {
		a.closing.Store(true)
		a.fleet.close()
		a.fail(nil)
		a.queues.close()
	})
}

// pages is how many write down what the members read.
func (a *audience) pages() int { return len(a.fleet.readers) + a.queues.count() }

// check is what the members counted. Call it after close.
func (a *audience) check(sent int) check {
	c := check{Messages: sent, Members: len(a.members)}
	for _, m := range a.members {
		c.Losses += max(len(m.order.missing), sent-m.heard)
		c.Duplicates += m.order.duplicates
		c.Reordered += m.order.reordered
		c.Foreign += m.foreign
	}
	return c
}

// read implements handler.
func (m *member) read(in input) (int, error) {
	used := 0
	for {
		f, n, err := readFrame(in.data[used:], false)
		if err != nil {
			return 0, fmt.Errorf("member %d: %w", m.number, err)
		}
		if n == 0 {
			return used, nil
		}
		used += n
		if err := m.handle(f, in); err != nil {
			return 0, fmt.Errorf("member %d: %w", m.number, err)
		}
	}
}

// ended implements handler.
func (m *member) ended(err error) {
	if m.audience.closing.Load() {
		return
	}
	m.audience.fail(fmt.Errorf("member %d lost its session: %w", m.number, err))
}

func (m *member) handle(f frame, in input) error {
	switch f.op {
	case opText, opBinary:
		for payload := f.payload; len(payload) > 0; {
			e, n, err := m.audience.dialect.hear(payload)
			if err != nil {
				return err
			}
			payload = payload[n:]
			if err := m.hear(e, in); err != nil {
				return err
			}
		}
		return nil
	case opPing:
		return m.write(appendFrame(nil, opPong, f.payload, true))
	case opPong:
		return nil
	case opClose:
		code := 0
		if len(f.payload) >= 2 {
			code = int(f.payload[0])<<8 | int(f.payload[1])
		}
		return fmt.Errorf("the server closed with %d %s", code, f.payload[min(2, len(f.payload)):])
	}
	return fmt.Errorf("frame of the unknown kind %d", f.op)
}

func (m *member) hear(e event, in input) error {
	a := m.audience
	switch e.kind {
	case message:
		if !m.order.see(e.seq) {
			return nil // counted as a duplicate
		}
		if l := a.current.Load(); l != nil && e.number >= 0 {
			m.heard++
			l.deliver(in.reader, e.number, in.at)
		} else {
			m.foreign++
		}
		// Not a sender: a reader must not wait until it has written.
		if !m.sends && (int(e.seq)+m.number)%ackEvery == 0 {
			return m.write(a.dialect.ack(a.group.conversation, e.seq))
		}
	case reply:
		if e.code != 0 {
			return fmt.Errorf("the server refused a frame with %d", e.code)
		}
		if l := a.current.Load(); l != nil {
			l.answered(in.reader, e.number, in.at)
		}
	case pong:
		if m.ready {
			m.pongs++
			return m.hear(event{kind: reply, number: m.pongs - 1}, in)
		}
		return m.hear(event{kind: ready}, in)
	case ping:
		return m.write(a.dialect.pong())
	case ready:
		if !m.ready {
			m.ready = true
			if a.absent.Add(-1) == 0 {
				close(a.present)
			}
		}
	case trimmed:
		return errors.New("the server left messages out")
	case notice:
		if e.seq > 0 {
			m.order.see(e.seq)
		}
	}
	return nil
}
