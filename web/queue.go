package web

import (
	"errors"
	"os"
	"slices"
	"time"

	"instantd/protocol"
)

const (
	keepQueue  = 32       // frames of capacity that an idle queue may keep
	writePiece = 16 << 10 // bytes that a slow peer must take within WriteTimeout
	// What the kernel may hold for one peer. Left alone it grows to megabytes,
	// and is then writable again only when a third is gone: a peer on a slow line
	// would seem to take nothing for longer than WriteTimeout.
	kernelBuffer = 128 << 10
)

// A socket's queue, from Push to the written byte.

// fits tells whether the queue has room. The caller holds mu.
func (s *socket) fits(frame []byte) bool {
	o := &s.ws.options
	return s.frames == 0 || (s.frames < o.QueueFrames && s.bytes+len(frame) <= o.QueueBytes)
}

// fitsHalf tells whether half the queue has room. Who waits for room leaves the
// other half to those who cannot wait. The caller holds mu.
func (s *socket) fitsHalf(frame []byte) bool {
	o := &s.ws.options
	return s.frames == 0 || (s.frames < max(1, o.QueueFrames/2) && s.bytes+len(frame) <= o.QueueBytes/2)
}

// append queues a frame. The caller holds mu.
func (s *socket) append(frame []byte) {
	s.queue = append(s.queue, frame)
	s.frames++
	s.bytes += len(frame)
	s.schedule()
}

// schedule sees to it that somebody writes. The caller holds mu.
func (s *socket) schedule() {
	if s.scheduled || s.dead {
		return
	}
	s.scheduled = true
	s.writer.add(s)
}

// wakeSenders lets Send look again. The caller holds mu.
func (s *socket) wakeSenders() {
	if s.room == nil {
		return
	}
	close(s.room)
	s.room = nil
}

// take moves what is to be written next into b: control frames, as many queued
// frames as one write joins, and the close frame behind the last of them.
func (s *socket) take(b *batch) {
	b.reset()
	s.mu.Lock()
	b.buf = append(b.buf, s.pong...)
	s.pong = nil
	if s.ping {
		b.buf = append(b.buf, pingFrame...)
		s.ping = false
	}
	n := 0
	for n < len(s.queue) && (n == 0 || b.bytes+len(s.queue[n]) <= joinBytes) {
		b.bytes += len(s.queue[n])
		n++
	}
	b.frames = append(b.frames, s.queue[:n]...)
	s.queue = slices.Delete(s.queue, 0, n)
	if len(s.queue) == 0 && cap(s.queue) > keepQueue {
		s.queue = nil
	}
	closing := s.closing
	b.last = closing != nil && len(s.queue) == 0
	s.mu.Unlock()

	for _, payload := range b.frames {
		b.buf = appendText(b.buf, payload)
	}
	if b.last {
		b.buf = append(b.buf, closing...)
	}
}

// settle notes that b was written and tells whether there is more to write; if
// not, the writer is free of this socket until it is scheduled again.
func (s *socket) settle(b *batch) (more bool) {
	s.ws.framesOut.Add(float64(len(b.frames)))
	s.ws.bytesOut.Add(float64(b.bytes))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.frames -= len(b.frames)
	s.bytes -= b.bytes
	s.wakeSenders()
	if b.last {
		s.die()
		return false
	}
	if len(s.queue) > 0 || s.pong != nil || s.ping || s.closing != nil {
		return true
	}
	if s.timed {
		_ = s.conn.SetWriteDeadline(time.Time{})
		s.timed = false
	}
	s.scheduled = false
	return false
}

// drain writes to a peer that is slow, waiting for it. It ends when the queue
// is empty, which gives the socket back to its writer, or when the peer took
// nothing for WriteTimeout, which cuts it.
func (s *socket) drain(b *batch) {
	for {
		if err := s.writeAll(b.buf); err != nil {
			s.fail(stuck(err))
			return
		}
		if !s.settle(b) {
			return
		}
		s.take(b)
	}
}

// stuck tells a peer that takes nothing from a dead network.
func stuck(err error) ending {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return endings[protocol.CloseSlow]
	}
	return endLost
}

func (s *socket) writeAll(p []byte) error {
	for piece := range slices.Chunk(p, writePiece) {
		s.mu.Lock()
		if s.closing == nil { // otherwise the deadline of the close stands
			_ = s.conn.SetWriteDeadline(time.Now().Add(s.ws.options.WriteTimeout))
			s.timed = true
		}
		s.mu.Unlock()
		if _, err := s.conn.Write(piece); err != nil {
			return err
		}
	}
	return nil
}
