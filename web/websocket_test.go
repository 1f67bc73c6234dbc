package web

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"instantd/protocol"
)

// numbered is the payload of the tests about order.
func numbered(who, n int) []byte {
	p := make([]byte, 64)
	binary.BigEndian.PutUint32(p, uint32(who))
	binary.BigEndian.PutUint32(p[4:], uint32(n))
	return p
}

func TestEveryFrameArrivesOnceAndInOrder(t *testing.T) {
	t.Parallel()
	const conns, frames = 200, 2_000
	held := make(chan protocol.Conn, conns)
	registry := prometheus.NewRegistry()
	metrics := NewMetrics(registry)
	_, s := sockets(t, WebSocketOptions{Metrics: metrics}, hold(held))

	read := make(chan error, conns)
	for range conns {
		p := rawDial(t, s)
		go func() { // ends after the last frame or at the deadline of the connection
			for n := range frames {
				op, payload, err := p.next()
				if err != nil {
					read <- fmt.Errorf("frame %d: %w", n, err)
					return
				}
				if got := binary.BigEndian.Uint32(payload[4:]); op != opText || got != uint32(n) {
					read <- fmt.Errorf("got frame %d with opcode %d, want %d", got, op, n)
					return
				}
			}
			read <- nil
		}()
	}
	var all []protocol.Conn
	for range conns {
		all = append(all, within(t, "a connection", held))
	}
	for n := range frames {
		frame := numbered(0, n) // shared by all
		for _, c := range all {
			if c.Push(frame) {
				continue
			}
			if err := c.Send(patient(t), frame); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range conns {
		if err := within(t, "all frames", read); err != nil {
			t.Error(err)
		}
	}
	if err := eventually(func() bool { return testutil.ToFloat64(metrics.framesOut) == conns*frames }); err != nil {
		t.Errorf("%v frames counted as sent, want %d", testutil.ToFloat64(metrics.framesOut), conns*frames)
	}
}

// eventually polls for what happens just after the peer saw its effect.
func eventually(happened func() bool) error {
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !happened() {
		select {
		case <-tick.C:
		case <-deadline.C:
			return errors.New("it did not happen")
		}
	}
	return nil
}

func TestConcurrentPushersKeepTheirOwnOrder(t *testing.T) {
	t.Parallel()
	const pushers, frames = 8, 500
	held := make(chan protocol.Conn, 1)
	_, s := sockets(t, WebSocketOptions{QueueFrames: 64}, hold(held))
	c := dial(t, s)
	conn := within(t, "the connection", held)

	ctx := patient(t)
	var group sync.WaitGroup
	for who := range pushers {
		group.Go(func() {
			for n := range frames {
				if err := conn.Send(ctx, numbered(who, n)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	var next [pushers]uint32
	for range pushers * frames {
		_, payload, err := c.Read(ctx)
		if err != nil {
			t.Fatal(err)
		}
		who, n := binary.BigEndian.Uint32(payload), binary.BigEndian.Uint32(payload[4:])
		if n != next[who] {
			t.Fatalf("pusher %d: got frame %d, want %d", who, n, next[who])
		}
		next[who]++
	}
	group.Wait()
}

func TestFramesOfEveryLengthStayWhole(t *testing.T) {
	t.Parallel()
	_, s := sockets(t, WebSocketOptions{ReadLimit: 1 << 20}, echo)
	c := dial(t, s)
	ctx := patient(t)
	for _, n := range []int{0, 1, 125, 126, 127, 65_535, 65_536, 100_000, 1 << 20} {
		sent := bytes.Repeat([]byte{'x'}, n)
		if err := c.Write(ctx, websocket.MessageText, sent); err != nil {
			t.Fatal(err)
		}
		kind, got, err := c.Read(ctx)
		if err != nil {
			t.Fatalf("%d bytes: %v", n, err)
		}
		if kind != websocket.MessageText || !bytes.Equal(got, sent) {
			t.Errorf("%d bytes came back as %d bytes of kind %v", n, len(got), kind)
		}
	}
}

func TestPingsNeverCutLargeFrames(t *testing.T) {
	t.Parallel()
	held := make(chan protocol.Conn, 1)
	_, s := sockets(t, WebSocketOptions{}, hold(held))
	p := rawDial(t, s)
	conn := within(t, "the connection", held).(*socket)
	frame := bytes.Repeat([]byte("0123456789"), 10_000)
	const frames = 100
	sent := make(chan error, 1)
	ctx := patient(t)
	go func() { // ends with the last frame or with ctx
		for range frames {
			if err := conn.Send(ctx, frame); err != nil {
				sent <- err
				return
			}
			conn.mu.Lock() // as the wheel does, only more often
			conn.ping = true
			conn.schedule()
			conn.mu.Unlock()
		}
		sent <- nil
	}()
	var pings, pongs int
	for got := 0; got < frames || pings < 3 || pongs < 1; {
		op, payload, err := p.frame()
		if err != nil {
			t.Fatalf("after %d frames, %d pings, %d pongs: %v", got, pings, pongs, err)
		}
		switch op {
		case opText:
			if !bytes.Equal(payload, frame) {
				t.Fatal("a frame was damaged")
			}
			got++
			p.say(t, opPing, []byte("are you there"))
		case opPing:
			pings++
			p.say(t, opPong, payload)
		case opPong:
			if string(payload) != "are you there" {
				t.Fatalf("pong carries %q", payload)
			}
			pongs++
		}
	}
	if err := within(t, "the sender's end", sent); err != nil {
		t.Error(err)
	}
}

func TestAPeerThatDoesNotReadDelaysNobody(t *testing.T) {
	t.Parallel()
	held := make(chan protocol.Conn, 2)
	registry := prometheus.NewRegistry()
	metrics := NewMetrics(registry)
	_, s := sockets(t, WebSocketOptions{
		QueueFrames: 100, Metrics: metrics, CloseTimeout: 50 * time.Millisecond,
	}, hold(held))
	rawDial(t, s) // never reads
	stuck := within(t, "the stuck connection", held)
	lively := rawDial(t, s)
	other := within(t, "the lively connection", held)

	big := make([]byte, 8<<10)
	for n := 0; stuck.Push(big); n++ {
		if n > 1<<20 {
			t.Fatal("the queue has no bound")
		}
	}
	if !other.Push([]byte("hello")) {
		t.Fatal("the other queue is full")
	}
	if op, payload := lively.wantFrame(t); op != opText || string(payload) != "hello" {
		t.Fatalf("got %d %q", op, payload)
	}
	stuck.Close(protocol.CloseSlow)
	slow := metrics.closes.WithLabelValues("ws", "slow")
	if err := eventually(func() bool { return testutil.ToFloat64(slow) == 1 }); err != nil {
		t.Error("the slow connection was not cut")
	}
	if stuck.Push(big) {
		t.Error("a closed connection took a frame")
	}
}

func TestAPeerThatTakesNothingForTheWriteTimeoutIsCut(t *testing.T) {
	t.Parallel()
	held := make(chan protocol.Conn, 1)
	ended := make(chan struct{})
	metrics := NewMetrics(nil)
	_, s := sockets(t, WebSocketOptions{WriteTimeout: 50 * time.Millisecond, Metrics: metrics},
		func(ctx context.Context, c protocol.Conn) { hold(held)(ctx, c); close(ended) })
	rawDial(t, s)
	conn := within(t, "the connection", held)
	for conn.Send(patient(t), make([]byte, 8<<10)) == nil { // until the kernel's buffers are full, too
	}
	within(t, "the end of the session", ended)
	if err := eventually(func() bool { return testutil.ToFloat64(metrics.closes.WithLabelValues("ws", "slow")) == 1 }); err != nil {
		t.Error("the end was not counted as slow")
	}
}

func TestASlowPeerThatRecoversGetsEverything(t *testing.T) {
	t.Parallel()
	held := make(chan protocol.Conn, 1)
	_, s := sockets(t, WebSocketOptions{}, hold(held))
	p := rawDial(t, s)
	conn := within(t, "the connection", held)
	pushed := uint32(0)
	for conn.Push(append(numbered(0, int(pushed)), make([]byte, 8<<10)...)) {
		pushed++
	}
	conn.Close(protocol.CloseSlow)
	conn.Close(protocol.CloseRevoked) // only the first counts
	for n := range pushed {
		op, payload := p.wantFrame(t)
		if op != opText || binary.BigEndian.Uint32(payload[4:]) != n {
			t.Fatalf("frame %d of %d: got opcode %d", n, pushed, op)
		}
	}
	if code, text := p.wantClose(t); code != codeSlow || text != protocol.CloseSlow.String() {
		t.Errorf("closed with %d %q", code, text)
	}
	p.wantEnd(t)
}

func TestSendWaitsForRoom(t *testing.T) {
	t.Parallel()
	held := make(chan protocol.Conn, 1)
	_, s := sockets(t, WebSocketOptions{QueueFrames: 2}, hold(held))
	p := rawDial(t, s)
	conn := within(t, "the connection", held)
	big := make([]byte, 1<<20)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var err error
	for err == nil { // until the kernel's buffers are full, too
		err = conn.Send(ctx, big)
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Send with an ended context: %v", err)
	}
	failed := make(chan error, 1)
	go func() { failed <- conn.Send(context.Background(), []byte("at last")) }() // ends when there is room
	for {
		if _, payload := p.wantFrame(t); string(payload) == "at last" {
			break
		}
	}
	if err := within(t, "Send", failed); err != nil {
		t.Error(err)
	}
	conn.Close(protocol.CloseRevoked)
	if err := conn.Send(context.Background(), big); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Send on a closed connection: %v", err)
	}
}

func TestCloseCodes(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		reason protocol.CloseReason
		code   websocket.StatusCode
	}{
		{protocol.CloseGoingAway, 1001},
		{protocol.CloseRevoked, 4001},
		{protocol.CloseReplaced, 4002},
		{protocol.CloseSlow, 4008},
		{protocol.CloseRejected, 4000},
	} {
		t.Run(row.reason.String(), func(t *testing.T) {
			t.Parallel()
			ended := make(chan error, 1)
			_, s := sockets(t, WebSocketOptions{}, func(ctx context.Context, c protocol.Conn) {
				c.Push([]byte("last words"))
				c.Close(row.reason)
				_, err := c.Receive(ctx)
				ended <- err
			})
			c := dial(t, s)
			if _, frame, err := c.Read(patient(t)); err != nil || string(frame) != "last words" {
				t.Errorf("got %q, %v before the close", frame, err)
			}
			_, _, err := c.Read(patient(t))
			var closed websocket.CloseError
			if !errors.As(err, &closed) || closed.Code != row.code || closed.Reason != row.reason.String() {
				t.Errorf("closed with %v, want %d %q", err, row.code, row.reason)
			}
			if err := within(t, "Receive to fail", ended); !errors.Is(err, net.ErrClosed) {
				t.Errorf("Receive after Close: %v", err)
			}
		})
	}
}

func TestHowConnectionsEnd(t *testing.T) {
	t.Parallel()
	receive := func(errs chan<- error) func(context.Context, protocol.Conn) {
		return func(ctx context.Context, c protocol.Conn) {
			for {
				if _, err := c.Receive(ctx); err != nil {
					errs <- err
					return
				}
			}
		}
	}
	anyError := func(err error) bool { return err != nil }
	for _, row := range []struct {
		name  string
		bytes []byte
		code  uint16 // that the peer sees
		label string
		err   func(error) bool // of Receive
	}{
		{"a peer that closes gets its own code back", masked(opClose, []byte{0x0f, 0xa7}), 4007, "peer",
			func(err error) bool { return err == io.EOF }},
		{"a close without a code is in order", masked(opClose, nil), 0, "peer",
			func(err error) bool { return err == io.EOF }},
		{"a frame beyond the limit is 1009", masked(opText, make([]byte, 2_000)), 1009, "too_large",
			func(err error) bool { return errors.Is(err, websocket.ErrMessageTooBig) }},
		{"an unmasked frame is 1002", []byte{fin | opText, 1, 'x'}, 1002, "broken", anyError},
		{"a reserved opcode is 1002", masked(0x5, []byte("x")), 1002, "broken", anyError},
		{"a reserved bit is 1002", append([]byte{0xc1}, masked(opText, []byte("x"))[1:]...), 1002, "broken", anyError},
		{"a continuation of nothing is 1002", masked(0, []byte("x")), 1002, "broken", anyError},
		{"a control frame that is too long is 1002", masked(opPing, make([]byte, 126)), 1002, "broken", anyError},
		{"a fragmented control frame is 1002", append([]byte{opPing}, masked(opPing, nil)[1:]...), 1002, "broken", anyError},
		{"an impossible close code is 1002", masked(opClose, []byte{0, 1}), 1002, "broken", anyError},
	} {
		for _, early := range []bool{false, true} {
			name := row.name
			if early {
				name += ", right behind the handshake"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				errs := make(chan error, 1)
				metrics := NewMetrics(nil)
				_, s := sockets(t, WebSocketOptions{ReadLimit: 1_000, Metrics: metrics}, receive(errs))
				var p *peer
				if early {
					p = rawDial(t, s, row.bytes...)
				} else {
					p = rawDial(t, s)
					_, _ = p.Write(row.bytes)
				}
				if code, _ := p.wantClose(t); code != row.code {
					t.Errorf("closed with %d, want %d", code, row.code)
				}
				if err := within(t, "Receive to fail", errs); !row.err(err) {
					t.Errorf("Receive: %v", err)
				}
				p.wantEnd(t)
				_ = p.Close()
				count := metrics.closes.WithLabelValues("ws", row.label)
				if eventually(func() bool { return testutil.ToFloat64(count) == 1 }) != nil {
					t.Errorf("not counted as %q", row.label)
				}
			})
		}
	}
}

func TestAConnectionEndsWithItsSession(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name    string
		session func(context.Context, protocol.Conn)
		code    uint16
	}{
		{"a session that returns closes with 1000", func(context.Context, protocol.Conn) {}, 1000},
		{"a session that panics closes with 1011", func(context.Context, protocol.Conn) { panic("a defect") }, 1011},
		{"a context of the session's own interrupts Receive", func(ctx context.Context, c protocol.Conn) {
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			if _, err := c.Receive(ctx); !errors.Is(err, context.Canceled) {
				panic(err)
			}
		}, 1000},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			var log journal
			_, s := sockets(t, WebSocketOptions{Log: log.logger()}, row.session)
			p := rawDial(t, s)
			if code, _ := p.wantClose(t); code != row.code {
				t.Errorf("closed with %d, want %d", code, row.code)
			}
			p.wantEnd(t)
			if n := strings.Count(log.String(), "a defect"); row.code == 1011 && n != 1 {
				t.Errorf("the panic was logged %d times", n)
			}
		})
	}
}

func TestALostNetworkEndsTheSession(t *testing.T) {
	t.Parallel()
	held, ended := make(chan protocol.Conn, 1), make(chan struct{})
	_, s := sockets(t, WebSocketOptions{}, func(ctx context.Context, c protocol.Conn) {
		hold(held)(ctx, c)
		<-ctx.Done()
		close(ended)
	})
	p := rawDial(t, s)
	within(t, "the connection", held)
	_ = p.Conn.(*net.TCPConn).SetLinger(0)
	_ = p.Close() // resets
	within(t, "the end of the session", ended)
}

func TestPings(t *testing.T) {
	t.Parallel()
	quick := WebSocketOptions{PingEvery: 64 * time.Millisecond, PongTimeout: 32 * time.Millisecond}
	t.Run("a peer that answers stays", func(t *testing.T) {
		t.Parallel()
		slower := WebSocketOptions{PingEvery: 500 * time.Millisecond}
		_, s := sockets(t, slower, echo)
		p := rawDial(t, s)
		for range 3 {
			op, payload, err := p.frame()
			if err != nil || op != opPing {
				t.Fatalf("got %d %q, %v instead of a ping", op, payload, err)
			}
			p.say(t, opPong, payload)
		}
		p.say(t, opText, []byte("still here"))
		if _, payload := p.wantFrame(t); string(payload) != "still here" {
			t.Errorf("got %q", payload)
		}
	})
	t.Run("a silent peer is closed", func(t *testing.T) {
		t.Parallel()
		_, s := sockets(t, quick, echo)
		if code, text := rawDial(t, s).wantClose(t); code != codeSilent {
			t.Errorf("closed with %d %q", code, text)
		}
	})
	t.Run("a session that is busy is not taken for a silent peer", func(t *testing.T) {
		t.Parallel()
		busy := make(chan struct{})
		_, s := sockets(t, quick, func(ctx context.Context, c protocol.Conn) {
			<-busy
			echo(ctx, c)
		})
		p := rawDial(t, s)
		for range 5 { // nobody reads our pongs, and yet the pings go on
			op, payload, err := p.frame()
			if err != nil || op != opPing {
				t.Fatalf("got %d %q, %v instead of a ping", op, payload, err)
			}
		}
		p.say(t, opText, []byte("hello"))
		close(busy)
		if _, payload := p.wantFrame(t); string(payload) != "hello" {
			t.Errorf("got %q", payload)
		}
	})
	t.Run("a flood of pings has one pong waiting at most", func(t *testing.T) {
		t.Parallel()
		held := make(chan protocol.Conn, 1)
		_, s := sockets(t, WebSocketOptions{}, hold(held))
		p := rawDial(t, s)
		conn := within(t, "the connection", held).(*socket)
		for conn.Push(make([]byte, 8<<10)) {
		}
		for n := range 10_000 {
			p.say(t, opPing, fmt.Appendf(nil, "%d", n))
		}
		p.say(t, opPing, []byte("newest"))
		for {
			if op, payload := p.wantFrame(t); op == opPong && string(payload) == "newest" {
				return
			}
		}
	})
}

func TestOrigins(t *testing.T) {
	t.Parallel()
	_, s := sockets(t, WebSocketOptions{Origins: Origins{"*.example.com", "https://exact.org"}}, echo)
	for _, row := range []struct {
		name, origin string
		want         int
	}{
		{"no origin is a program", "", 101},
		{"the server's own host is let in", "http://" + s.Addr().String(), 101},
		{"a host of a pattern is let in", "https://app.example.com", 101},
		{"a scheme of a pattern must match", "http://exact.org", 403},
		{"a foreign host is refused", "https://evil.org", 403},
		{"a host that only ends like a pattern is refused", "https://app.example.com.evil.org", 403},
		{"null is refused", "null", 403},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			header := http.Header{}
			if row.origin != "" {
				header.Set("Origin", row.origin)
			}
			c, answer, _ := websocket.Dial(patient(t), "ws://"+s.Addr().String(), &websocket.DialOptions{HTTPHeader: header})
			if c != nil {
				defer c.CloseNow()
			}
			if answer == nil || answer.StatusCode != row.want {
				t.Errorf("origin %q answered %v, want %d", row.origin, answer, row.want)
			}
		})
	}
	t.Run("a plain request is told to upgrade", func(t *testing.T) {
		t.Parallel()
		answer, err := client(t).Get("http://" + s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		if answer.StatusCode != http.StatusUpgradeRequired {
			t.Errorf("answered %s", answer.Status)
		}
	})
}

