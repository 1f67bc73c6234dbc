package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/time/rate"

	"instantd/protocol"
)

// never is the waiting time of a socket that is not being read.
const never = time.Duration(math.MaxInt64)

// past is a deadline that is over.
var past = time.Unix(1, 0)

// socket is one WebSocket connection; it is the protocol.Conn that dialects
// see. Everything that goes out passes its queue and is written by one
// goroutine at a time: the socket's writer, or drain while the peer is slow.
type socket struct {
	ws     *WebSocket
	conn   net.Conn        // as hijacked
	raw    syscall.RawConn // nil when every write may block
	reader *websocket.Conn // reads through wire; we never write through it
	writer *writer         // the same for life
	slot   int             // in the wheel
	rate   *rate.Limiter   // of frames from the peer, nil for no limit
	early  []byte          // what the peer sent right behind its handshake; reader's goroutine
	ctx    context.Context // ends when the connection is closed from either side
	cancel context.CancelFunc

	flushed chan struct{} // closed when nothing will be written any more

	waiting atomic.Int64  // since when the reader waits for bytes, or never
	pinged  time.Duration // when the last ping was queued, 0 for none; wheel's goroutine

	mu        sync.Mutex
	queue     [][]byte      // payloads, oldest first
	frames    int           // queued or being written
	bytes     int           // of these
	room      chan struct{} // closed when there is room again; nil when nobody waits
	pong      []byte        // the newest unsent pong: RFC 6455 §5.5.3 lets it stand for older ones
	ping      bool          // a ping is to be sent
	closing   []byte        // the close frame; nothing is queued after it
	draining  bool          // nothing is read any more, and serve is to end
	label     string        // why it is closing
	scheduled bool          // a writer or drain will look here
	dead      bool          // nothing will be written any more
	cut       bool          // because writing failed
	timed     bool          // a write deadline stands that drain has set
}

var _ protocol.Conn = (*socket)(nil)

func newSocket(ws *WebSocket, conn net.Conn, early []byte) *socket {
	n := ws.next.Add(1)
	if buffered, ok := conn.(interface{ SetWriteBuffer(int) error }); ok {
		_ = buffered.SetWriteBuffer(kernelBuffer) // without it the kernel's default serves
	}
	s := &socket{
		ws: ws, conn: conn, raw: rawConn(conn), early: early, flushed: make(chan struct{}),
		writer: ws.writers[n%uint64(len(ws.writers))], slot: int(n % wheelSlots),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.waiting.Store(int64(never))
	if r := ws.options.FrameRate; r > 0 {
		s.rate = rate.NewLimiter(rate.Limit(r), max(1, int(2*r)))
	}
	return s
}

// Transport implements protocol.Conn.
func (s *socket) Transport() string { return "ws" }

// Push implements protocol.Sink. It is false on a closed connection, too.
func (s *socket) Push(frame []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing != nil || s.dead || !s.fits(frame) {
		return false
	}
	s.append(frame)
	return true
}

// Send implements protocol.Sink.
func (s *socket) Send(ctx context.Context, frame []byte) error {
	for {
		s.mu.Lock()
		if s.closing != nil || s.dead {
			s.mu.Unlock()
			return fmt.Errorf("send frame: %w", net.ErrClosed)
		}
		if s.fitsHalf(frame) {
			s.append(frame)
			s.mu.Unlock()
			return nil
		}
		if s.room == nil {
			s.room = make(chan struct{})
		}
		room := s.room
		s.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return fmt.Errorf("send frame: %w", ctx.Err())
		}
	}
}

// Close implements protocol.Sink.
func (s *socket) Close(reason protocol.CloseReason) {
	e, ok := endings[reason]
	if !ok {
		e = endDone
	}
	s.end(e)
}

