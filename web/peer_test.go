package web

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"instantd/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what should happen at once.
const patience = 20 * time.Second

func patient(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// within waits for a channel to be closed or to deliver.
func within[T any](t testing.TB, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("waited in vain for: %s", what)
		panic("unreachable")
	}
}

// journal is a log that tests can read.
type journal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.String()
}

func (j *journal) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(j, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// serve starts a server on a free port and ends it with the test.
func serve(t testing.TB, o Options) *Server {
	t.Helper()
	if o.Name == "" {
		o.Name = "test"
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Addr = "127.0.0.1:0"
	s := New(o)
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := within(t, "the server's end", served); err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return s
}

// client is an HTTP client without connections in common with other tests.
func client(t testing.TB) *http.Client {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience}
}

// sockets starts a WebSocket server whose every connection runs session.
func sockets(t testing.TB, o WebSocketOptions, session func(context.Context, protocol.Conn)) (*WebSocket, *Server) {
	t.Helper()
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	ws := NewWebSocket(o)
	s := serve(t, Options{
		Metrics: o.Metrics, Drain: []func(context.Context) error{ws.Shutdown},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { ws.Upgrade(w, r, session) }),
	})
	return ws, s
}

// hold is a session that hands out its connection and reads until the end.
func hold(conns chan<- protocol.Conn) func(context.Context, protocol.Conn) {
	return func(ctx context.Context, c protocol.Conn) {
		conns <- c
		for {
			if _, err := c.Receive(ctx); err != nil {
				return
			}
		}
	}
}

// echo is a session that returns every frame.
func echo(ctx context.Context, c protocol.Conn) {
	for {
		frame, err := c.Receive(ctx)
		if err != nil {
			return
		}
		if c.Send(ctx, frame) != nil {
			return
		}
	}
}

func dial(t testing.TB, s *Server) *websocket.Conn {
	t.Helper()
	c, _, err := websocket.Dial(patient(t), "ws://"+s.Addr().String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	c.SetReadLimit(-1)
	t.Cleanup(func() { _ = c.CloseNow() })
	return c
}

// peer is a client that is written here, so that it may misbehave.
type peer struct {
	net.Conn
	r *bufio.Reader
}

const handshake = "GET / HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"

// rawDial opens a connection, and sends behind the handshake what is given.
func rawDial(t testing.TB, s *Server, early ...byte) *peer {
	t.Helper()
	c, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return upgraded(t, c, early...)
}

func upgraded(t testing.TB, c net.Conn, early ...byte) *peer {
	t.Helper()
	_ = c.SetDeadline(time.Now().Add(4 * patience))
	if _, err := c.Write(append([]byte(handshake), early...)); err != nil {
		t.Fatal(err)
	}
	p := &peer{c, bufio.NewReaderSize(c, 4<<10)}
	answer, err := http.ReadResponse(p.r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("handshake answered %s", answer.Status)
	}
	return p
}

// frame reads one frame of the server.
func (p *peer) frame() (op byte, payload []byte, err error) {
	var head [10]byte
	if _, err := io.ReadFull(p.r, head[:2]); err != nil {
		return 0, nil, err
	}
	if head[0]&0x70 != 0 || head[0]&fin == 0 || head[1]&0x80 != 0 {
		return 0, nil, fmt.Errorf("bad frame head %x", head[:2])
	}
	n := uint64(head[1])
	switch n {
	case 126:
		_, err = io.ReadFull(p.r, head[2:4])
		n = uint64(binary.BigEndian.Uint16(head[2:]))
	case 127:
		_, err = io.ReadFull(p.r, head[2:10])
		n = binary.BigEndian.Uint64(head[2:])
	}
	if err != nil {
		return 0, nil, err
	}
	payload = make([]byte, n)
	_, err = io.ReadFull(p.r, payload)
	return head[0] & opMask, payload, err
}

// next reads frames until one that is no ping, which may come at any time.
func (p *peer) next() (op byte, payload []byte, err error) {
	for {
		if op, payload, err = p.frame(); err != nil || op != opPing {
			return op, payload, err
		}
	}
}

// wantFrame is next, which must not fail.
func (p *peer) wantFrame(t testing.TB) (op byte, payload []byte) {
	t.Helper()
	op, payload, err := p.next()
	if err != nil {
		t.Fatalf("read frame: %v", err)
	}
	return op, payload
}

// wantClose reads to the close frame and answers it.
func (p *peer) wantClose(t testing.TB) (code uint16, text string) {
	t.Helper()
	for {
		op, payload := p.wantFrame(t)
		if op != opClose {
			continue
		}
		p.say(t, opClose, payload)
		if len(payload) < 2 {
			return 0, ""
		}
		return binary.BigEndian.Uint16(payload), string(payload[2:])
	}
}

// masked is a client's frame; the mask is zero, which changes nothing.
func masked(op byte, payload []byte) []byte {
	frame := []byte{fin | op}
	if len(payload) < 126 {
		frame = append(frame, 0x80|byte(len(payload)))
	} else {
		frame = binary.BigEndian.AppendUint64(append(frame, 0x80|127), uint64(len(payload)))
	}
	frame = append(frame, 0, 0, 0, 0)
	return append(frame, payload...)
}

func (p *peer) say(t testing.TB, op byte, payload []byte) {
	t.Helper()
	if _, err := p.Write(masked(op, payload)); err != nil {
		t.Errorf("write frame: %v", err)
	}
}

// wantEnd reads until the server has closed the connection.
func (p *peer) wantEnd(t testing.TB) {
	t.Helper()
	for {
		if _, _, err := p.frame(); err != nil {
			if ne, ok := err.(net.Error); ok && ne.Timeout() {
				t.Fatal("the server kept the connection open")
			}
			return
		}
	}
}
