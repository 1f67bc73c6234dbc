package web

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/coder/websocket"
	"github.com/prometheus/client_golang/prometheus"

	"instantd/protocol"
)

// WebSocketOptions bound every WebSocket connection. A zero field means its
// default.
type WebSocketOptions struct {
	Origins Origins // whose pages may connect beside those of the server's own host; others get 403

	ReadLimit int64   // bytes of one frame from a peer: 256 KiB, then close 1009
	FrameRate float64 // frames a second from one peer, twice that at once: 2,000; beyond it they are read later, not refused; negative is no limit

	// The queue towards one peer. When either is reached Push reports false. A
	// frame always fits into an empty queue.
	QueueFrames int // 1,024
	QueueBytes  int // 1 MiB

	WriteTimeout time.Duration // for 16 KiB to a peer that takes nothing, then the connection is cut: 10 s
	CloseTimeout time.Duration // from Close to the cut, if the peer does not play along: 5 s
	DrainTimeout time.Duration // from Shutdown to Close, for sessions to answer what they have received: 2 s

	// PingEvery is how often each peer is pinged: 30 s. One from which nothing
	// is heard for PongTimeout (20 s, at most PingEvery) is closed.
	PingEvery   time.Duration
	PongTimeout time.Duration

	Log     *slog.Logger // nil is slog.Default
	Metrics *Metrics     // nil means that nobody looks
}

func (o *WebSocketOptions) setDefaults() {
	duration := func(d *time.Duration, standard time.Duration) {
		if *d <= 0 {
			*d = standard
		}
	}
	o.ReadLimit = atLeastOne(o.ReadLimit, 256<<10)
	o.FrameRate = orDefault(o.FrameRate, 2_000)
	o.QueueFrames = atLeastOne(o.QueueFrames, 1_024)
	o.QueueBytes = atLeastOne(o.QueueBytes, 1<<20)
	duration(&o.WriteTimeout, 10*time.Second)
	duration(&o.CloseTimeout, 5*time.Second)
	duration(&o.DrainTimeout, 2*time.Second)
	duration(&o.PingEvery, 30*time.Second)
	duration(&o.PongTimeout, 20*time.Second)
	o.PongTimeout = min(o.PongTimeout, o.PingEvery)
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics(nil)
	}
}

// WebSocket turns requests into connections. It owns GOMAXPROCS writers and
// one wheel for all of them; end it with Shutdown.
type WebSocket struct {
	options WebSocketOptions
	writers []*writer
	next    atomic.Uint64 // spreads sockets over writers and slots
	wheel   *wheel
	started time.Time

	mu      sync.Mutex
	closing bool
	open    int           // connections, from their handshake to their end
	drained chan struct{} // closed when closing and none is open: ends writers and wheel

	framesOut, bytesOut, framesIn prometheus.Counter
}

// NewWebSocket starts the writers and the wheel. They end when the last
// connection has ended after Shutdown.
func NewWebSocket(o WebSocketOptions) *WebSocket {
	o.setDefaults()
	const transport = "ws"
	ws := &WebSocket{
		options: o, started: time.Now(), drained: make(chan struct{}),
		framesOut: o.Metrics.framesOut.WithLabelValues(transport),
		bytesOut:  o.Metrics.bytesOut.WithLabelValues(transport),
		framesIn:  o.Metrics.framesIn.WithLabelValues(transport),
	}
	for range runtime.GOMAXPROCS(0) {
		w := newWriter()
		ws.writers = append(ws.writers, w)
		go w.run(ws.drained)
	}
	ws.wheel = newWheel(ws.now, o.PingEvery, o.PongTimeout)
	go ws.wheel.run(ws.drained)
	return ws
}

// now is a clock that never steps back.
func (ws *WebSocket) now() time.Duration { return time.Since(ws.started) }

