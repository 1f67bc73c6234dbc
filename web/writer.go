package web

import "sync"

const (
	joinBytes = 64 << 10 // of payload that are joined into one write
	keepBytes = 4 * joinBytes
)

// batch is what goes to one socket in one write.
type batch struct {
	buf    []byte   // whole frames
	frames [][]byte // payloads that buf holds
	bytes  int      // of these payloads
	last   bool     // buf ends with the close frame
}

func (b *batch) reset() {
	if cap(b.buf) > keepBytes {
		b.buf = nil // one large frame should not cost memory for ever
	}
	clear(b.frames)
	b.buf, b.frames, b.bytes, b.last = b.buf[:0], b.frames[:0], 0, false
}

// writer sends for many sockets, one write each in turn, and never waits for
// any of them: what a socket does not take at once is handed to a goroutine of
// that socket. A socket is on the ready list at most once, so the list is
// bounded by the number of sockets.
type writer struct {
	mu    sync.Mutex
	ready []*socket
	wake  chan struct{}

	// The writer's goroutine alone uses the rest.
	batch batch
	try   func(fd uintptr) bool // made once: a closure for each write would be garbage
	n     int
	err   error
}

func newWriter() *writer {
	w := &writer{wake: make(chan struct{}, 1)}
	w.try = func(fd uintptr) bool {
		w.n, w.err = attempt(fd, w.batch.buf)
		return true // never wait for the socket to become writable
	}
	return w
}

// add puts a socket on the ready list.
func (w *writer) add(s *socket) {
	w.mu.Lock()
	w.ready = append(w.ready, s)
	first := len(w.ready) == 1
	w.mu.Unlock()
	if !first {
		return // whoever was first has woken it
	}
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// run serves ready sockets until stop is closed.
func (w *writer) run(stop <-chan struct{}) {
	var turn []*socket
	for {
		select {
		case <-stop:
			return
		case <-w.wake:
		}
		for {
			w.mu.Lock()
			turn, w.ready = w.ready, turn[:0]
			w.mu.Unlock()
			if len(turn) == 0 {
				break
			}
			for i, s := range turn {
				turn[i] = nil
				w.send(s)
			}
		}
	}
}

// send writes one batch of a socket.
func (w *writer) send(s *socket) {
	s.take(&w.batch)
	if s.raw == nil {
		w.hand(s, 0)
		return
	}
	w.n, w.err = 0, nil
	if err := s.raw.Write(w.try); err != nil {
		w.err = err
	}
	switch {
	case w.err != nil:
		s.fail(endLost)
	case w.n < len(w.batch.buf):
		w.hand(s, w.n)
	case s.settle(&w.batch):
		w.add(s)
	}
}

// hand gives the rest of the batch to a goroutine of the socket, which ends
// when the socket's queue is empty or its WriteTimeout is over.
func (w *writer) hand(s *socket, written int) {
	rest := &batch{
		buf:    append([]byte(nil), w.batch.buf[written:]...),
		frames: append([][]byte(nil), w.batch.frames...),
		bytes:  w.batch.bytes,
		last:   w.batch.last,
	}
	go s.drain(rest)
}
