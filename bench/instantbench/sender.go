//go:build linux

package main

import (
	"context"
	"fmt"
	"net/netip"
	"sync/atomic"
)

// sender gets messages to the server. One goroutine uses it.
type sender interface {
	// send begins to send a message. It may wait, but not for its answer.
	send(number int, text string) error
}

// sessionSender sends over the WebSockets of members, in turn.
type sessionSender struct {
	members []*member
	next    int
}

func (s *sessionSender) send(number int, text string) error {
	m := s.members[s.next]
	s.next = (s.next + 1) % len(s.members)
	return m.write(m.audience.dialect.send(number, m.audience.group.conversation, text))
}

// restSender sends over REST, with as many kept connections as messages may be
// unanswered.
type restSender struct {
	audience *audience
	host     string
	idle     chan *restLine
}

// restLine is one connection of a restSender.
type restLine struct {
	*client
	sender *restSender
	number atomic.Int64 // the message that is on its way
}

// newRestSender opens n connections and adds them to the audience's fleet.
func newRestSender(a *audience, addr netip.AddrPort, n int) (*restSender, error) {
	s := &restSender{audience: a, host: addr.String(), idle: make(chan *restLine, n)}
	for range n {
		fd, err := dial(addr)
		if err != nil {
			return nil, err
		}
		line := &restLine{sender: s}
		line.client = &client{fd: fd, in: line}
		if err := a.fleet.add(line.client, nil); err != nil {
			return nil, err
		}
		s.idle <- line
	}
	return s, nil
}

func (s *restSender) send(number int, text string) error {
	select {
	case line := <-s.idle:
		line.number.Store(int64(number))
		return line.write(postText(s.host, s.audience.group.tokens[0], draft(s.audience.group.conversation, text)))
	case <-s.audience.healthy.Done():
		return context.Cause(s.audience.healthy)
	}
}

// read implements handler.
func (l *restLine) read(in input) (int, error) {
	a, n, err := readAnswer(in.data)
	if err != nil || n == 0 {
		return 0, err
	}
	if a.status != 200 {
		return 0, fmt.Errorf("the server answered %d: %s", a.status, a.body)
	}
	if ledger := l.sender.audience.current.Load(); ledger != nil {
		ledger.answered(in.reader, int(l.number.Load()), in.at)
	}
	l.sender.idle <- l
	return n, nil
}

// ended implements handler.
func (l *restLine) ended(err error) {
	if a := l.sender.audience; !a.closing.Load() {
		a.fail(fmt.Errorf("the sender lost its connection: %w", err))
	}
}
