package protocol

import (
	"slices"
	"time"
)

// DeviceClass is a kind of device: pc, app, web. A user has at most one token
// per class, the newest wins.
type DeviceClass string

const (
	ClassPC  DeviceClass = "pc"
	ClassApp DeviceClass = "app"
)

// Sex is as the user import says it.
type Sex uint8

const (
	SexUnknown Sex = iota
	SexMale
	SexFemale
)

// Profile is what an import knows of a user.
type Profile struct {
	Name     string     `cbor:"1,keyasint,omitempty"`
	Sex      Sex        `cbor:"2,keyasint,omitempty"`
	Platform PlatformID `cbor:"3,keyasint,omitempty"`
}

// Login is one device class of a user that is online by the center's word.
type Login struct {
	Class    DeviceClass `cbor:"1,keyasint"`
	Token    TokenDigest `cbor:"2,keyasint,omitempty"` // empty: online, but without access
	Platform PlatformID  `cbor:"3,keyasint,omitempty"`
	At       MessageID   `cbor:"4,keyasint,omitempty"`
}

// User is an account.
type User struct {
	ID        UserID    `cbor:"1,keyasint"`
	Number    int64     `cbor:"2,keyasint"` // row number in order of arrival: 1, 2, 3
	Profile   Profile   `cbor:"3,keyasint"`
	Stub      bool      `cbor:"4,keyasint,omitempty"` // named by others, not yet imported
	Deleted   bool      `cbor:"5,keyasint,omitempty"`
	Created   MessageID `cbor:"6,keyasint"`
	Logins    []Login   `cbor:"7,keyasint,omitempty"`
	Queues    []Queue   `cbor:"8,keyasint,omitempty"`
	Online    bool      `cbor:"9,keyasint,omitempty"`
	OfflineAt MessageID `cbor:"10,keyasint,omitempty"` // when he last went offline; Created before the first time
	Caught    MessageID `cbor:"11,keyasint,omitempty"` // end of the offline window, 0 while open
}

// Login returns the login of a device class.
func (u User) Login(class DeviceClass) (Login, bool) {
	for _, l := range u.Logins {
		if l.Class == class {
			return l, true
		}
	}
	return Login{}, false
}

// CreatedAt is when the user became known.
func (u User) CreatedAt() time.Time { return u.Created.Time() }

// Apply returns the user as the record leaves him. The user of the first
// record is the zero User.
func (u User) Apply(r Record) User {
	switch e := r.Event.(type) {
	case UserImported:
		if u.ID == "" {
			u.ID, u.Number, u.Created, u.OfflineAt = UserID(r.Key.ID), e.Number, r.ID, r.ID
		}
		u.Profile, u.Stub, u.Deleted = e.Profile, e.Stub, false
	case UserDeleted:
		u.Deleted = true
	case LoggedIn:
		u.Logins = append(slices.DeleteFunc(slices.Clone(u.Logins), isOf(e.Class)),
			Login{Class: e.Class, Token: e.Token, Platform: e.Platform, At: r.ID})
	case LoggedOut:
		u.Logins = slices.DeleteFunc(slices.Clone(u.Logins), isOf(e.Class))
	case QueueBound:
		u.Queues = append(slices.DeleteFunc(slices.Clone(u.Queues), isNamed(e.Queue.Name)), e.Queue)
	case QueueReleased:
		u.Queues = slices.DeleteFunc(slices.Clone(u.Queues), isNamed(e.Queue.Name))
	case CameOnline:
		u.Online, u.Caught = true, 0
	case WentOffline:
		u.Online, u.OfflineAt, u.Caught = false, r.ID, 0
	case OfflineCaught:
		u.Caught = r.ID
	}
	return u
}

func isOf(class DeviceClass) func(Login) bool {
	return func(l Login) bool { return l.Class == class }
}

func isNamed(queue string) func(Queue) bool {
	return func(q Queue) bool { return q.Name == queue }
}

// ImportUser makes a user known or updates his profile.
type ImportUser struct {
	User    UserID
	Profile Profile
}

func (c ImportUser) Key() Key   { return UserKey(c.User) }
func (ImportUser) answers(User) {}

// NameUser makes sure that a user exists, without a profile if he is new.
type NameUser struct{ User UserID }

func (c NameUser) Key() Key   { return UserKey(c.User) }
func (NameUser) answers(User) {}

// DeleteUser marks a user as deleted, revokes his tokens and ends his
// sessions. Conversations keep him as a deleted person.
type DeleteUser struct{ User UserID }

func (c DeleteUser) Key() Key   { return UserKey(c.User) }
func (DeleteUser) answers(Done) {}

// LogIn puts a device class online with a token, which replaces the class's
// former one and ends the sessions that used it. The same token again changes
// nothing but the queue. Queue names the AMQP queue to bind for this login;
// empty means none.
type LogIn struct {
	User     UserID
	Class    DeviceClass
	Token    Token
	Platform PlatformID
	Queue    string
}

func (c LogIn) Key() Key   { return UserKey(c.User) }
func (LogIn) answers(User) {}

// LogOut takes a device class offline: its token is revoked, its sessions end,
// its queues are released. An unknown class changes nothing. With a Token that
// is not the class's present one it is late, and changes nothing either.
type LogOut struct {
	User  UserID
	Class DeviceClass
	Token Token
}

func (c LogOut) Key() Key   { return UserKey(c.User) }
func (LogOut) answers(Done) {}

// UserOf asks for a user.
type UserOf struct{ User UserID }

func (q UserOf) Key() Key   { return UserKey(q.User) }
func (UserOf) answers(User) {}

// Conversations asks for the conversations that a user is a member of, oldest
// first, with their members.
type Conversations struct{ By Principal }

func (q Conversations) Key() Key       { return UserKey(q.By.User) }
func (Conversations) answers([]Listed) {}

// MaxListed bounds the members in one list of conversations.
const MaxListed = 200_000

// Listed is a conversation in a user's list.
type Listed struct {
	ConversationView
	Deleted map[UserID]bool // members whose account was deleted
	Cut     bool            // Members are left out: the list reached MaxListed
}

// UserImported creates a user or replaces his profile. Number is stamped by
// the commit that creates him.
type UserImported struct {
	Profile Profile `cbor:"1,keyasint"`
	Stub    bool    `cbor:"2,keyasint,omitempty"`
	Number  int64   `cbor:"3,keyasint"` // 0 until committed when the user is new
}

// UserDeleted ends an account.
type UserDeleted struct{}

// LoggedIn replaces the login of a device class.
type LoggedIn struct {
	Class    DeviceClass `cbor:"1,keyasint"`
	Token    TokenDigest `cbor:"2,keyasint,omitempty"`
	Platform PlatformID  `cbor:"3,keyasint,omitempty"`
	Replaced TokenDigest `cbor:"4,keyasint,omitempty"` // no longer in force
}

// LoggedOut ends the login of a device class.
type LoggedOut struct {
	Class   DeviceClass `cbor:"1,keyasint"`
	Revoked TokenDigest `cbor:"2,keyasint,omitempty"`
}

func (UserImported) event() {}
func (UserDeleted) event()  {}
func (LoggedIn) event()     {}
func (LoggedOut) event()    {}
