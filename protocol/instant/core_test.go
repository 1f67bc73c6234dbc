package instant

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"instantd/protocol"
)

// memory is a core in one map and one mutex: just enough to serve the dialect's
// own tests. The real rules live in package actors, and the transcripts are
// played against them as well.
type memory struct {
	mu       sync.Mutex
	last     protocol.MessageID
	users    map[protocol.UserID]*account
	talks    map[protocol.ConversationID]*talk
	site     protocol.Site
	sessions map[protocol.SessionID]*live
	fail     error // what Deliver answers instead, when set
	delivers []any // every command, in order
}

type account struct {
	protocol.User
	acknowledged map[protocol.ConversationID]protocol.Seq
}

type talk struct {
	protocol.ConversationView
	log []protocol.Record
}

type live struct {
	protocol.OpenSession
	live bool
	held [][]byte
}

func newMemory() *memory {
	m := &memory{
		users: map[protocol.UserID]*account{}, talks: map[protocol.ConversationID]*talk{},
		sessions: map[protocol.SessionID]*live{},
	}
	for _, feed := range protocol.Feeds {
		m.talks[feed] = &talk{ConversationView: protocol.ConversationView{Conversation: protocol.Conversation{ID: feed, Kind: protocol.Feed}}}
	}
	return m
}

func (m *memory) Authenticate(_ context.Context, token protocol.Token) (protocol.Principal, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, u := range m.users {
		for _, l := range u.Logins {
			if token != "" && l.Token == token.Digest() {
				return protocol.Principal{User: u.ID, Class: l.Class}, nil
			}
		}
	}
	return protocol.Principal{}, protocol.Errorf(protocol.Unauthenticated, "x-token is not in force")
}

func (m *memory) Deliver(_ context.Context, _ protocol.Key, command any) protocol.Pending {
	return protocol.Answered(m.handle(command))
}

func (m *memory) handle(command any) (any, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.delivers = append(m.delivers, command)
	if m.fail != nil {
		return nil, m.fail
	}
	switch c := command.(type) {
	case protocol.ImportUser:
		u := m.user(c.User)
		m.commit(u.key(), protocol.UserImported{Profile: c.Profile, Number: u.Number})
		return u.User, nil
	case protocol.UserOf:
		return m.user(c.User).User, nil
	case protocol.DeleteUser:
		u := m.user(c.User)
		m.commit(u.key(), protocol.UserDeleted{})
		for _, l := range u.Logins {
			m.logOut(u, l.Class)
		}
		return protocol.Done{}, nil
	case protocol.LogIn:
		u := m.user(c.User)
		if old, ok := u.Login(c.Class); ok && old.Token != c.Token.Digest() {
			m.revoke(old.Token)
		}
		m.commit(u.key(), protocol.LoggedIn{Class: c.Class, Token: c.Token.Digest(), Platform: c.Platform})
		if c.Queue != "" {
			m.commit(u.key(), protocol.QueueBound{Queue: protocol.Queue{Name: c.Queue, Class: c.Class}})
		}
		if !u.Online {
			m.commit(u.key(), protocol.CameOnline{})
		}
		return u.User, nil
	case protocol.LogOut:
		m.logOut(m.user(c.User), c.Class)
		return protocol.Done{}, nil
	case protocol.BindQueue:
		u := m.user(c.By.User)
		m.commit(u.key(), protocol.QueueBound{Queue: c.Queue})
		return u.User, nil
	case protocol.SetWaterMark:
		m.commit(protocol.SiteKey(), protocol.WaterMarkChanged{Raw: c.Raw})
		return protocol.Done{}, nil
	case protocol.SetPlatformBroker:
		m.commit(protocol.SiteKey(), protocol.PlatformBrokerChanged{Broker: c.Broker})
		return protocol.Done{}, nil
	case protocol.Acknowledge:
		return m.acknowledge(c)
	case protocol.OpenSession:
		return m.open(c)
	case protocol.CloseSession:
		delete(m.sessions, c.Session)
		return protocol.Done{}, nil
	case protocol.CreateConversation:
		return m.create(c)
	case protocol.Conversations:
		return m.list(c.By.User), nil
	case protocol.Offline:
		return m.offline(c), nil
	case protocol.Unread:
		return m.unread(c)
	}
	return m.inTalk(command)
}

func (a *account) key() protocol.Key { return protocol.UserKey(a.ID) }

func (m *memory) user(id protocol.UserID) *account {
	u, known := m.users[id]
	if !known {
		u = &account{acknowledged: map[protocol.ConversationID]protocol.Seq{}}
		m.users[id] = u
		m.commit(protocol.UserKey(id), protocol.UserImported{Stub: true, Number: int64(len(m.users))})
	}
	return u
}

