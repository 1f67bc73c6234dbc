package protocol

// Event is something that happened to one actor's state. The set is closed:
// only this package declares events.
type Event interface{ event() }

// Record is a committed event: it is on disk, and it has its place in the one
// order of the server and, in a conversation, in that conversation's order.
type Record struct {
	ID    MessageID
	Key   Key
	Seq   Seq // 0 for users and the site
	Event Event
}

// Conversation is the conversation that the record belongs to; empty for
// users and the site.
func (r Record) Conversation() ConversationID {
	if r.Key.Kind != KindConversation {
		return ""
	}
	return ConversationID(r.Key.ID)
}

// Message returns the message of a MessageSent record.
func (r Record) Message() (Message, bool) {
	sent, ok := r.Event.(MessageSent)
	if !ok {
		return Message{}, false
	}
	return Message{ID: r.ID, Seq: r.Seq, Conversation: r.Conversation(), MessageSent: sent}, true
}
