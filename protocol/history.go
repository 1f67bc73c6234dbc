package protocol

// History asks for messages of one conversation, newest first. Members only;
// every user for a feed.
type History struct {
	Conversation ConversationID
	By           Principal
	Before       MessageID // only messages with a smaller id; 0 means from the newest
	Limit        int       // at most this many; 0 means DefaultPage, more than MaxPage means MaxPage
}

// Sizes of pages.
const (
	DefaultPage = 20
	MaxPage     = 200
	MaxCatchUp  = 5_000 // messages in one answer of Unread and Offline

	MaxCatchUpSize = 8 << 20 // bytes of content in it
)

func (q History) Key() Key        { return ConversationKey(q.Conversation) }
func (History) answers([]Message) {}

// CaughtUp is what came in the conversations of a user. More tells that it
// reached a limit: there is more behind it.
type CaughtUp struct {
	Runs []Conversational
	More bool
}

// Unread asks for messages after a point, oldest first, of one conversation or
// of all that the user is a member of: only those sent while he was a member,
// at most MaxCatchUp and MaxCatchUpSize. Without After it starts where the user last went offline.
type Unread struct {
	By           Principal
	Conversation ConversationID // empty means all, without feeds
	After        MessageID      // only messages with a larger id; 0 means since last offline
}

func (q Unread) Key() Key       { return UserKey(q.By.User) }
func (Unread) answers(CaughtUp) {}

// Offline asks for the messages of others that came while the user was
// offline, oldest first. The window closes with the first question after he
// came online; until he goes offline again every answer is the same. With Feed
// it answers for that feed, otherwise for all conversations of the user.
type Offline struct {
	By   Principal
	Feed ConversationID
}

func (q Offline) Key() Key       { return UserKey(q.By.User) }
func (Offline) answers(CaughtUp) {}

// Conversational is a run of messages of one conversation, oldest first.
type Conversational struct {
	Conversation ConversationID
	Messages     []Message
}