// Receive implements protocol.Conn. It returns io.EOF when the peer closed in
// order, net.ErrClosed when this side did, and protocol.ErrDraining after
// WebSocket.Shutdown. The end of ctx closes the connection. Only the goroutine
// that runs serve may call it.
func (s *socket) Receive(ctx context.Context) ([]byte, error) {
	if s.rate != nil {
		if err := s.rate.Wait(s.ctx); err != nil {
			return nil, fmt.Errorf("receive frame: %w", net.ErrClosed)
		}
	}
	if s.isDraining() {
		return nil, fmt.Errorf("receive frame: %w", protocol.ErrDraining)
	}
	if ctx != s.ctx && ctx.Done() != nil {
		stop := context.AfterFunc(ctx, func() { s.end(endDone) })
		defer stop()
	}
	// The reader gets no context: one that ends would cut the connection before
	// the close frame is out. end interrupts it by a deadline.
	_, frame, err := s.reader.Read(context.Background())
	if err == nil {
		s.ws.framesIn.Inc()
		return frame, nil
	}
	return nil, s.explain(ctx, err)
}

// explain ends the connection for an error of the reader, and says what it
// means to the dialect.
func (s *socket) explain(ctx context.Context, err error) error {
	if websocket.CloseStatus(err) != -1 {
		return io.EOF
	}
	if interrupted := errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, net.ErrClosed); interrupted {
		if s.isDraining() {
			return fmt.Errorf("receive frame: %w", protocol.ErrDraining)
		}
		s.end(endLost)
		if ctx != s.ctx && ctx.Err() != nil {
			return fmt.Errorf("receive frame: %w", ctx.Err())
		}
		return fmt.Errorf("receive frame: %w", net.ErrClosed)
	}
	if lost(err) {
		s.end(endLost)
	} else {
		s.end(endBroken) // unless the reader has sent its own verdict
	}
	return fmt.Errorf("receive frame: %w", err)
}

// lost tells a dead network from a peer that breaks the protocol.
func lost(err error) bool {
	var network net.Error
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &network)
}

// serve runs the dialect's part. A panic ends this connection alone.
func (s *socket) serve(serve func(context.Context, protocol.Conn)) {
	defer func() {
		cause := recover()
		if cause == nil {
			return
		}
		s.ws.options.Metrics.panics.WithLabelValues("ws").Inc()
		s.ws.options.Log.Error("websocket panicked", slog.Any("panic", cause), slog.String("stack", string(debug.Stack())))
		s.end(endInternal)
	}()
	serve(s.ctx, s)
}

// retire lets serve end in order: Receive fails from now on, Push and Send go on
// until serve has returned.
func (s *socket) retire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing != nil || s.dead {
		return
	}
	s.draining = true
	_ = s.conn.SetReadDeadline(past)
}

// isDraining is false again when the connection is closed.
func (s *socket) isDraining() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.draining && s.closing == nil && !s.dead
}

// finish closes the connection of a session that has returned.
func (s *socket) finish() {
	if s.isDraining() {
		s.Close(protocol.CloseGoingAway)
		return
	}
	s.end(endDone)
}

// end closes the connection in order: what is queued, the close frame, the
// peer's answer, all within CloseTimeout. Only the first call counts.
func (s *socket) end(e ending) {
	s.mu.Lock()
	if s.closing != nil || s.dead {
		s.mu.Unlock()
		return
	}
	s.closing, s.label = e.frame, e.label
	_ = s.conn.SetReadDeadline(past)
	_ = s.conn.SetWriteDeadline(time.Now().Add(s.ws.options.CloseTimeout))
	s.wakeSenders()
	s.schedule()
	s.mu.Unlock()
	s.cancel()
}

// fail ends a connection whose stream is broken or stuck: no close frame could
// follow. The goroutine that writes calls it.
func (s *socket) fail(e ending) {
	s.mu.Lock()
	if s.closing == nil {
		s.label = e.label
	}
	s.cut = true
	s.die()
	s.queue, s.frames, s.bytes = nil, 0, 0
	_ = s.conn.SetDeadline(past)
	s.wakeSenders()
	s.mu.Unlock()
	s.cancel()
}

// die notes that nothing will be written any more. The caller holds mu.
func (s *socket) die() {
	s.dead = true
	close(s.flushed)
}

// outcome tells why a connection ended, and whether its stream was cut.
func (s *socket) outcome() (label string, cut bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.label, s.cut
}

// linger waits for the peer to leave first: closing a socket that holds unread
// bytes resets it, and a reset may overtake what was just written.
func (s *socket) linger() {
	half, ok := s.conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	_ = s.conn.SetReadDeadline(time.Now().Add(s.ws.options.CloseTimeout))
	_, _ = io.Copy(io.Discard, s.conn)
}
