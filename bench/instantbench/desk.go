//go:build linux

package main

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
)

// desk asks over REST, on a number of kept connections.
type desk struct {
	host  string
	lines []*line
	idle  chan *line

	healthy context.Context // ends with the first failure, which is its cause
	fail    context.CancelCauseFunc
	closing atomic.Bool
}

// line is one connection, with at most one request on its way.
type line struct {
	*client
	desk *desk

	mu    sync.Mutex
	done  done // of the request on its way
	begun int64
}

// done is told the answer to a request, whose status is 200, and when the
// request was sent. Its error is a failure.
type done func(in input, begun int64, a answer) error

// newDesk opens n connections in a fleet, whose owner closes it after the desk.
func newDesk(ctx context.Context, f *fleet, addr netip.AddrPort, n int) (*desk, error) {
	d := &desk{host: addr.String(), idle: make(chan *line, n)}
	d.healthy, d.fail = context.WithCancelCause(ctx)
	for range n {
		fd, err := dial(addr)
		if err != nil {
			d.close()
			return nil, err
		}
		l := &line{desk: d}
		l.client = &client{fd: fd, in: l}
		if err := f.add(l.client, nil); err != nil {
			d.close()
			return nil, err
		}
		d.lines = append(d.lines, l)
		d.idle <- l
	}
	return d, nil
}

// close says that the connections may end.
func (d *desk) close() {
	d.closing.Store(true)
	d.fail(nil)
}

// ask waits for a connection that is free and sends a request. A reader of the
// fleet calls done.
func (d *desk) ask(request []byte, done done) error {
	select {
	case l := <-d.idle:
		l.mu.Lock()
		l.done, l.begun = done, now()
		l.mu.Unlock()
		return l.write(request)
	case <-d.healthy.Done():
		return context.Cause(d.healthy)
	}
}

// drain waits until everything is answered.
func (d *desk) drain() error {
	free := newLatch(len(d.lines))
	go func() { // ends with the last answer, or with the desk
		for range d.lines {
			select {
			case <-d.idle:
				free.count()
			case <-d.healthy.Done():
				return
			}
		}
	}()
	if err := free.wait(d.healthy, "requests are not answered"); err != nil {
		d.fail(err)
		return err
	}
	for _, l := range d.lines {
		d.idle <- l
	}
	return nil
}

// read implements handler.
func (l *line) read(in input) (int, error) {
	a, n, err := readAnswer(in.data)
	if err != nil || n == 0 {
		return 0, err
	}
	if a.status != 200 {
		return 0, fmt.Errorf("the server answered %d: %.200s", a.status, a.body)
	}
	l.mu.Lock()
	done, begun := l.done, l.begun
	l.done = nil
	l.mu.Unlock()
	if done == nil {
		return 0, fmt.Errorf("an answer that nobody asked for: %.200s", a.body)
	}
	if err := done(in, begun, a); err != nil {
		return 0, err
	}
	l.desk.idle <- l
	return n, nil
}

// ended implements handler.
func (l *line) ended(err error) {
	if !l.desk.closing.Load() {
		l.desk.fail(fmt.Errorf("a connection for requests ended: %w", err))
	}
}