func (m *memory) logOut(u *account, class protocol.DeviceClass) {
	old, in := u.Login(class)
	if !in {
		return
	}
	m.commit(u.key(), protocol.LoggedOut{Class: class})
	if len(u.Logins) == 0 {
		m.commit(u.key(), protocol.WentOffline{})
	}
	m.revoke(old.Token)
}

func (m *memory) revoke(token protocol.TokenDigest) {
	for id, s := range m.sessions {
		if s.Token.Digest() == token {
			s.Sink.Close(protocol.CloseRevoked)
			delete(m.sessions, id)
		}
	}
}

// commit numbers an event, applies it and pushes it to whom it concerns.
func (m *memory) commit(key protocol.Key, event protocol.Event) protocol.Record {
	m.last = protocol.NextMessageID(m.last, time.Now())
	r := protocol.Record{ID: m.last, Key: key, Event: event}
	var to []protocol.UserID
	switch key.Kind {
	case protocol.KindUser:
		u := m.users[protocol.UserID(key.ID)]
		u.User = u.User.Apply(r)
		to = m.neighbours(u.ID)
	case protocol.KindSite:
		m.site = m.site.Apply(r)
		to = slices.Collect(maps.Keys(m.users))
	case protocol.KindConversation:
		t := m.talks[r.Conversation()]
		t.Head++
		r.Seq = t.Head
		to = t.apply(r)
		if t.Kind == protocol.Feed {
			to = slices.Collect(maps.Keys(m.users))
		}
	}
	m.push(r, to)
	return r
}

func (t *talk) apply(r protocol.Record) []protocol.UserID {
	t.log = append(t.log, r)
	if t.Kind != protocol.Feed {
		t.Conversation = t.Conversation.Apply(r)
	}
	t.Members = append(t.Members, r.Joined()...)
	var to []protocol.UserID
	for _, member := range t.Members {
		to = append(to, member.User)
	}
	for _, gone := range r.Departed() {
		t.Members = slices.DeleteFunc(t.Members, func(member protocol.Member) bool { return member.User == gone.User })
	}
	return to
}

func (m *memory) neighbours(of protocol.UserID) []protocol.UserID {
	var near []protocol.UserID
	for _, t := range m.talks {
		if !t.has(of) {
			continue
		}
		for _, member := range t.Members {
			if member.User != of && !slices.Contains(near, member.User) {
				near = append(near, member.User)
			}
		}
	}
	return near
}

func (t *talk) has(user protocol.UserID) bool {
	return slices.ContainsFunc(t.Members, func(member protocol.Member) bool { return member.User == user })
}

func (m *memory) push(r protocol.Record, to []protocol.UserID) {
	p := protocol.NewPublication(r)
	for _, s := range m.sessions {
		if !slices.Contains(to, s.By.User) {
			continue
		}
		frame, _ := p.Frame(s.Encoder)
		if frame == nil {
			continue
		}
		if !s.live {
			s.held = append(s.held, frame)
			continue
		}
		if !s.Sink.Push(frame) {
			s.Sink.Close(protocol.CloseSlow)
		}
	}
}

func (m *memory) acknowledge(c protocol.Acknowledge) (any, error) {
	t, ok := m.talks[c.Conversation]
	if !ok {
		return nil, protocol.Errorf(protocol.NotFound, "no such conversation")
	}
	if c.Seq > t.Head {
		return nil, protocol.Errorf(protocol.Invalid, "seq is beyond the newest")
	}
	u := m.user(c.By.User)
	u.acknowledged[c.Conversation] = max(u.acknowledged[c.Conversation], c.Seq)
	return protocol.Done{}, nil
}

func (m *memory) open(c protocol.OpenSession) (any, error) {
	u := m.user(c.By.User)
	id := protocol.SessionID(m.last) + protocol.SessionID(len(m.delivers))
	s := &live{OpenSession: c}
	m.sessions[id] = s
	if c.Queue != "" {
		m.commit(u.key(), protocol.QueueBound{Queue: protocol.Queue{Name: c.Queue, Class: c.By.Class}})
	}
	return protocol.Session{ID: id, User: u.User, Resume: func(ctx context.Context, ready []byte, trimmed func(protocol.Trimmed) []byte) error {
		m.mu.Lock()
		frames := m.missing(u, c.Encoder)
		s.held, s.live = nil, true
		for _, frame := range append(frames, ready) {
			if !c.Sink.Push(frame) {
				m.mu.Unlock()
				return fmt.Errorf("the test's sink is full")
			}
		}
		m.mu.Unlock()
		return nil
	}}, nil
}

