package protocol

import "context"

// Outbox is the committed events in commit order, as a way out of the process
// reads them. Each way out has a name and keeps how far its receivers
// confirmed; it starts at the newest event when it is new.
type Outbox interface {
	// Position is the last id that a way out confirmed.
	Position(way string) (MessageID, error)
	// Read returns at most limit records after an id, oldest first.
	Read(after MessageID, limit int) ([]Record, error)
	// Wait returns when something newer than after is committed, or with the
	// error of ctx.
	Wait(ctx context.Context, after MessageID) error
	// Confirm stores that a way out got as far as id. A crash may forget the
	// newest confirmations; what follows them is then published again.
	Confirm(way string, id MessageID) error
	// Depth counts the records after a way out's position.
	Depth(way string) (int, error)
}

// Roster answers who belongs where, from what is committed. It knows stays that
// ended for as long as the store keeps them, which is weeks.
type Roster interface {
	// MembersAt are those who are to be sent the event at seq of a conversation,
	// in the order of joining: its members after the event, and those whom it
	// took out.
	MembersAt(id ConversationID, seq Seq) ([]Member, error)
	// ConversationsAt are the conversations that a user was a member of right
	// after an event, and those that he joined only later. A conversation is in
	// one of the two at most.
	ConversationsAt(user UserID, at MessageID) (in, later []ConversationID, err error)
	// Neighbours are all users that shared a conversation with a user right
	// after an event; without him.
	Neighbours(user UserID, at MessageID) ([]UserID, error)
	// EachQueue calls visit for every user that has queues, in order of user id.
	EachQueue(visit func(UserID, []Queue) error) error
	// EachConversation calls visit for every open conversation.
	EachConversation(visit func(ConversationID) error) error
	// EachOnline calls visit for every user whose stored presence is online.
	EachOnline(visit func(UserID) error) error
}