func TestShutdownSaysGoodbyeToAll(t *testing.T) {
	t.Parallel()
	const conns = 50
	held := make(chan protocol.Conn, conns)
	ws, s := sockets(t, WebSocketOptions{}, hold(held))
	var peers []*peer
	for range conns {
		peers = append(peers, rawDial(t, s))
		within(t, "a connection", held).Push([]byte("queued"))
	}
	done := make(chan error, 1)
	go func() { done <- ws.Shutdown(patient(t)) }() // ends when all are gone
	for _, p := range peers {
		if op, payload := p.wantFrame(t); op != opText || string(payload) != "queued" {
			t.Errorf("got %d %q before the goodbye", op, payload)
		}
		if code, text := p.wantClose(t); code != 1001 || text != protocol.CloseGoingAway.String() {
			t.Errorf("closed with %d %q", code, text)
		}
		_ = p.Close()
	}
	if err := within(t, "shutdown", done); err != nil {
		t.Error(err)
	}
	_, answer, _ := websocket.Dial(patient(t), "ws://"+s.Addr().String(), nil)
	if answer == nil || answer.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a late comer was answered %v", answer)
	}
}

func TestShutdownLetsSessionsAnswerWhatTheyHaveReceived(t *testing.T) {
	t.Parallel()
	held, draining := make(chan protocol.Conn, 1), make(chan struct{})
	received, ended := make(chan error, 2), make(chan struct{})
	ws, s := sockets(t, WebSocketOptions{DrainTimeout: patience}, func(ctx context.Context, c protocol.Conn) {
		held <- c
		frame, err := c.Receive(ctx)
		received <- err
		<-draining
		_, err = c.Receive(ctx) // not the second frame, which has come as well
		received <- err
		if err := c.Send(ctx, frame); err != nil {
			t.Errorf("send while draining: %v", err)
		}
		close(ended)
	})
	p := rawDial(t, s)
	conn := within(t, "the connection", held).(*socket)
	_, _ = p.Write(append(masked(opText, []byte("first")), masked(opText, []byte("second"))...))
	if err := within(t, "the first frame", received); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- ws.Shutdown(patient(t)) }() // ends when the peer has left
	if eventually(conn.isDraining) != nil {
		t.Fatal("the session does not drain")
	}
	close(draining)
	if err := within(t, "the second Receive", received); !errors.Is(err, protocol.ErrDraining) {
		t.Errorf("Receive while draining: %v", err)
	}
	within(t, "the session's end", ended)
	if op, payload := p.wantFrame(t); op != opText || string(payload) != "first" {
		t.Errorf("got %d %q, want the answer", op, payload)
	}
	if code, text := p.wantClose(t); code != codeGoingAway || text != protocol.CloseGoingAway.String() {
		t.Errorf("closed with %d %q", code, text)
	}
	_ = p.Close()
	if err := within(t, "shutdown", done); err != nil {
		t.Error(err)
	}
}

