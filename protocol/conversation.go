package protocol

import (
	"slices"
	"strings"
	"time"
)

// ConversationKind says who may be in a conversation.
type ConversationKind uint8

const (
	Direct ConversationKind = iota + 1 // exactly two, unique per pair and line
	Group
	Feed // everybody; no member list
)

// The feeds: conversations that every user reads. Their ids carry a prefix
// that nobody may choose.
const (
	feedPrefix                   = "feed:"
	BroadcastFeed ConversationID = feedPrefix + "broadcast" // broadcasts
	ReportFeed    ConversationID = feedPrefix + "event"     // located reports of users
)

// Feeds lists every feed.
var Feeds = []ConversationID{BroadcastFeed, ReportFeed}

// IsFeed tells whether an id is that of a feed.
func (id ConversationID) IsFeed() bool { return slices.Contains(Feeds, id) }

// IsReserved tells whether an id is kept for feeds, those to come included.
func (id ConversationID) IsReserved() bool { return strings.HasPrefix(string(id), feedPrefix) }

// Member is one user's standing in one conversation. The owner is the one that
// Conversation.Owner names.
type Member struct {
	User     UserID    `cbor:"1,keyasint"`
	Number   int64     `cbor:"2,keyasint,omitempty"` // the user's row number, see User.Number
	Since    Seq       `cbor:"3,keyasint,omitempty"` // the event that let the user in; the first that he may be sent
	JoinedID MessageID `cbor:"4,keyasint,omitempty"` // the id of that event
	Until    Seq       `cbor:"5,keyasint,omitempty"` // the event that took the user out, the last that he may be sent; 0 while he is in
	LeftID   MessageID `cbor:"6,keyasint,omitempty"` // the id of that event; older servers did not store it
}

// At tells whether the member is to be sent the event at seq.
func (m Member) At(seq Seq) bool { return m.Since <= seq && (m.Until == 0 || seq <= m.Until) }

// In tells whether the member was in right after the event with an id of any
// conversation or user. An end whose id is not known counts as long ago.
func (m Member) In(id MessageID) bool { return m.JoinedID <= id && (m.Until == 0 || id < m.LeftID) }

// Standing is a Member seen from the user.
type Standing struct {
	Conversation ConversationID
	Member
}

// Conversation is what is known of a conversation beside its log.
type Conversation struct {
	ID      ConversationID   `cbor:"1,keyasint"`
	Kind    ConversationKind `cbor:"2,keyasint"`
	Name    string           `cbor:"3,keyasint,omitempty"`
	Owner   UserID           `cbor:"4,keyasint,omitempty"`
	Creator UserID           `cbor:"5,keyasint,omitempty"`
	Line    int              `cbor:"6,keyasint,omitempty"` // separate direct conversations of one pair
	Type    int              `cbor:"7,keyasint,omitempty"` // the creating dialect's own type, handed back to it
	Created MessageID        `cbor:"8,keyasint"`
	Ended   MessageID        `cbor:"9,keyasint,omitempty"` // dissolved at; 0 while open
	Picture string           `cbor:"10,keyasint,omitempty"`
	Archive bool             `cbor:"11,keyasint,omitempty"` // a mark for lists; it stops nothing
}

// CreatedAt is when the conversation was created.
func (c Conversation) CreatedAt() time.Time { return c.Created.Time() }

// Person is a user as a conversation's events name him.
type Person struct {
	User   UserID `cbor:"1,keyasint"`
	Number int64  `cbor:"2,keyasint,omitempty"` // see User.Number
}

// ConversationView is a conversation with its members, in the order in which
// they joined.
type ConversationView struct {
	Conversation
	Members []Member
	Head    Seq // the newest Seq
	Existed bool
}

// CreateConversation opens a conversation. By and Owner become members. An
// empty ID is chosen by the server; an empty Owner is By. The same creator
// naming the same ID again gets the first answer (Existed); another one gets
// Conflict. A direct conversation of a pair that has one on that Line answers
// with the existing one when ID is empty or equal, otherwise Conflict.
// Unknown persons become users without a name.
type CreateConversation struct {
	ID      ConversationID
	By      Principal
	Kind    ConversationKind // Direct or Group
	Name    string
	Owner   UserID
	Persons []UserID
	Line    int
	Type    int

	// Members is Persons, Owner and By resolved by the core; callers leave it empty.
	Members []Person
}

func (c CreateConversation) Key() Key               { return ConversationKey(c.ID) }
func (CreateConversation) answers(ConversationView) {}

// AddMembers lets users into a group. Any member may. Those who are in already
// are passed over; when nobody is left, nothing happens.
type AddMembers struct {
	Conversation ConversationID
	By           Principal
	Persons      []UserID

	// Members is Persons resolved by the core; callers leave it empty.
	Members []Person
}

func (c AddMembers) Key() Key   { return ConversationKey(c.Conversation) }
func (AddMembers) answers(Done) {}

// RemoveMembers expels users from a group. Only the owner may. Those who are
// not in are passed over.
type RemoveMembers struct {
	Conversation ConversationID
	By           Principal
	Persons      []UserID
}

