package instant

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/julienschmidt/httprouter"

	"instantd/protocol"
)

// Limits of a session.
const (
	maxInFlight  = 16 // sends that are not answered yet; the next one waits
	maxMalformed = 16 // malformed frames in a row; then the session is closed
	sessionEnd   = 10 * time.Second
)

// webSocket opens a session (SPEC §6.1). The token may be in the query, because
// browsers cannot set a header here.
func (d *Dialect) webSocket(w http.ResponseWriter, r *http.Request, _ httprouter.Params) {
	query := r.URL.Query()
	token := ParseToken(r.Header.Get("x-token"))
	if token == "" {
		token = ParseToken(query.Get("token"))
	}
	by, err := d.authenticate(r, token)
	if err != nil {
		d.refuse(w, r, err)
		return
	}
	queue, err := d.sessionQueue(r.Context(), by, query.Get("queue") == "1")
	if err != nil {
		d.refuse(w, r, err)
		return
	}
	d.Upgrade(w, r, func(ctx context.Context, conn protocol.Conn) {
		d.serve(ctx, conn, protocol.OpenSession{
			By: by, Token: token, Queue: queue, Encoder: d.encoder, Sink: conn, Transport: conn.Transport(),
		})
	})
}

// sessionQueue is the AMQP queue that a session wants: that of its login, or a
// new one; none when it wants none or there is no broker.
func (d *Dialect) sessionQueue(ctx context.Context, by protocol.Principal, wanted bool) (string, error) {
	if !wanted || d.Broker == nil {
		return "", nil
	}
	user, err := protocol.Do(ctx, d.Core, protocol.UserOf{User: by.User})
	if err != nil {
		return "", err
	}
	if name, ok := ownQueue(user, by.Class); ok {
		return name, nil
	}
	return QueueName(by.User), nil
}

// serve runs one session until its connection ends. It leaves no goroutine and
// no open session behind.
func (d *Dialect) serve(ctx context.Context, conn protocol.Conn, open protocol.OpenSession) {
	session, err := protocol.Do(ctx, d.Core, open)
	if err != nil {
		d.rejected(conn, err)
		return
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sessionEnd)
		defer cancel()
		if _, err := protocol.Do(ctx, d.Core, protocol.CloseSession{By: open.By, Session: session.ID}); err != nil {
			d.Log.Warn("session not closed", "user", open.By.User, "error", err)
		}
	}()
	ctx, cancel := context.WithCancel(ctx)
	replay, stopReplay := context.WithCancel(ctx)
	p := peer{dialect: d, conn: conn, by: open.By, slots: make(chan struct{}, maxInFlight)}
	p.running.Go(func() { p.resume(replay, session) }) // ends when live, or with stopReplay
	draining := p.read(ctx)
	stopReplay()
	if draining {
		p.settle(ctx)
	}
	cancel()
	p.running.Wait()
}

// rejected ends a connection that got no session.
func (d *Dialect) rejected(conn protocol.Conn, err error) {
	switch protocol.CodeOf(err) {
	case protocol.Unauthenticated, protocol.Forbidden, protocol.NotFound, protocol.Gone:
		conn.Close(protocol.CloseRevoked)
		return
	case protocol.Internal:
		d.Log.Error("session not opened", "error", err)
	}
	conn.Close(protocol.CloseGoingAway)
}

// peer is the reading half of one session. Its frames are decoded one after
// another; sends are answered as they are committed.
type peer struct {
	dialect *Dialect
	conn    protocol.Conn
	by      protocol.Principal
	running sync.WaitGroup // the replay, and the sends in flight

	malformed int           // in a row; only the reader touches it
	slots     chan struct{} // one taken by each send that is not answered
}

