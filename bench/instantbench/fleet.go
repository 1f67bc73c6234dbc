//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// readSize is how much is read from a connection at once.
const readSize = 256 << 10

// input is what a connection brought.
type input struct {
	data   []byte
	at     int64 // when it was read, as now gives it
	reader int   // which reader of the fleet read it
}

// handler is the meaning of a connection's bytes. One reader calls it.
type handler interface {
	// read consumes the whole units at the beginning of in.data and returns
	// their length. What is left comes again, with more behind it.
	read(in input) (int, error)
	// ended is called once, when the connection has ended by itself or read
	// has failed.
	ended(err error)
}

// client is one connection of a fleet.
type client struct {
	fd   int
	rest []byte // the beginning of a unit that has not arrived
	in   handler

	mu sync.Mutex // so that what is written stays whole
}

// write sends all of b, waiting as long as the peer does not take it.
func (c *client) write(b []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.push(b)
}

// offer sends b unless that would wait, and tells whether it did.
func (c *client) offer(b []byte) bool {
	if !c.mu.TryLock() {
		return false
	}
	defer c.mu.Unlock()
	n, err := unix.Write(c.fd, b)
	return err == nil && c.push(b[n:]) == nil // what was begun must be whole
}

// push sends all of b. The caller holds the lock.
func (c *client) push(b []byte) error {
	for len(b) > 0 {
		n, err := unix.Write(c.fd, b)
		switch {
		case err == nil:
			b = b[n:]
		case errors.Is(err, unix.EAGAIN):
			if _, err := unix.Poll([]unix.PollFd{{Fd: int32(c.fd), Events: unix.POLLOUT}}, 1_000); err != nil && !errors.Is(err, unix.EINTR) {
				return fmt.Errorf("wait to write: %w", err)
			}
		case !errors.Is(err, unix.EINTR):
			return fmt.Errorf("write: %w", err)
		}
	}
	return nil
}

// fleet reads many connections with few goroutines.
type fleet struct {
	readers []*reader
	running sync.WaitGroup

	mu      sync.Mutex
	clients []*client
}

// newFleet starts the readers, one for each processor when n is 0. They end
// with close.
func newFleet(n int) (*fleet, error) {
	if n == 0 {
		n = runtime.GOMAXPROCS(0)
	}
	f := &fleet{}
	for i := range n {
		r, err := newReader(i)
		if err != nil {
			f.close()
			return nil, err
		}
		f.readers = append(f.readers, r)
		f.running.Go(r.run)
	}
	return f, nil
}

// add gives a connection to the fleet, which closes it in the end. rest is what
// was read from it already.
func (f *fleet) add(c *client, rest []byte) error {
	f.mu.Lock()
	f.clients = append(f.clients, c)
	r := f.readers[len(f.clients)%len(f.readers)]
	f.mu.Unlock()
	if err := unix.SetNonblock(c.fd, true); err != nil {
		return fmt.Errorf("set up connection: %w", err)
	}
	c.rest = append([]byte(nil), rest...)
	return r.add(c)
}

// close ends the readers and then all connections. Nothing of the fleet's
// handlers runs when it returns.
func (f *fleet) close() {
	for _, r := range f.readers {
		r.stop()
	}
	f.running.Wait()
	for _, r := range f.readers {
		r.close()
	}
	for _, c := range f.clients {
		_ = unix.Close(c.fd)
	}
}

// reader waits for some of the connections with one epoll.
type reader struct {
	number int
	epoll  int
	wake   int // an eventfd: readable when the reader is to end
	buf    []byte

	mu      sync.Mutex
	clients map[int32]*client // by descriptor
}

func newReader(number int) (*reader, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make epoll: %w", err)
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err == nil {
		err = unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, wake, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(wake)})
	}
	if err != nil {
		_ = unix.Close(epoll)
		return nil, fmt.Errorf("make eventfd: %w", err)
	}
	return &reader{number: number, epoll: epoll, wake: wake, buf: make([]byte, readSize), clients: map[int32]*client{}}, nil
}

// add begins with what was read already: it may be all that comes.
func (r *reader) add(c *client) error {
	r.mu.Lock()
	r.clients[int32(c.fd)] = c
	r.mu.Unlock()
	// Ready for writing at once, so that rest is looked at by the reader.
	event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLONESHOT, Fd: int32(c.fd)}
	if err := unix.EpollCtl(r.epoll, unix.EPOLL_CTL_ADD, c.fd, &event); err != nil {
		return fmt.Errorf("watch connection: %w", err)
	}
	return nil
}

func (r *reader) stop() { _, _ = unix.Write(r.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0}) }

func (r *reader) close() {
	_ = unix.Close(r.wake)
	_ = unix.Close(r.epoll)
}

// run ends with stop.
func (r *reader) run() {
	events := make([]unix.EpollEvent, 512)
	for {
		n, err := unix.EpollWait(r.epoll, events, -1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			panic(fmt.Sprintf("epoll_wait: %v", err)) // only a wrong argument can do that
		}
		for _, event := range events[:max(n, 0)] {
			if event.Fd == int32(r.wake) {
				return
			}
			r.mu.Lock()
			c := r.clients[event.Fd]
			r.mu.Unlock()
			if err := r.serve(c, event.Events); err != nil {
				_ = unix.EpollCtl(r.epoll, unix.EPOLL_CTL_DEL, c.fd, nil)
				c.in.ended(err)
			}
		}
	}
}

// serve handles one event: the first one of a connection begins with its rest,
// every other is one read.
func (r *reader) serve(c *client, events uint32) error {
	if events&unix.EPOLLOUT != 0 {
		if err := r.handle(c, 0); err != nil {
			return err
		}
		watch := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(c.fd)}
		return unix.EpollCtl(r.epoll, unix.EPOLL_CTL_MOD, c.fd, &watch)
	}
	kept := len(c.rest)
	if kept == len(r.buf) {
		r.buf = append(r.buf, make([]byte, len(r.buf))...) // bounded by maxFrame
	}
	n, err := unix.Read(c.fd, r.buf[kept:])
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		return nil
	case err != nil:
		return fmt.Errorf("read: %w", err)
	case n == 0:
		return io.EOF
	}
	return r.handle(c, n)
}

// handle gives the handler what is there, n bytes of it new.
func (r *reader) handle(c *client, n int) error {
	data := r.buf[:copy(r.buf, c.rest)+n]
	used, err := c.in.read(input{data: data, at: now(), reader: r.number})
	if err != nil {
		return err
	}
	c.rest = append(c.rest[:0], data[used:]...)
	if len(c.rest) == 0 && cap(c.rest) > 4<<10 {
		c.rest = nil // one large frame should not cost memory for ever
	}
	return nil
}
