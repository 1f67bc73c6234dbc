package protocol

import (
	"slices"
	"time"
)

// Message is what a member said, at a Seq of its conversation.
type Message struct {
	ID           MessageID
	Seq          Seq
	Conversation ConversationID
	MessageSent
}

// At is when the message was committed.
func (m Message) At() time.Time { return m.ID.Time() }

// Limits of a message.
const (
	MaxContentSize    = 64 << 10 // bytes of Content.Size
	MaxParts          = 64
	MaxClientIDLength = 128
)

// SendMessage says something in a conversation; its sender is a member, or
// anybody when the conversation is a feed. A ClientID makes it repeatable: the
// same sender naming the same ClientID in the same conversation again gets the
// first answer (Repeated) and sends nothing.
type SendMessage struct {
	Conversation ConversationID
	By           Principal
	Sender       UserID // empty means By.User; only the system may name another
	ClientID     string
	Content      Content
	To           []UserID // narrows the receivers to these members; empty means everyone
}

func (c SendMessage) Key() Key   { return ConversationKey(c.Conversation) }
func (SendMessage) answers(Sent) {}

// Sent is where a message stands.
type Sent struct {
	ID       MessageID
	Seq      Seq
	Repeated bool // an earlier command with this ClientID sent it
}

// RecallMessage takes a message back: it keeps its place and loses its
// content. Its sender may, and the owner.
type RecallMessage struct {
	Conversation ConversationID
	By           Principal
	Message      MessageID
}

func (c RecallMessage) Key() Key   { return ConversationKey(c.Conversation) }
func (RecallMessage) answers(Done) {}

// UpdateMessage replaces the content of a message. Its sender may.
type UpdateMessage struct {
	Conversation ConversationID
	By           Principal
	Message      MessageID
	Content      Content
}

func (c UpdateMessage) Key() Key   { return ConversationKey(c.Conversation) }
func (UpdateMessage) answers(Done) {}

// DeleteMessage removes a message from everybody's history. Its sender may,
// and the owner.
type DeleteMessage struct {
	Conversation ConversationID
	By           Principal
	Message      MessageID
}

func (c DeleteMessage) Key() Key   { return ConversationKey(c.Conversation) }
func (DeleteMessage) answers(Done) {}

// MessageState says what became of a message after it was sent.
type MessageState uint8

const (
	MessageKept      MessageState = iota
	MessageEdited                 // Content is the newest
	MessageTakenBack              // recalled: Content is empty
	MessageErased                 // deleted: Content is empty, histories leave it out
)

// MessageSent is a message. State and Content show what later events made of
// it; the event itself is always MessageKept.
type MessageSent struct {
	Sender   UserID       `cbor:"1,keyasint"`
	ClientID string       `cbor:"2,keyasint,omitempty"`
	Content  Content      `cbor:"3,keyasint"`
	To       []UserID     `cbor:"4,keyasint,omitempty"`
	State    MessageState `cbor:"5,keyasint,omitempty"`
}

// MessageRecalled takes back the message at Target. Sender and To are those of
// the message, as in the other events about one.
type MessageRecalled struct {
	By      UserID    `cbor:"1,keyasint,omitempty"`
	Target  Seq       `cbor:"2,keyasint"`
	Message MessageID `cbor:"3,keyasint"`
	Sender  UserID    `cbor:"4,keyasint,omitempty"`
	To      []UserID  `cbor:"5,keyasint,omitempty"`
}

// MessageUpdated replaces the content of the message at Target.
type MessageUpdated struct {
	By      UserID    `cbor:"1,keyasint,omitempty"`
	Target  Seq       `cbor:"2,keyasint"`
	Message MessageID `cbor:"3,keyasint"`
	Content Content   `cbor:"4,keyasint"`
	Sender  UserID    `cbor:"5,keyasint,omitempty"`
	To      []UserID  `cbor:"6,keyasint,omitempty"`
}

// MessageDeleted erases the message at Target.
type MessageDeleted struct {
	By      UserID    `cbor:"1,keyasint,omitempty"`
	Target  Seq       `cbor:"2,keyasint"`
	Message MessageID `cbor:"3,keyasint"`
	Sender  UserID    `cbor:"4,keyasint,omitempty"`
	To      []UserID  `cbor:"5,keyasint,omitempty"`
}

// Receivers are those whom a narrowed message, or an event about one, is for:
// its sender and those that it names. nil means every member.
func (r Record) Receivers() []UserID {
	var sender UserID
	var to []UserID
	switch e := r.Event.(type) {
	case MessageSent:
		sender, to = e.Sender, e.To
	case MessageRecalled:
		sender, to = e.Sender, e.To
	case MessageUpdated:
		sender, to = e.Sender, e.To
	case MessageDeleted:
		sender, to = e.Sender, e.To
	}
	if len(to) == 0 {
		return nil
	}
	if slices.Contains(to, sender) {
		return to
	}
	return append(slices.Clone(to), sender)
}

// For tells whether a user is to see the message, as far as it was narrowed.
func (m MessageSent) For(user UserID) bool {
	return len(m.To) == 0 || m.Sender == user || slices.Contains(m.To, user)
}

func (MessageSent) event()     {}
func (MessageRecalled) event() {}
func (MessageUpdated) event()  {}
func (MessageDeleted) event()  {}
