package web

import (
	"errors"
	"fmt"
	"net"
)

// wire is the connection as coder/websocket sees it. Reads pass through; what
// it writes are whole control frames, which join the socket's queue.
type wire struct {
	net.Conn
	socket *socket
}

func (w *wire) Read(p []byte) (int, error) {
	s := w.socket
	if len(s.early) > 0 {
		n := copy(p, s.early)
		s.early = s.early[n:]
		return n, nil
	}
	s.waiting.Store(int64(s.ws.now()))
	n, err := w.Conn.Read(p)
	s.waiting.Store(int64(never))
	return n, err
}

func (w *wire) Write(frame []byte) (int, error) {
	s := w.socket
	switch frame[0] & opMask {
	case opClose:
		s.end(theirs(frame))
	case opPong:
		s.answer(append([]byte(nil), frame...))
	default:
		return 0, fmt.Errorf("write frame with opcode %d: %w", frame[0]&opMask, errors.ErrUnsupported)
	}
	return len(frame), nil
}

// Close interrupts the reader; the socket itself is closed by run.
func (w *wire) Close() error {
	w.socket.end(endLost)
	return nil
}

// answer queues a pong.
func (s *socket) answer(pong []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing != nil || s.dead {
		return
	}
	s.pong = pong
	s.schedule()
}
