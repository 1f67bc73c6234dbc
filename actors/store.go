package actors

import "instantd/protocol"

// Store is the durable side of the core. Reads see what is committed and may
// be called by anybody at any time; Commit is called by actors only. A thing
// that does not exist is the zero value and false.
type Store interface {
	// Commit queues a commit without blocking. A full queue refuses it with
	// Unavailable through Done.
	Commit(protocol.Commit)

	// User returns a user as his events left him.
	User(protocol.UserID) (protocol.User, bool, error)
	// IsDeleted tells whether an account was deleted. It costs a map look-up.
	IsDeleted(protocol.UserID) bool
	// TokenOwner returns whose login a token is.
	TokenOwner(protocol.TokenDigest) (protocol.UserID, protocol.DeviceClass, bool, error)
	// Watermarks are all watermarks of a user, by conversation id.
	Watermarks(protocol.UserID) ([]protocol.Watermark, error)
	// Standings are the conversations that a user is or lately was a member of,
	// oldest first, with the newest stay in each.
	Standings(protocol.UserID) ([]protocol.Standing, error)
	// Standing is one of them.
	Standing(protocol.UserID, protocol.ConversationID) (protocol.Standing, bool, error)

	// Stays are the stays of a user in a conversation, oldest first: those that
	// ended lately, and the one that goes on.
	Stays(protocol.UserID, protocol.ConversationID) ([]protocol.Member, error)

	// Site returns the server's settings.
	Site() (protocol.Site, error)

	// Conversation returns a conversation with its members in the order of
	// joining. A dissolved one has none.
	Conversation(protocol.ConversationID) (protocol.ConversationView, bool, error)
	// Direct returns the direct conversation of a pair on a line.
	Direct(a, b protocol.UserID, line int) (protocol.ConversationID, bool, error)
	// Head is the newest Seq of a conversation and its id, 0 when it has none.
	Head(protocol.ConversationID) (protocol.Seq, protocol.MessageID, error)
	// Sent returns the message that a sender named clientID in a conversation.
	Sent(id protocol.ConversationID, sender protocol.UserID, clientID string) (protocol.Sent, bool, error)
	// Find returns a committed record by its id.
	Find(protocol.MessageID) (protocol.Record, bool, error)

	// Before calls visit for the messages of a conversation with a smaller id,
	// newest first, until visit returns false. Before 0 starts at the newest.
	// Erased messages are left out.
	Before(id protocol.ConversationID, before protocol.MessageID, visit func(protocol.Message) bool) error
	// After calls visit for the records of a conversation with a larger id,
	// oldest first, until visit returns false.
	After(id protocol.ConversationID, after protocol.MessageID, visit func(protocol.Record) bool) error
	// Locate finds where to go on after seq, looking back over at most limit
	// records: After(id, at) then begins with the record at Seq first. Records
	// between seq and first are beyond the limit. When nothing follows seq,
	// first is seq+1.
	Locate(id protocol.ConversationID, seq protocol.Seq, limit int) (at protocol.MessageID, first protocol.Seq, err error)
}
