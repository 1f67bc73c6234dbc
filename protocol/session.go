package protocol

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// CloseReason names why the server ends a session.
type CloseReason uint8

const (
	CloseGoingAway CloseReason = iota + 1 // the server shuts down: connect again elsewhere or later
	CloseRevoked                          // the token is no longer in force
	CloseReplaced                         // a newer session took the place
	CloseSlow                             // the queue was full: connect again, what is missing is replayed
	CloseRejected                         // the peer broke the protocol
)

func (r CloseReason) String() string {
	switch r {
	case CloseGoingAway:
		return "server is going away"
	case CloseRevoked:
		return "token revoked"
	case CloseReplaced:
		return "replaced by a newer session"
	case CloseSlow:
		return "too slow, resume by connecting again"
	case CloseRejected:
		return "protocol violation"
	}
	return "closed"
}

// Sink is the sending half of one connection. Frames are shared between
// sessions: nobody may change them after they were handed over.
type Sink interface {
	// Push queues a frame and never blocks. False means that the queue is full;
	// the caller then closes the sink.
	Push(frame []byte) bool
	// Send queues a frame and waits for room. It fails when ctx ends or the
	// sink is closed.
	Send(ctx context.Context, frame []byte) error
	// Close ends the connection with a reason. It never blocks, and only the
	// first call counts.
	Close(reason CloseReason)
}

// ErrDraining is what Receive returns when the server shuts down: nothing more
// is read from the peer, but frames can be sent. The session answers what is in
// flight and ends; its connection is then closed with CloseGoingAway, and after
// a time that the transport sets in any case.
var ErrDraining = errors.New("the connection drains")

// Conn is one connection that carries frames both ways, whatever the transport.
type Conn interface {
	Sink
	// Receive returns the next frame of the peer. Its error ends the session,
	// and ErrDraining lets it answer first what it has received.
	Receive(ctx context.Context) ([]byte, error)
	// Transport is the name of the transport for metrics: ws, sse, poll, tcp.
	Transport() string
}

// Encoder renders committed events for the sessions of one dialect. It must be
// comparable, and its result depends on the record alone.
type Encoder interface {
	// Encode returns the frame for a record, or nil when the dialect has
	// nothing to say about it.
	Encode(Record) []byte
}

// Publication is a committed event on its way to sessions. Its frame is built
// once per dialect, by whoever asks first. Make it with NewPublication.
type Publication struct {
	Record
	// Conversations narrows a user's event to the sessions of these
	// conversations; empty means the user's own sessions.
	Conversations []ConversationID

	mu     sync.Mutex
	frames []encoded
}

type encoded struct {
	by    Encoder
	frame []byte
	err   error
}

// NewPublication readies a record for sessions.
func NewPublication(r Record) *Publication { return &Publication{Record: r} }

// Frame returns the shared frame of a dialect, nil when it has none.
func (p *Publication) Frame(by Encoder) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.frames {
		if e.by == by {
			return e.frame, e.err
		}
	}
	frame, err := Render(by, p.Record)
	p.frames = append(p.frames, encoded{by, frame, err})
	return frame, err
}

// Render encodes a record. A panic of the encoder becomes an error, so that
// one event that a dialect cannot say harms nothing else.
func Render(by Encoder, r Record) (frame []byte, err error) {
	defer func() {
		if recover() != nil { // with what may be content, so it is not passed on
			frame, err = nil, fmt.Errorf("the encoder panicked over %T %s", r.Event, r.ID)
		}
	}()
	return by.Encode(r), nil
}

// OpenSession registers a connection under all conversations of the user. The
// session receives nothing until Resume was called.
type OpenSession struct {
	By        Principal
	Token     Token  // must still be in force
	Queue     string // AMQP queue to bind for the session's class; empty means none
	Encoder   Encoder
	Sink      Sink
	Transport string
}

func (c OpenSession) Key() Key      { return UserKey(c.By.User) }
func (OpenSession) answers(Session) {}

// Session is one live connection of one user, from OpenSession to CloseSession.
type Session struct {
	ID   SessionID
	User User
	// Resume sends everything that the session's device class has not
	// acknowledged, in order, then ready, then goes live. Call it once, from
	// the goroutine that owns the connection. What came meanwhile is neither
	// lost nor doubled. For a conversation that holds more than the replay
	// limit it first calls trimmed, and sends that frame, and then the newest.
	Resume func(ctx context.Context, ready []byte, trimmed func(Trimmed) []byte) error
}

// Trimmed tells that a replay skips what is older: From to To were left out.
type Trimmed struct {
	Conversation ConversationID
	From, To     Seq
}

// CloseSession ends a session. A session that is closed already, or that a
// newer process does not know, changes nothing.
type CloseSession struct {
	By      Principal
	Session SessionID
}

func (c CloseSession) Key() Key   { return UserKey(c.By.User) }
func (CloseSession) answers(Done) {}
