package instant

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"

	"instantd/protocol"
)

// pipe is a protocol.Conn whose far end is the test.
type pipe struct {
	in     chan []byte
	out    chan []byte
	drain  chan struct{} // closed: Receive is over, Send is not
	done   chan struct{}
	ended  chan struct{} // closed when the session has returned
	once   sync.Once
	reason protocol.CloseReason
}

func newPipe() *pipe {
	return &pipe{in: make(chan []byte), out: make(chan []byte, 64), drain: make(chan struct{}), done: make(chan struct{})}
}

func (p *pipe) Push(frame []byte) bool {
	select {
	case p.out <- frame:
		return true
	default:
		return false
	}
}

func (p *pipe) Send(ctx context.Context, frame []byte) error {
	select {
	case p.out <- frame:
		return nil
	case <-p.done:
		return errors.New("closed")
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *pipe) Close(reason protocol.CloseReason) {
	p.once.Do(func() { p.reason = reason; close(p.done) })
}

func (p *pipe) Receive(ctx context.Context) ([]byte, error) {
	select {
	case frame := <-p.in:
		return frame, nil
	case <-p.drain:
		return nil, fmt.Errorf("receive: %w", protocol.ErrDraining)
	case <-p.done:
		return nil, errors.New("closed")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *pipe) Transport() string { return "pipe" }

// next is the next frame, decoded.
func (p *pipe) next(t *testing.T) (f struct {
	Cmd    string
	Ref    any
	Code   int
	Reason string
	Data   map[string]any
}) {
	t.Helper()
	select {
	case frame := <-p.out:
		if err := json.Unmarshal(frame, &f); err != nil {
			t.Fatalf("%s: %v", frame, err)
		}
	case <-t.Context().Done():
		t.Fatal("no frame came")
	}
	return f
}

// gate is a core that lets each send through when the test says so.
type gate struct {
	mu      sync.Mutex
	opened  int
	closed  int
	resume  func(ctx context.Context, ready []byte, trimmed func(protocol.Trimmed) []byte) error
	refuse  error
	arrived chan protocol.SendMessage
	pass    chan struct{}
}

func newGate() *gate {
	return &gate{arrived: make(chan protocol.SendMessage, 64), pass: make(chan struct{}, 64), resume: func(context.Context, []byte, func(protocol.Trimmed) []byte) error { return nil }}
}

func (g *gate) Deliver(ctx context.Context, _ protocol.Key, command any) protocol.Pending {
	if send, is := command.(protocol.SendMessage); is {
		g.arrived <- send
		return func(ctx context.Context) (any, error) {
			select {
			case <-g.pass:
				return protocol.Sent{ID: 1, Seq: 1}, nil
			case <-ctx.Done():
				return nil, protocol.Errorf(protocol.Unavailable, "the session ended")
			}
		}
	}
	return protocol.Answered(g.handle(ctx, command))
}

func (g *gate) handle(ctx context.Context, command any) (any, error) {
	switch command.(type) {
	case protocol.OpenSession:
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.refuse != nil {
			return nil, g.refuse
		}
		g.opened++
		return protocol.Session{ID: 1, Resume: g.resume}, nil
	case protocol.CloseSession:
		g.mu.Lock()
		defer g.mu.Unlock()
		g.closed++
		return protocol.Done{}, ctx.Err()
	}
	return protocol.Done{}, nil
}

// session runs a session over a pipe and checks that it ends clean.
func session(t *testing.T, core *gate) (p *pipe, end func()) {
	t.Helper()
	p = newPipe()
	ctx, cancel := context.WithCancel(context.Background())
	go func() { // ends with the pipe, as the context of a connection does
		<-p.done
		cancel()
	}()
	p.ended = make(chan struct{})
	go func() { // ends with the pipe, or drained
		defer close(p.ended)
		New(Options{Core: core}).serve(ctx, p, protocol.OpenSession{By: alice})
	}()
	end = func() {
		p.Close(0)
		<-p.ended
		if core.opened != core.closed {
			t.Errorf("%d sessions opened, %d closed", core.opened, core.closed)
		}
	}
	t.Cleanup(end)
	return p, sync.OnceFunc(end)
}

func sendTo(conversation string, ref int) []byte {
	return fmt.Appendf(nil, `{"cmd":"send","ref":%d,"data":{"conversation_id":%q,"profile":[{"type":0,"name":"%d"}]}}`, ref, conversation, ref)
}

func TestSendsFollowEachOtherInOrderWithoutWaiting(t *testing.T) {
	t.Parallel()
	core := newGate()
	p, _ := session(t, core)
	for i := range 10 {
		p.in <- sendTo("c", i)
	}
	for i := range 10 {
		if got := (<-core.arrived).Content.Parts[0].Text; got != fmt.Sprint(i) {
			t.Fatalf("send %s arrived in place %d", got, i)
		}
	}
	answered := map[any]bool{}
	for range 10 {
		core.pass <- struct{}{}
		reply := p.next(t)
		if reply.Code != 0 || answered[reply.Ref] {
			t.Fatalf("got %+v", reply)
		}
		answered[reply.Ref] = true
	}
}

func TestTooManySendsInFlightHoldTheReader(t *testing.T) {
	t.Parallel()
	core := newGate()
	p, _ := session(t, core)
	for i := range maxInFlight {
		p.in <- sendTo(fmt.Sprint("c", i), i)
	}
	for range maxInFlight {
		<-core.arrived // all of them, though none is answered
	}
	p.in <- sendTo("c0", 99) // read, but it finds no slot
	select {
	case p.in <- sendTo("c0", 100):
		t.Fatal("the reader goes on though too many sends are in flight")
	case core.pass <- struct{}{}:
	}
	p.next(t)
	p.in <- sendTo("c0", 100) // now there was room for 99
	for range maxInFlight + 1 {
		core.pass <- struct{}{}
		p.next(t)
	}
}

func TestPingIsAnsweredAfterEverythingBefore(t *testing.T) {
	t.Parallel()
	core := newGate()
	p, _ := session(t, core)
	p.in <- sendTo("a", 1)
	p.in <- sendTo("b", 2)
	p.in <- []byte(`{"cmd":"ping","ref":"p"}`)
	<-core.arrived
	<-core.arrived
	if len(p.out) > 0 {
		t.Fatal("the ping overtook a send")
	}
	core.pass <- struct{}{}
	core.pass <- struct{}{}
	p.next(t)
	p.next(t)
	if reply := p.next(t); reply.Ref != "p" {
		t.Errorf("got %+v", reply)
	}
}

func TestASessionEndsWithItsSendsInFlight(t *testing.T) {
	t.Parallel()
	core := newGate()
	p, end := session(t, core)
	for i := range 5 {
		p.in <- sendTo("c", i)
	}
	<-core.arrived
	end() // and every goroutine with it
}

func TestADrainAnswersTheSendsInFlight(t *testing.T) {
	t.Parallel()
	core := newGate()
	p, _ := session(t, core)
	const sends = maxInFlight + 1 // one is read and waits for its turn
	for i := range sends {
		p.in <- sendTo("c", i)
	}
	for range maxInFlight {
		<-core.arrived
	}
	close(p.drain)
	answered := map[any]bool{}
	for range sends {
		core.pass <- struct{}{}
		reply := p.next(t)
		if reply.Code != 0 || answered[reply.Ref] {
			t.Fatalf("got %+v", reply)
		}
		answered[reply.Ref] = true
	}
	<-p.ended
	select {
	case <-p.done:
		t.Error("the session closes the connection, which the transport does")
	default:
	}
}

func TestADrainStopsTheReplay(t *testing.T) {
	t.Parallel()
	core := newGate()
	stopped := make(chan struct{})
	core.resume = func(ctx context.Context, _ []byte, _ func(protocol.Trimmed) []byte) error {
		<-ctx.Done() // a peer that is slow to take it
		close(stopped)
		return ctx.Err()
	}
	p, _ := session(t, core)
	p.in <- sendTo("c", 1)
	<-core.arrived
	close(p.drain)
	<-stopped // before the send is answered, so that there is room for its reply
	core.pass <- struct{}{}
	if reply := p.next(t); reply.Code != 0 {
		t.Errorf("got %+v", reply)
	}
	<-p.ended
}

func TestADrainEndsWithTheConnection(t *testing.T) {
	t.Parallel()
	core := newGate()
	p, end := session(t, core)
	p.in <- sendTo("c", 1)
	<-core.arrived
	close(p.drain)
	end() // though nothing was answered
}

func TestTheSixteenthMalformedFrameInARowEndsTheSession(t *testing.T) {
	t.Parallel()
	core := newGate()
	p, _ := session(t, core)
	bad := func(times int) {
		for range times {
			p.in <- []byte(`{"cmd":"ack","ref":7,"data":{}}`)
			if reply := p.next(t); reply.Code != 400 || reply.Ref != float64(7) {
				t.Fatalf("got %+v", reply)
			}
		}
	}
	bad(maxMalformed - 1)
	p.in <- []byte(`{"cmd":"ping","ref":1}`) // a good one forgives
	p.next(t)
	bad(maxMalformed)
	<-p.done
	if p.reason != protocol.CloseRejected {
		t.Errorf("closed with %v", p.reason)
	}
}

func TestAcknowledgementsAreReadDuringTheReplay(t *testing.T) {
	t.Parallel()
	core := newGate()
	acked := make(chan struct{})
	core.resume = func(ctx context.Context, ready []byte, trimmed func(protocol.Trimmed) []byte) error {
		if got := string(trimmed(protocol.Trimmed{Conversation: "c", From: 1, To: 9})); got != `{"cmd":"trimmed","data":{"conversation_id":"c","from":1,"to":9}}` {
			t.Errorf("trimmed is %s", got)
		}
		if string(ready) != `{"cmd":"ready"}` {
			t.Errorf("ready is %s", ready)
		}
		select {
		case <-acked:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	p, _ := session(t, core)
	p.in <- []byte(`{"cmd":"ack","ref":1,"data":{"conversation_id":"c","seq":1}}`)
	if reply := p.next(t); reply.Code != 0 || reply.Ref != float64(1) {
		t.Errorf("got %+v", reply)
	}
	close(acked)
}

func TestARefusedSessionSaysWhy(t *testing.T) {
	t.Parallel()
	for _, code := range protocol.Codes {
		core := newGate()
		core.refuse = protocol.Errorf(code, "as the test wants")
		p, _ := session(t, core)
		<-p.done
		want := protocol.CloseGoingAway
		switch code {
		case protocol.Unauthenticated, protocol.Forbidden, protocol.NotFound, protocol.Gone:
			want = protocol.CloseRevoked
		}
		if p.reason != want {
			t.Errorf("%v closes with %v, want %v", code, p.reason, want)
		}
	}
}

func TestAFailedReplayAsksToComeAgain(t *testing.T) {
	t.Parallel()
	core := newGate()
	core.resume = func(context.Context, []byte, func(protocol.Trimmed) []byte) error { return errors.New("disk on fire") }
	p, _ := session(t, core)
	<-p.done
	if p.reason != protocol.CloseGoingAway {
		t.Errorf("closed with %v", p.reason)
	}
}

func TestTheTokenMayBeInTheQueryOfTheWebSocketOnly(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	token := s.login(t, "a")
	conn, _, err := websocket.Dial(t.Context(), "ws"+strings.TrimPrefix(s.main.URL, "http")+"/app/ws?token=Tricolor%3C"+token+"%3E", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	if _, frame, err := conn.Read(t.Context()); err != nil || string(frame) != `{"cmd":"ready"}` {
		t.Errorf("got %s, %v", frame, err)
	}
	if status, body := s.do(t, "GET", "/instant/c_conversation?token="+token, "", "", nil); status != 401 {
		t.Errorf("over HTTP: %d %s", status, body)
	}
	if status, body := s.do(t, "GET", "/instant/ws?token=wrong", "", "", nil); status != 401 {
		t.Errorf("a wrong token: %d %s", status, body)
	}
}
