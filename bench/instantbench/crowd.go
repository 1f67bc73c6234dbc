//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// crowd is one session of everybody of a community. It comes once: who comes
// again is in another crowd.
type crowd struct {
	fleet     *fleet
	addr      netip.AddrPort
	community *community
	callers   []*caller
	current   atomic.Pointer[ledger] // of the phase that runs; nil between phases

	pages   []arrivals // one for each reader of the fleet
	present *latch     // everybody is up to date
	settled *latch     // the server knows that everybody is
	gone    *latch     // every session has ended

	healthy context.Context // ends with the first failure, which is its cause
	fail    context.CancelCauseFunc
	leaving atomic.Bool
	closed  sync.Once
}

// arrivals are what one reader wrote down.
type arrivals struct {
	accepted recorder // from the first SYN until the server agreed to speak WebSocket
	ready    recorder // until the session was up to date
	end      int64    // when the last one was
	_        [64]byte
}

// caller is one session.
type caller struct {
	*client
	crowd    *crowd
	resident *resident
	begun    int64
	accepted bool
	ready    bool
}

// newCrowd makes sessions that have not come yet, in this fleet, which close closes.
func newCrowd(ctx context.Context, f *fleet, addr netip.AddrPort, c *community) *crowd {
	n := len(c.residents)
	all := &crowd{
		fleet: f, addr: addr, community: c, callers: make([]*caller, n), pages: make([]arrivals, len(f.readers)),
		present: newLatch(n), settled: newLatch(n), gone: newLatch(n),
	}
	for i := range all.pages {
		all.pages[i].accepted, all.pages[i].ready = newRecorder(), newRecorder()
	}
	all.healthy, all.fail = context.WithCancelCause(ctx)
	return all
}

// arrive connects everybody, as fast as the machine takes connections, and
// returns when all are up to date.
func (c *crowd) arrive() (arrivals, error) {
	err := forEach(c.healthy, len(c.callers), func(i int) error {
		caller := &caller{crowd: c, resident: c.community.residents[i], begun: now()}
		fd, err := dial(c.addr)
		if err != nil {
			return err
		}
		caller.client = &client{fd: fd, in: caller}
		c.callers[i] = caller
		if err := caller.write(upgradeRequest(c.addr, c.community.speaks.path(caller.resident.token))); err != nil {
			_ = unix.Close(fd)
			return err
		}
		return c.fleet.add(caller.client, nil)
	})
	if err == nil {
		err = c.present.wait(c.healthy, "sessions are not up to date")
	}
	if err != nil {
		return arrivals{}, c.cause(err)
	}
	total := arrivals{accepted: newRecorder(), ready: newRecorder()}
	for _, p := range c.pages {
		total.accepted.merge(p.accepted)
		total.ready.merge(p.ready)
		total.end = max(total.end, p.end)
	}
	return total, nil
}

// settle waits until the server has taken everybody's acknowledgement.
func (c *crowd) settle() error {
	return c.cause(c.settled.wait(c.healthy, "sessions got no answer to a ping"))
}

// leave lets everybody say good-bye, and waits until the server has.
func (c *crowd) leave() error {
	c.leaving.Store(true)
	err := forEach(c.healthy, len(c.callers), func(i int) error {
		return c.callers[i].write(appendFrame(nil, opClose, []byte{3, 232}, true)) // 1000: done
	})
	if err == nil {
		err = c.gone.wait(c.healthy, "sessions do not end")
	}
	c.close()
	return err
}

// close takes everybody offline; it may be repeated. What the residents read
// may be looked at then.
func (c *crowd) close() {
	c.closed.Do(func() {
		c.leaving.Store(true)
		c.fleet.close()
		c.fail(nil)
	})
}

// cause is what went wrong first, when something did.
func (c *crowd) cause(err error) error {
	if err != nil && c.healthy.Err() != nil {
		return context.Cause(c.healthy)
	}
	return err
}

