package actors

import (
	"slices"
	"sync/atomic"

	"instantd/protocol"
)

// maxClasses bounds the device classes of one user that are logged in.
const maxClasses = 16

// user are the rules of one user: his account and logins here, his sessions
// and presence in presence.go, his watermarks in receipt.go.
type user struct {
	core *Core
	id   protocol.UserID
	hold *atomic.Bool // the directory's mark not to retire this actor

	protocol.User
	sessions map[protocol.SessionID]*session
	receipts receipts
}

func newUser(c *Core, id protocol.UserID, e *entry) *user {
	return &user{core: c, id: id, hold: &e.busy, sessions: map[protocol.SessionID]*session{}}
}

// load keeps the sessions, which were never stored, and what is unsaved of the
// receipts.
func (u *user) load(store Store) error {
	account, _, err := store.User(u.id)
	if err != nil {
		return err
	}
	marks, err := store.Watermarks(u.id)
	if err != nil {
		return err
	}
	u.User = account
	u.receipts.load(marks)
	return nil
}

func (u *user) facts(store Store, command any) (f facts, err error) {
	switch cmd := command.(type) {
	case protocol.LogIn:
		if cmd.Token == "" {
			return f, nil
		}
		owner, _, found, err := store.TokenOwner(cmd.Token.Digest())
		return facts{taken: found && owner != u.id}, err
	case protocol.Acknowledge:
		if u.receipts.reaches(cmd.Conversation, cmd.Seq) {
			return facts{in: true, head: cmd.Seq}, nil
		}
		if cmd.Conversation.IsFeed() {
			f.in = slices.Contains(protocol.Feeds, cmd.Conversation)
		} else if _, f.in, err = store.Standing(u.id, cmd.Conversation); err != nil {
			return f, err
		}
		f.head, _, err = store.Head(cmd.Conversation)
	}
	return f, err
}

func (u *user) decide(command any, f facts) (decision, error) {
	switch cmd := command.(type) {
	case protocol.ImportUser:
		return u.importUser(cmd)
	case protocol.NameUser:
		if u.exists() {
			return answer(u.User)
		}
		return u.changed(protocol.UserImported{Stub: true})
	case protocol.LogIn:
		return u.logIn(cmd, f)
	}
	if !u.exists() {
		return decision{}, protocol.Errorf(protocol.NotFound, "no such user")
	}
	switch cmd := command.(type) {
	case protocol.UserOf:
		return answer(u.User)
	case protocol.DeleteUser:
		return u.deleteUser()
	case protocol.LogOut:
		return u.logOut(cmd)
	case protocol.BindQueue:
		return u.bindQueue(cmd)
	case protocol.OpenSession:
		return u.openSession(cmd)
	case protocol.CloseSession:
		return u.closeSession(cmd)
	case protocol.Reconcile:
		return events(u.presence(len(u.Logins), len(u.sessions))...)
	case protocol.Acknowledge:
		return u.acknowledge(cmd, f)
	case protocol.Watermarks:
		return answer(u.receipts.all())
	case saveReceipts:
		return events(u.receipts.advanced()...)
	case protocol.Conversations:
		return answer(reading(func() (any, error) { return u.core.conversations(u.id) }))
	case protocol.Unread:
		return u.unread(cmd)
	case protocol.Offline:
		return u.offline(cmd)
	}
	return decision{}, protocol.Errorf(protocol.Internal, "a user knows no %T", command)
}

func (u *user) exists() bool { return u.ID != "" }

// changed are events whose answer is the user as they leave him.
func (u *user) changed(all ...protocol.Event) (decision, error) {
	return decision{events: all, answer: func([]protocol.Record) (any, error) { return u.User, nil }}, nil
}

func (u *user) importUser(cmd protocol.ImportUser) (decision, error) {
	if u.exists() && !u.Stub && !u.Deleted && u.Profile == cmd.Profile {
		return answer(u.User)
	}
	return u.changed(protocol.UserImported{Profile: cmd.Profile})
}

func (u *user) deleteUser() (decision, error) {
	if u.Deleted {
		return decision{}, nil
	}
	all := []protocol.Event{}
	for _, l := range u.Logins {
		all = append(all, protocol.LoggedOut{Class: l.Class, Revoked: l.Token})
	}
	for _, q := range u.Queues {
		all = append(all, protocol.QueueReleased{Queue: q})
	}
	all = append(all, u.presence(0, 0)...)
	return events(append(all, protocol.UserDeleted{})...)
}

