package actors

import (
	"context"
	"maps"
	"slices"

	"instantd/protocol"
)

// presence is the event that makes the stored presence agree with so many
// logins and sessions, if one is needed.
func (u *user) presence(logins, sessions int) []protocol.Event {
	online := logins+sessions > 0
	switch {
	case online && !u.Online:
		return []protocol.Event{protocol.CameOnline{}}
	case !online && u.Online:
		return []protocol.Event{protocol.WentOffline{}}
	}
	return nil
}

func (u *user) openSession(cmd protocol.OpenSession) (decision, error) {
	digest := cmd.Token.Digest()
	login, in := u.Login(cmd.By.Class)
	if !in || login.Token == "" || login.Token != digest {
		return decision{}, protocol.Errorf(protocol.Unauthenticated, "token is not in force")
	}
	all := u.presence(len(u.Logins), 1)
	if _, has := u.declaredQueue(login.Class); cmd.Queue != "" && !has {
		if len(u.Queues) >= protocol.MaxQueues {
			return decision{}, protocol.Errorf(protocol.TooLarge, "a user has at most %d queues", protocol.MaxQueues)
		}
		all = append(all, protocol.QueueBound{Queue: protocol.Queue{Name: cmd.Queue, Class: login.Class}})
	}
	s := &session{
		id: protocol.SessionID(u.core.sessionIDs.Add(1)), user: u.id, class: login.Class, token: digest,
		sink: cmd.Sink, encoder: cmd.Encoder, transport: cmd.Transport,
	}
	return decision{
		events: all,
		answer: func([]protocol.Record) (any, error) { return u.begin(s) },
	}, nil
}

// begin makes a session part of the index. The order matters: register first,
// then read the conversations, so that no joining falls between.
func (u *user) begin(s *session) (protocol.Session, error) {
	if len(u.sessions) >= u.core.MaxSessions {
		oldest := slices.Min(slices.Collect(maps.Keys(u.sessions)))
		u.drop(u.sessions[oldest], protocol.CloseReplaced)
	}
	u.hold.Store(true) // before the answer: from now on there is something to lose
	u.sessions[s.id] = s
	u.core.metrics.sessions.WithLabelValues(s.transport).Inc()
	shard := u.core.shards.of(u.id)
	shard.send(register{s})
	in, err := currentConversations(u.core.Store, u.id)
	if err != nil {
		u.drop(s, protocol.CloseGoingAway)
		return protocol.Session{}, err
	}
	shard.send(subscribe{u.id, in})
	marks := u.receipts.of(s.class)
	account := u.User
	resume := func(ctx context.Context, ready []byte, trimmed func(protocol.Trimmed) []byte) error {
		r := replay{
			core: u.core, session: s, shard: shard, user: account, marks: marks, trimmed: trimmed,
			sent: map[protocol.ConversationID]protocol.Seq{},
		}
		return r.run(ctx, ready)
	}
	return protocol.Session{ID: s.id, User: account, Resume: resume}, nil
}

// closeSession forgets the session whatever the store says: the connection is
// gone. It also saves what the session acknowledged.
func (u *user) closeSession(cmd protocol.CloseSession) (decision, error) {
	s, open := u.sessions[cmd.Session]
	if !open {
		return decision{}, nil
	}
	u.drop(s, protocol.CloseGoingAway)
	return events(append(u.receipts.advanced(), u.presence(len(u.Logins), len(u.sessions))...)...)
}

// end closes the sessions of a token that is no longer in force.
func (u *user) end(token protocol.TokenDigest) {
	for _, s := range maps.Clone(u.sessions) {
		if token != "" && s.token == token {
			u.drop(s, protocol.CloseRevoked)
		}
	}
}

func (u *user) drop(s *session, reason protocol.CloseReason) {
	delete(u.sessions, s.id)
	u.core.metrics.sessions.WithLabelValues(s.transport).Dec()
	u.core.shards.of(u.id).send(unregister{s})
	s.sink.Close(reason)
}

func (u *user) busy() bool { return len(u.sessions) > 0 }
