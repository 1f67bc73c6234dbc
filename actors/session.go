package actors

import (
	"context"
	"slices"

	"instantd/protocol"
)

// phase is how far a session got.
type phase uint8

const (
	holding phase = iota // is being brought up to date; what arrives is held
	live                 // is sent what arrives
	closed               // is sent nothing any more
)

// maxHeld bounds what a session holds while it is brought up to date. When it
// is full, events of conversations are thrown away, and the store is read again.
// What no store keeps for a session, such as presence, is held on to, the newest
// maxPassing of them.
const (
	maxHeld    = 1_024
	maxPassing = maxHeld / 4
)

// session is one live connection. The first part never changes, the second
// belongs to the shard.
type session struct {
	id        protocol.SessionID
	user      protocol.UserID
	class     protocol.DeviceClass
	token     protocol.TokenDigest
	sink      protocol.Sink
	encoder   protocol.Encoder
	transport string

	phase    phase
	held     []*protocol.Publication
	overflow bool
	// brought is how far the store brought the session in conversations whose
	// events may be on their way to the shard still.
	brought map[protocol.ConversationID]protocol.Seq
}

func (s *session) hold(p *protocol.Publication) {
	if len(s.held) == maxHeld {
		s.held = slices.DeleteFunc(s.held, func(p *protocol.Publication) bool { return p.Conversation() != "" })
		s.held = s.held[max(0, len(s.held)-maxPassing):]
		s.overflow = true
	}
	if !s.overflow || p.Conversation() == "" {
		s.held = append(s.held, p)
	}
}

// has tells whether the store brought an event already. It forgets a
// conversation with the first event that it did not bring.
func (s *session) has(p *protocol.Publication) bool {
	if s.brought == nil {
		return false
	}
	id := p.Conversation()
	if p.Seq <= s.brought[id] && id != "" {
		return true
	}
	delete(s.brought, id)
	if len(s.brought) == 0 {
		s.brought = nil
	}
	return false
}

// take implements the message of this name.
func (s *session) take(m take) taken {
	if s.phase != holding {
		return taken{live: true}
	}
	t := taken{held: s.held, overflow: s.overflow}
	s.held, s.overflow = nil, false
	if len(t.held) == 0 && !t.overflow && m.ready {
		s.phase, s.brought = live, m.brought
		t.live = true
	}
	return t
}

// replay brings a session up to date: everything from the store that its
// device class has not acknowledged, then what was held meanwhile, then live.
type replay struct {
	core    *Core
	session *session
	shard   *shard
	user    protocol.User
	marks   map[protocol.ConversationID]protocol.Seq // acknowledged by the class
	trimmed func(protocol.Trimmed) []byte

	sent map[protocol.ConversationID]protocol.Seq // the newest that the session was sent
}

func (r *replay) run(ctx context.Context, ready []byte) error {
	if err := r.read(ctx); err != nil {
		return err
	}
	isReady := false
	for {
		t, err := r.take(ctx, isReady)
		if err != nil || t.live {
			return err
		}
		if t.overflow {
			if err := r.read(ctx); err != nil {
				return err
			}
		}
		for _, p := range t.held {
			if err := r.release(ctx, p); err != nil {
				return err
			}
		}
		if !isReady && len(t.held) == 0 && !t.overflow {
			if err := r.session.sink.Send(ctx, ready); err != nil {
				return err
			}
			isReady = true
		}
	}
}

// take asks the shard for what was held meanwhile.
func (r *replay) take(ctx context.Context, ready bool) (taken, error) {
	reply := make(chan taken, 1)
	r.shard.send(take{session: r.session, ready: ready, brought: r.sent, reply: reply})
	select {
	case t := <-reply:
		return t, nil
	case <-r.shard.stop:
		return taken{}, protocol.Errorf(protocol.Unavailable, "the server is shutting down")
	case <-ctx.Done():
		return taken{}, ctx.Err()
	}
}

// release sends what was held, unless the store brought it already.
func (r *replay) release(ctx context.Context, p *protocol.Publication) error {
	if id := p.Conversation(); id != "" {
		if p.Seq <= r.sent[id] {
			return nil
		}
		r.sent[id] = p.Seq
	}
	frame, err := p.Frame(r.session.encoder)
	return r.deliver(ctx, frame, err)
}