func (u *user) logIn(cmd protocol.LogIn, f facts) (decision, error) {
	if u.Deleted {
		return decision{}, protocol.Errorf(protocol.Gone, "the user was deleted")
	}
	if f.taken {
		return decision{}, protocol.Errorf(protocol.Conflict, "token is the login of another user")
	}
	var all []protocol.Event
	if !u.exists() {
		all = append(all, protocol.UserImported{Stub: true, Profile: protocol.Profile{Platform: cmd.Platform}})
	}
	former, was := u.Login(cmd.Class)
	if !was && len(u.Logins) == maxClasses {
		return decision{}, protocol.Errorf(protocol.TooLarge, "a user is logged in with at most %d device classes", maxClasses)
	}
	// A status without a token is no word about the token.
	renewed := cmd.Token != "" && cmd.Token.Digest() != former.Token
	if !was || renewed {
		login := protocol.LoggedIn{Class: cmd.Class, Platform: cmd.Platform, Replaced: former.Token}
		if cmd.Token != "" {
			login.Token = cmd.Token.Digest()
		}
		all = append(all, login)
	}
	bound, has := u.declaredQueue(cmd.Class)
	if has && renewed {
		all = append(all, protocol.QueueReleased{Queue: bound})
	}
	if cmd.Queue != "" && (!has || renewed) {
		all = append(all, protocol.QueueBound{Queue: protocol.Queue{Name: cmd.Queue, Class: cmd.Class}})
	}
	return u.changed(append(all, u.presence(1, 0)...)...)
}

func (u *user) logOut(cmd protocol.LogOut) (decision, error) {
	login, in := u.Login(cmd.Class)
	if !in || (cmd.Token != "" && cmd.Token.Digest() != login.Token) {
		return decision{}, nil
	}
	all := []protocol.Event{protocol.LoggedOut{Class: login.Class, Revoked: login.Token}}
	for _, q := range u.Queues {
		if q.Class == cmd.Class {
			all = append(all, protocol.QueueReleased{Queue: q})
		}
	}
	left := 0
	for _, s := range u.sessions {
		if s.token != login.Token {
			left++
		}
	}
	return events(append(all, u.presence(len(u.Logins)-1, left)...)...)
}

// declaredQueue is the queue that the server declares for a device class.
func (u *user) declaredQueue(class protocol.DeviceClass) (protocol.Queue, bool) {
	for _, q := range u.Queues {
		if q.Class == class && !q.Declared {
			return q, true
		}
	}
	return protocol.Queue{}, false
}

func (u *user) bindQueue(cmd protocol.BindQueue) (decision, error) {
	class := cmd.Queue.Class
	if class == "" {
		class = cmd.By.Class
	}
	if _, in := u.Login(class); !in {
		return decision{}, protocol.Errorf(protocol.Forbidden, "the device class is not logged in")
	}
	isKnown := slices.ContainsFunc(u.Queues, func(q protocol.Queue) bool { return q.Name == cmd.Queue.Name })
	if !isKnown && len(u.Queues) >= protocol.MaxQueues {
		return decision{}, protocol.Errorf(protocol.TooLarge, "a user has at most %d queues", protocol.MaxQueues)
	}
	var all []protocol.Event
	if former, has := u.declaredQueue(class); has && !cmd.Queue.Declared && former.Name != cmd.Queue.Name {
		all = append(all, protocol.QueueReleased{Queue: former})
	}
	queue := cmd.Queue
	queue.Class = class
	return u.changed(append(all, protocol.QueueBound{Queue: queue})...)
}

func (u *user) apply(r protocol.Record) {
	u.User = u.User.Apply(r)
	switch e := r.Event.(type) {
	case protocol.LoggedIn:
		u.end(e.Replaced)
	case protocol.LoggedOut:
		u.end(e.Revoked)
	case protocol.UserDeleted:
		for _, s := range u.sessions {
			u.drop(s, protocol.CloseRevoked)
		}
	case protocol.ReceiptsAdvanced:
		u.receipts.saved(e.Receipts)
	}
}

// publication tells his neighbours of a user's presence, and his own sessions
// of everything else.
func (u *user) publication(r protocol.Record) *protocol.Publication {
	p := protocol.NewPublication(r)
	switch r.Event.(type) {
	case protocol.CameOnline, protocol.WentOffline:
		in, err := currentConversations(u.core.Store, u.id)
		if err != nil {
			u.core.Log.Error("presence not announced", "user", u.id, "error", err)
		}
		if len(in) == 0 {
			return nil
		}
		p.Conversations = in
		return p
	}
	if len(u.sessions) == 0 {
		return nil
	}
	return p
}

func (u *user) head() protocol.Seq { return 0 }

// currentConversations are those that a user is a member of, oldest first.
func currentConversations(store Store, id protocol.UserID) ([]protocol.ConversationID, error) {
	standings, err := store.Standings(id)
	if err != nil {
		return nil, err
	}
	var in []protocol.ConversationID
	for _, s := range standings {
		if s.Until == 0 {
			in = append(in, s.Conversation)
		}
	}
	return in, nil
}