// resume replays what the session has not acknowledged. Acknowledgements are
// read meanwhile.
func (p *peer) resume(ctx context.Context, session protocol.Session) {
	err := session.Resume(ctx, marshal(envelope{Cmd: cmdReady}), func(t protocol.Trimmed) []byte {
		return marshal(envelope{Cmd: cmdTrimmed, Data: trimmedFrame{t.Conversation, t.From, t.To}})
	})
	if err == nil || ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
		return // live, or the connection is gone
	}
	p.dialect.Log.Warn("session not resumed", "user", p.by.User, "error", err)
	p.conn.Close(protocol.CloseGoingAway)
}

// read handles frames until the connection ends, the server drains or the peer
// is hopeless. It tells whether the server drains: then the sends in flight are
// still to be answered.
func (p *peer) read(ctx context.Context) (draining bool) {
	for {
		body, err := p.conn.Receive(ctx)
		if err != nil {
			return errors.Is(err, protocol.ErrDraining)
		}
		f, err := DecodeFrame(body)
		if err != nil {
			p.refuse(ctx, f.Ref, err)
			if p.malformed++; p.malformed == maxMalformed {
				p.conn.Close(protocol.CloseRejected)
				return false
			}
			continue
		}
		p.malformed = 0
		if !p.handle(ctx, f) {
			return false
		}
	}
}

// handle carries out one frame. False means that the session is over.
func (p *peer) handle(ctx context.Context, f Frame) bool {
	switch {
	case f.Send != nil:
		command := *f.Send
		command.By = p.by
		return p.send(ctx, f.Ref, command)
	case f.Acknowledge != nil:
		command := *f.Acknowledge
		command.By = p.by
		if _, err := protocol.Do(ctx, p.dialect.Core, command); err != nil {
			p.refuse(ctx, f.Ref, err)
			return ctx.Err() == nil
		}
		p.reply(ctx, f.Ref, nil)
	default:
		return p.pong(ctx, f.Ref)
	}
	return ctx.Err() == nil
}

// pong answers a ping after everything before it.
func (p *peer) pong(ctx context.Context, ref json.RawMessage) bool {
	if !p.settle(ctx) {
		return false
	}
	p.reply(ctx, ref, nil)
	return ctx.Err() == nil
}

// settle waits until no send is in flight. False means that ctx ended first.
func (p *peer) settle(ctx context.Context) bool {
	for taken := range maxInFlight {
		select {
		case p.slots <- struct{}{}:
		case <-ctx.Done():
			p.release(taken)
			return false
		}
	}
	p.release(maxInFlight)
	return true
}

func (p *peer) release(slots int) {
	for range slots {
		<-p.slots
	}
}

// send delivers a message right behind the one before it and answers when it
// is committed. It waits while too many are in flight: the peer feels it as
// back-pressure.
func (p *peer) send(ctx context.Context, ref json.RawMessage, command protocol.SendMessage) bool {
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	pending := protocol.Begin(ctx, p.dialect.Core, command)
	p.running.Go(func() { // ends with the answer, or with ctx
		defer p.release(1)
		done, err := pending(ctx)
		if err != nil {
			p.refuse(ctx, ref, err)
			return
		}
		p.reply(ctx, ref, sentFrame{command.Conversation, done.ID, done.Seq, done.Repeated})
	})
	return true
}

// reply answers success, to a frame that has a ref. A connection that is gone
// is noticed by the reader.
func (p *peer) reply(ctx context.Context, ref json.RawMessage, data any) {
	if ref != nil {
		p.conn.Send(ctx, marshal(reply{Cmd: cmdReply, Ref: ref, Data: data}))
	}
}

// refuse answers failure, even to a frame without a ref: silence would look
// like success.
func (p *peer) refuse(ctx context.Context, ref json.RawMessage, err error) {
	if ctx.Err() != nil {
		return
	}
	code := protocol.CodeOf(err)
	if code == protocol.Internal {
		p.dialect.Log.Error("frame failed", "user", p.by.User, "error", err)
	}
	p.conn.Send(ctx, marshal(reply{Cmd: cmdReply, Ref: ref, Code: status(code), Reason: protocol.ReasonOf(err)}))
}