func TestShutdownInterruptsAReceiveThatWaits(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name string
		sent []byte // that is not a whole frame
	}{
		{"for a frame", nil},
		{"for the rest of a frame", masked(opText, []byte("the beginning and the rest"))[:20]},
		{"for the rest of a ping", masked(opPing, []byte("are you there"))[:8]},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			received := make(chan error, 1)
			ws, s := sockets(t, WebSocketOptions{}, func(ctx context.Context, c protocol.Conn) {
				_, err := c.Receive(ctx)
				received <- err
			})
			p := rawDial(t, s, row.sent...)
			done := make(chan error, 1)
			go func() { done <- ws.Shutdown(patient(t)) }() // ends when the peer has left
			err := within(t, "Receive", received)
			if !errors.Is(err, protocol.ErrDraining) && !errors.Is(err, net.ErrClosed) { // closed at once: it came too late to drain
				t.Errorf("Receive: %v", err)
			}
			if code, _ := p.wantClose(t); code != codeGoingAway {
				t.Errorf("closed with %d", code)
			}
			_ = p.Close()
			if err := within(t, "shutdown", done); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestShutdownWaitsForSessionsOnlyForATime(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name  string
		drain time.Duration
		limit time.Duration
	}{
		{"for DrainTimeout", 50 * time.Millisecond, patience},
		{"for half of what its context allows", time.Hour, 500 * time.Millisecond},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			held := make(chan struct{})
			ws, s := sockets(t, WebSocketOptions{DrainTimeout: row.drain}, func(ctx context.Context, c protocol.Conn) {
				close(held)
				<-ctx.Done() // answers nothing
			})
			p := rawDial(t, s)
			within(t, "the connection", held)
			ctx, cancel := context.WithTimeout(context.Background(), row.limit)
			defer cancel()
			done := make(chan error, 1)
			go func() { done <- ws.Shutdown(ctx) }() // ends when the peer has left
			if code, _ := p.wantClose(t); code != codeGoingAway {
				t.Errorf("closed with %d", code)
			}
			_ = p.Close()
			if err := within(t, "shutdown", done); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestShutdownCutsThoseThatDoNotLeave(t *testing.T) {
	t.Parallel()
	held := make(chan protocol.Conn, 1)
	ws, s := sockets(t, WebSocketOptions{CloseTimeout: time.Minute}, hold(held))
	p := rawDial(t, s)
	within(t, "the connection", held)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := ws.Shutdown(ctx); err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	p.wantEnd(t)
	within(t, "the last goroutine", ws.drained)
}

func TestAPeerMayHastenButNotFlood(t *testing.T) {
	t.Parallel()
	_, s := sockets(t, WebSocketOptions{FrameRate: 100}, echo)
	c := dial(t, s)
	ctx := patient(t)
	start := time.Now()
	const frames = 250 // 200 at once, then 100 a second
	go func() {        // ends with the last frame or with the connection
		for range frames {
			if c.Write(ctx, websocket.MessageText, []byte("x")) != nil {
				return
			}
		}
	}()
	for n := range frames {
		if _, _, err := c.Read(ctx); err != nil {
			t.Fatalf("frame %d: %v", n, err)
		}
	}
	if took := time.Since(start); took < 400*time.Millisecond {
		t.Errorf("%d frames took %v", frames, took)
	}
}

func FuzzPeer(f *testing.F) {
	f.Add(masked(opText, []byte(`{"cmd":"ping"}`)))
	f.Add(masked(opClose, []byte{3, 0xe8}))
	f.Add(append([]byte{opText}, masked(0, []byte("rest"))...))
	f.Add([]byte{fin | opText, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	ended := make(chan struct{}, 1)
	_, s := sockets(f, WebSocketOptions{ReadLimit: 1 << 10, CloseTimeout: 20 * time.Millisecond},
		func(ctx context.Context, c protocol.Conn) {
			defer func() { ended <- struct{}{} }()
			for {
				frame, err := c.Receive(ctx)
				if err != nil {
					return
				}
				if len(frame) > 1<<10 {
					panic("a frame beyond the limit")
				}
				c.Push(frame)
			}
		})
	f.Fuzz(func(t *testing.T, bytes []byte) {
		p := rawDial(t, s, bytes...)
		_ = p.Conn.(*net.TCPConn).CloseWrite()
		p.wantEnd(t)
		within(t, "the session's end", ended)
	})
}

func TestTheKernelHoldsLittleForOnePeer(t *testing.T) {
	t.Parallel()
	held := make(chan protocol.Conn, 1)
	_, s := sockets(t, WebSocketOptions{}, hold(held))
	rawDial(t, s)
	conn := within(t, "the connection", held).(*socket)
	size := 0
	err := conn.raw.Control(func(fd uintptr) {
		size, _ = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_SNDBUF)
	})
	if err != nil || size == 0 || size > 2*kernelBuffer { // Linux doubles it for its own needs
		t.Errorf("the send buffer is %d bytes (%v), want at most %d", size, err, 2*kernelBuffer)
	}
}

func TestWhoWaitsForRoomLeavesHalfOfIt(t *testing.T) {
	t.Parallel()
	held := make(chan protocol.Conn, 1)
	_, s := sockets(t, WebSocketOptions{QueueFrames: 8, QueueBytes: 64 << 20}, hold(held))
	rawDial(t, s) // never reads
	conn := within(t, "the connection", held)
	big := make([]byte, 1<<20)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for conn.Send(ctx, big) == nil { // until the kernel's buffers are full, too
	}
	for n := range 4 {
		if !conn.Push(big) {
			t.Fatalf("push %d behind a full replay was refused", n)
		}
	}
	conn.Close(protocol.CloseSlow)
}