func (c RemoveMembers) Key() Key   { return ConversationKey(c.Conversation) }
func (RemoveMembers) answers(Done) {}

// LeaveConversation takes User out of a group; a direct conversation is not
// left. Users take out themselves. The
// owner is followed by the longest-standing member; the last one out dissolves
// the conversation.
type LeaveConversation struct {
	Conversation ConversationID
	By           Principal
	User         UserID
}

func (c LeaveConversation) Key() Key   { return ConversationKey(c.Conversation) }
func (LeaveConversation) answers(Done) {}

// RenameConversation changes the name. Any member may.
type RenameConversation struct {
	Conversation ConversationID
	By           Principal
	Name         string
}

func (c RenameConversation) Key() Key   { return ConversationKey(c.Conversation) }
func (RenameConversation) answers(Done) {}

// TransferOwnership makes another member the owner. Only the owner may.
type TransferOwnership struct {
	Conversation ConversationID
	By           Principal
	To           UserID
}

func (c TransferOwnership) Key() Key   { return ConversationKey(c.Conversation) }
func (TransferOwnership) answers(Done) {}

// DissolveConversation ends a conversation. Only the owner may. Its id is never
// used again; the pair of a direct one may open another.
type DissolveConversation struct {
	Conversation ConversationID
	By           Principal
}

func (c DissolveConversation) Key() Key   { return ConversationKey(c.Conversation) }
func (DissolveConversation) answers(Done) {}

// ConversationOf asks for a conversation with its members. Members only.
type ConversationOf struct {
	Conversation ConversationID
	By           Principal
}

func (c ConversationOf) Key() Key               { return ConversationKey(c.Conversation) }
func (ConversationOf) answers(ConversationView) {}

// Limits of form, the same for every dialect.
const (
	MaxNameLength = 256    // bytes of a conversation's or user's name
	MaxMembers    = 10_000 // members of one group
)

// Apply returns the conversation as the record leaves it.
func (c Conversation) Apply(r Record) Conversation {
	switch e := r.Event.(type) {
	case ConversationCreated:
		return Conversation{
			ID: r.Conversation(), Kind: e.Kind, Name: e.Name, Owner: e.Owner, Creator: e.Creator,
			Line: e.Line, Type: e.Type, Created: r.ID,
		}
	case ConversationRenamed:
		c.Name = e.Name
	case OwnerChanged:
		c.Owner = e.Owner
	case ConversationDissolved:
		c.Ended = r.ID
	}
	return c
}

// Joined are the members that the record lets in.
func (r Record) Joined() []Member {
	var persons []Person
	switch e := r.Event.(type) {
	case ConversationCreated:
		persons = e.Members
	case MembersAdded:
		persons = e.Members
	}
	members := make([]Member, 0, len(persons))
	for _, p := range persons {
		members = append(members, Member{User: p.User, Number: p.Number, Since: r.Seq, JoinedID: r.ID})
	}
	return members
}

// Departed are those that the record takes out.
func (r Record) Departed() []Person {
	switch e := r.Event.(type) {
	case MembersRemoved:
		return e.Members
	case MemberLeft:
		return []Person{e.Member}
	case ConversationDissolved:
		return e.Members
	}
	return nil
}

// ConversationCreated is the first event of every conversation.
type ConversationCreated struct {
	Kind    ConversationKind `cbor:"1,keyasint"`
	Name    string           `cbor:"2,keyasint,omitempty"`
	Owner   UserID           `cbor:"3,keyasint,omitempty"`
	Creator UserID           `cbor:"4,keyasint,omitempty"`
	Line    int              `cbor:"5,keyasint,omitempty"`
	Type    int              `cbor:"6,keyasint,omitempty"`
	Members []Person         `cbor:"7,keyasint,omitempty"`
}

// MembersAdded lets persons in.
type MembersAdded struct {
	By      UserID   `cbor:"1,keyasint,omitempty"`
	Members []Person `cbor:"2,keyasint"`
}

// MembersRemoved is an expulsion.
type MembersRemoved struct {
	By      UserID   `cbor:"1,keyasint,omitempty"`
	Members []Person `cbor:"2,keyasint"`
}

// MemberLeft is a member who went by himself.
type MemberLeft struct {
	Member Person `cbor:"1,keyasint"`
}

// ConversationRenamed is a new name.
type ConversationRenamed struct {
	By   UserID `cbor:"1,keyasint,omitempty"`
	Name string `cbor:"2,keyasint"`
}

// OwnerChanged is a new owner.
type OwnerChanged struct {
	By    UserID `cbor:"1,keyasint,omitempty"`
	Owner UserID `cbor:"2,keyasint"`
}

// ConversationDissolved is the last event of a conversation. Members are those
// who were in until then.
type ConversationDissolved struct {
	By      UserID   `cbor:"1,keyasint,omitempty"`
	Members []Person `cbor:"2,keyasint,omitempty"`
}

func (ConversationCreated) event()   {}
func (MembersAdded) event()          {}
func (MembersRemoved) event()        {}
func (MemberLeft) event()            {}
func (ConversationRenamed) event()   {}
func (OwnerChanged) event()          {}
func (ConversationDissolved) event() {}