func (m *memory) missing(u *account, e protocol.Encoder) [][]byte {
	var frames [][]byte
	for _, id := range slices.Sorted(maps.Keys(m.talks)) {
		t := m.talks[id]
		var since protocol.Seq
		for _, member := range t.Members {
			if member.User == u.ID {
				since = member.Since
			}
		}
		for _, r := range t.log {
			in := since != 0 && r.Seq >= since || t.Kind == protocol.Feed && r.ID > u.Created
			if frame := e.Encode(r); in && r.Seq > u.acknowledged[id] && frame != nil {
				frames = append(frames, frame)
			}
		}
	}
	return frames
}

func (m *memory) create(c protocol.CreateConversation) (any, error) {
	if c.ID == "" {
		c.ID = protocol.ConversationID(fmt.Sprintf("c%d", m.last))
	}
	persons := []protocol.UserID{c.By.User}
	if c.Owner == "" {
		c.Owner = c.By.User
	}
	for _, user := range append([]protocol.UserID{c.Owner}, c.Persons...) {
		if !slices.Contains(persons, user) {
			persons = append(persons, user)
		}
	}
	if c.Kind == protocol.Direct && len(persons) != 2 {
		return nil, protocol.Errorf(protocol.Invalid, "a direct conversation has exactly two members")
	}
	for _, t := range m.talks {
		if t.ID == c.ID && t.Ended != 0 {
			return nil, protocol.Errorf(protocol.Conflict, "conversation_id names a dissolved conversation")
		}
		same := t.ID == c.ID && t.Creator == c.By.User
		pair := t.Kind == protocol.Direct && c.Kind == protocol.Direct && t.has(persons[0]) && t.has(persons[1])
		if same || pair {
			t.Existed = true
			return t.ConversationView, nil
		}
		if t.ID == c.ID {
			return nil, protocol.Errorf(protocol.Conflict, "conversation_id is taken")
		}
	}
	members := m.persons(persons)
	t := &talk{}
	m.talks[c.ID] = t
	m.commit(c.Key(), protocol.ConversationCreated{Kind: c.Kind, Name: c.Name, Owner: c.Owner, Creator: c.By.User, Members: members})
	return t.ConversationView, nil
}

func (m *memory) persons(users []protocol.UserID) []protocol.Person {
	var persons []protocol.Person
	for _, id := range users {
		persons = append(persons, protocol.Person{User: id, Number: m.user(id).Number})
	}
	return persons
}

func (m *memory) list(user protocol.UserID) []protocol.Listed {
	var listed []protocol.Listed
	for _, t := range m.talks {
		if !t.has(user) {
			continue
		}
		l := protocol.Listed{ConversationView: t.ConversationView, Deleted: map[protocol.UserID]bool{}}
		for _, member := range t.Members {
			l.Deleted[member.User] = m.user(member.User).Deleted
		}
		listed = append(listed, l)
	}
	slices.SortFunc(listed, func(a, b protocol.Listed) int { return int(a.Created - b.Created) })
	return listed
}

func (m *memory) offline(c protocol.Offline) protocol.CaughtUp {
	u := m.user(c.By.User)
	if u.Caught == 0 {
		m.commit(u.key(), protocol.OfflineCaught{})
	}
	return m.after(u, c.Feed, func(msg protocol.Message) bool {
		return msg.ID > u.OfflineAt && msg.ID < u.Caught && msg.Sender != u.ID
	})
}

func (m *memory) unread(c protocol.Unread) (any, error) {
	u := m.user(c.By.User)
	after := c.After
	if after == 0 {
		after = u.OfflineAt
	}
	if t, ok := m.talks[c.Conversation]; c.Conversation != "" && !c.Conversation.IsFeed() && (!ok || !t.has(u.ID)) {
		return nil, protocol.Errorf(protocol.Forbidden, "not a member of the conversation")
	}
	return m.after(u, c.Conversation, func(msg protocol.Message) bool { return msg.ID > after }), nil
}

func (m *memory) after(u *account, only protocol.ConversationID, wanted func(protocol.Message) bool) (got protocol.CaughtUp) {
	for id, t := range m.talks {
		if only != "" && id != only || only == "" && !t.has(u.ID) {
			continue
		}
		run := protocol.Conversational{Conversation: id}
		for _, r := range t.log {
			if msg, ok := r.Message(); ok && wanted(msg) {
				run.Messages = append(run.Messages, msg)
			}
		}
		if len(run.Messages) > 0 {
			got.Runs = append(got.Runs, run)
		}
	}
	return got
}