// Upgrade answers the handshake and runs serve with the connection in a
// goroutine of its own; it returns at once, so that the request's memory is
// free. The connection is closed when serve returns, and serve should return
// when Receive fails or its context ends, which is when the connection is
// closed from either side. serve must not keep the request. A handshake that is
// malformed, of a foreign origin (403) or during shutdown (503) is answered
// here, and serve is not called.
func (ws *WebSocket) Upgrade(w http.ResponseWriter, r *http.Request, serve func(ctx context.Context, conn protocol.Conn)) {
	if !ws.enter() {
		PlainRefusal(w, r, protocol.Unavailable, protocol.CloseGoingAway.String())
		return
	}
	if !ws.options.Origins.allow(r) {
		ws.leave()
		PlainRefusal(w, r, protocol.Forbidden, foreignOrigin)
		return
	}
	hijack := &hijack{ResponseWriter: w, ws: ws}
	reader, err := websocket.Accept(hijack, r, &websocket.AcceptOptions{
		InsecureSkipVerify: true, // of the origin, which was judged above
		CompressionMode:    websocket.CompressionDisabled,
	})
	if err != nil {
		ws.options.Log.Debug("websocket refused", "remote", r.RemoteAddr, "error", err)
		if hijack.socket != nil {
			_ = hijack.socket.conn.Close()
		}
		ws.leave()
		return
	}
	reader.SetReadLimit(ws.options.ReadLimit)
	s := hijack.socket
	s.reader = reader
	ws.wheel.add(s)
	ws.options.Metrics.sockets.Inc()
	if ws.isClosing() { // Shutdown may have passed the wheel just before
		s.Close(protocol.CloseGoingAway)
	}
	go ws.run(s, serve)
}

// run is a connection's life. It ends when serve has returned and the peer has
// left, CloseTimeout after the close at the latest.
func (ws *WebSocket) run(s *socket, serve func(context.Context, protocol.Conn)) {
	s.serve(serve)
	s.finish()
	<-s.flushed // bounded by CloseTimeout
	label, cut := s.outcome()
	if !cut {
		s.linger()
	}
	_ = s.conn.Close()
	_ = s.reader.CloseNow() // the socket is closed already: this lets go of the reader's memory
	ws.wheel.remove(s)
	ws.options.Metrics.sockets.Dec()
	ws.options.Metrics.closes.WithLabelValues("ws", label).Inc()
	ws.leave()
}

// Shutdown refuses new connections and reads nothing more: sessions get
// protocol.ErrDraining, and DrainTimeout to answer what they have received. All
// are closed with CloseGoingAway. It waits until they have ended; when ctx ends
// first, those that are left are cut, and the error counts them.
func (ws *WebSocket) Shutdown(ctx context.Context) error {
	ws.mu.Lock()
	if !ws.closing {
		ws.closing = true
		if ws.open == 0 {
			close(ws.drained)
		}
	}
	ws.mu.Unlock()

	ws.wheel.each((*socket).retire)
	settled := time.NewTimer(ws.drainTimeout(ctx))
	defer settled.Stop()
	select {
	case <-ws.drained:
		return nil
	case <-settled.C:
	case <-ctx.Done():
	}
	ws.wheel.each(func(s *socket) { s.Close(protocol.CloseGoingAway) })
	select {
	case <-ws.drained:
		return nil
	case <-ctx.Done():
	}
	ws.wheel.each(func(s *socket) { _ = s.conn.Close() })
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.open == 0 {
		return nil
	}
	return fmt.Errorf("%d websocket connections were cut: %w", ws.open, ctx.Err())
}

// drainTimeout leaves half of the time that ctx gives to the closing.
func (ws *WebSocket) drainTimeout(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return ws.options.DrainTimeout
	}
	return min(ws.options.DrainTimeout, time.Until(deadline)/2)
}

func (ws *WebSocket) isClosing() bool {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	return ws.closing
}

func (ws *WebSocket) enter() bool {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.closing {
		return false
	}
	ws.open++
	return true
}

func (ws *WebSocket) leave() {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.open--
	if ws.closing && ws.open == 0 {
		close(ws.drained)
	}
}

// hijack puts a socket between the connection and coder/websocket: it reads
// and judges frames, we own every byte that goes out.
type hijack struct {
	http.ResponseWriter
	ws     *WebSocket
	socket *socket
}

// Hijack replaces net/http's buffers of 4 KiB, which would stay for the life
// of the connection, by small ones. The write buffer holds one control frame,
// so that each arrives at wire.Write whole.
func (h *hijack) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	inner, buffered, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	early, _ := buffered.Reader.Peek(buffered.Reader.Buffered())
	h.socket = newSocket(h.ws, inner, append([]byte(nil), early...))
	w := &wire{Conn: inner, socket: h.socket}
	return w, bufio.NewReadWriter(bufio.NewReaderSize(w, 512), bufio.NewWriterSize(w, 2*maxControl)), nil
}

// rawConn gives access to writes that do not block; nil where there are none,
// as on TLS, whose records only it can write.
func rawConn(c net.Conn) syscall.RawConn {
	if !canAttempt {
		return nil
	}
	sc, ok := c.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}