// read implements handler.
func (c *caller) read(in input) (int, error) {
	used := 0
	if !c.accepted {
		n, err := readUpgrade(in.data)
		if err != nil || n == 0 {
			return 0, err
		}
		c.crowd.pages[in.reader].accepted.record(in.at - c.begun)
		c.accepted, used = true, n
		if err := c.write(c.crowd.community.speaks.join(c.resident.conversations())); err != nil {
			return 0, err
		}
	}
	for {
		f, n, err := readFrame(in.data[used:], false)
		if err != nil || n == 0 {
			return used, err
		}
		used += n
		if err := c.handle(f, in); err != nil {
			return 0, err
		}
	}
}

// ended implements handler.
func (c *caller) ended(err error) {
	if c.crowd.leaving.Load() {
		c.crowd.gone.count()
		return
	}
	c.crowd.fail(fmt.Errorf("session %d ended: %w", c.resident.number, err))
}

func (c *caller) handle(f frame, in input) error {
	switch f.op {
	case opText:
		for payload := f.payload; len(payload) > 0; {
			e, n, err := c.crowd.community.speaks.hear(payload)
			if err != nil {
				return err
			}
			if err := c.hear(e, payload[:n], in); err != nil {
				return err
			}
			payload = payload[n:]
		}
		return nil
	case opPing:
		return c.write(appendFrame(nil, opPong, f.payload, true))
	case opPong:
		return nil
	case opClose:
		if c.crowd.leaving.Load() {
			return nil
		}
		return fmt.Errorf("the server closed with %s", closeText(f.payload))
	}
	return fmt.Errorf("frame of the unknown kind %d", f.op)
}

func (c *caller) hear(e event, payload []byte, in input) error {
	switch e.kind {
	case message, notice:
		if e.seq > 0 {
			c.note(e, conversationOf(payload), in)
		}
	case reply:
		if e.code != 0 {
			return fmt.Errorf("the server refused a frame with %d: %.200s", e.code, payload)
		}
		if e.number < 0 { // to the ping
			c.crowd.settled.count()
		} else if l := c.crowd.current.Load(); l != nil {
			l.answered(in.reader, e.number, in.at)
		}
	case ready:
		return c.begin(in)
	case ping:
		return c.write(c.crowd.community.speaks.pong())
	case trimmed:
		return errors.New("the server left messages out")
	}
	return nil
}

// note notes what has a place in a conversation.
func (c *caller) note(e event, conversation []byte, in input) {
	s := c.resident.stays[string(conversation)]
	if s == nil {
		c.resident.foreign++
		return
	}
	if !s.order.see(e.seq) || e.kind != message {
		return // counted as a duplicate, or no message
	}
	if e.number < 0 {
		c.resident.foreign++
		return
	}
	s.heard++
	if l := c.crowd.current.Load(); l != nil {
		l.deliver(in.reader, e.number, in.at)
	}
	// A reader must not wait until it has written: the next one tells as much.
	if c.ready && (int(e.seq)+c.resident.number)%ackEvery == 0 && c.offer(c.crowd.community.speaks.ack(s.room.conversation, e.seq)) {
		s.acked = e.seq
	}
}

// begin is what a session does when it is told that it is up to date: it checks
// that, acknowledges, and asks for an answer.
func (c *caller) begin(in input) error {
	if c.ready {
		return errors.New("the server said ready twice")
	}
	c.ready = true
	var frames []byte
	for _, s := range c.resident.stays {
		if c.crowd.current.Load() == nil && s.order.last < s.room.head() {
			return fmt.Errorf("ready comes at seq %d of %d", s.order.last, s.room.head())
		}
		if s.order.last > s.acked {
			s.acked = s.order.last
			frames = append(frames, c.crowd.community.speaks.ack(s.room.conversation, s.acked)...)
		}
	}
	p := &c.crowd.pages[in.reader]
	p.ready.record(in.at - c.begun)
	p.end = max(p.end, in.at)
	c.crowd.present.count()
	ask := c.crowd.community.speaks.ask()
	if ask == nil {
		c.crowd.settled.count()
	}
	return c.write(append(frames, ask...))
}