// deliver sends a frame, and passes over an event that cannot be encoded.
func (r *replay) deliver(ctx context.Context, frame []byte, err error) error {
	if err != nil {
		r.core.metrics.panics.Inc()
		r.core.Log.Error("event not delivered", "user", r.user.ID, "error", err)
		return nil
	}
	return r.send(ctx, frame)
}

func (r *replay) send(ctx context.Context, frame []byte) error {
	if frame == nil {
		return nil
	}
	if err := r.session.sink.Send(ctx, frame); err != nil {
		return err
	}
	r.core.metrics.deliveries.WithLabelValues(r.session.transport).Inc()
	return nil
}

// read sends what the store has and the session was not sent.
func (r *replay) read(ctx context.Context) error {
	standings, err := r.core.Store.Standings(r.user.ID)
	if err != nil {
		return err
	}
	for _, feed := range protocol.Feeds {
		standings = append(standings, protocol.Standing{
			Conversation: feed,
			Member:       protocol.Member{User: r.user.ID, Since: 1, JoinedID: r.user.Created},
		})
	}
	for _, s := range standings {
		if err := r.conversation(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// replayPage is how many events are read at a time, so that a slow session
// does not keep a read transaction open.
const replayPage = 128

// conversation reads what was not acknowledged of every stay of the user.
func (r *replay) conversation(ctx context.Context, newest protocol.Standing) error {
	stays := []protocol.Member{newest.Member}
	if r.reached(newest.Conversation) < newest.Since-1 && !newest.Conversation.IsFeed() {
		var err error
		if stays, err = r.core.Store.Stays(r.user.ID, newest.Conversation); err != nil {
			return err
		}
	}
	for _, stay := range stays {
		if err := r.stay(ctx, protocol.Standing{Conversation: newest.Conversation, Member: stay}); err != nil {
			return err
		}
	}
	return nil
}

// reached is how far the session needs nothing of a conversation.
func (r *replay) reached(id protocol.ConversationID) protocol.Seq {
	return max(r.marks[id], r.sent[id])
}

func (r *replay) stay(ctx context.Context, s protocol.Standing) error {
	from := max(r.reached(s.Conversation), s.Since-1)
	if s.Until != 0 && from >= s.Until {
		return nil
	}
	at, first, err := r.core.Store.Locate(s.Conversation, from, r.core.ReplayLimit)
	if err != nil {
		return err
	}
	if s.Conversation.IsFeed() && at < s.JoinedID {
		at = s.JoinedID // a feed has no joining event; it begins with the user
	} else if first > from+1 {
		if err := r.trim(ctx, s, from, first); err != nil {
			return err
		}
	}
	for {
		page, err := r.page(s, at)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, record := range page {
			if err := r.record(ctx, record); err != nil {
				return err
			}
			at = record.ID
			if departs(record, s.User) {
				return nil // what follows is not for him, even if it is committed already
			}
		}
	}
}

// trim announces that what follows from, and comes before first, is left out.
func (r *replay) trim(ctx context.Context, s protocol.Standing, from, first protocol.Seq) error {
	lost := protocol.Trimmed{Conversation: s.Conversation, From: from + 1, To: first - 1}
	if s.Until != 0 {
		lost.To = min(lost.To, s.Until)
	}
	if s.Conversation.IsFeed() {
		err := r.core.Store.After(s.Conversation, s.JoinedID, func(first protocol.Record) bool {
			lost.From = max(lost.From, first.Seq)
			return false
		})
		if err != nil {
			return err
		}
	}
	return r.send(ctx, r.trimmed(lost))
}

func (r *replay) page(s protocol.Standing, at protocol.MessageID) ([]protocol.Record, error) {
	var page []protocol.Record
	err := r.core.Store.After(s.Conversation, at, func(record protocol.Record) bool {
		if s.Until != 0 && record.Seq > s.Until {
			return false
		}
		page = append(page, record)
		return len(page) < replayPage
	})
	return page, err
}

func (r *replay) record(ctx context.Context, record protocol.Record) error {
	r.sent[record.Conversation()] = record.Seq
	if receivers := record.Receivers(); receivers != nil && !slices.Contains(receivers, r.user.ID) {
		return nil
	}
	frame, err := protocol.Render(r.session.encoder, record)
	return r.deliver(ctx, frame, err)
}

func departs(record protocol.Record, user protocol.UserID) bool {
	for _, p := range record.Departed() {
		if p.User == user {
			return true
		}
	}
	return false
}
