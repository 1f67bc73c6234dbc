package operator

import "time"

// Paths of the operator's endpoints, all below the admin listener. Ids are
// query parameters, because a path cannot carry every id.
const (
	PathUser         = "/instantd/user"         // GET ?id=
	PathConversation = "/instantd/conversation" // GET ?id=
	PathHistory      = "/instantd/history"      // GET ?id=&limit=&before=
	PathTrace        = "/instantd/trace"        // GET ?id=
	PathBackup       = "/instantd/backup"       // POST; answers a tar stream
	PathBase         = "/instant/base"          // POST; the center's commands
)

// Failure is the body of an answer that is not 200.
type Failure struct {
	Code   int    `json:"code"` // the HTTP status
	Reason string `json:"reason"`
}

// User is everything about an account but its tokens.
type User struct {
	ID            string     `json:"standard_id"`
	Number        int64      `json:"number"`
	Name          string     `json:"name"`
	Sex           string     `json:"sex"` // male, female, unknown
	Platform      string     `json:"platform_id"`
	Stub          bool       `json:"stub"` // named by others, not yet imported
	Deleted       bool       `json:"deleted"`
	Created       time.Time  `json:"created"`
	Online        bool       `json:"online"`
	OfflineSince  *time.Time `json:"offline_since,omitempty"`
	Logins        []Login    `json:"logins"`
	Queues        []Queue    `json:"queues"`
	Conversations []Standing `json:"conversations"`
}

// Login is a device class that is logged in.
type Login struct {
	Class    string    `json:"class"`
	Platform string    `json:"platform_id"`
	Access   bool      `json:"access"` // has a token
	Since    time.Time `json:"since"`
}

// Queue is an AMQP queue that is bound for a user.
type Queue struct {
	Name     string `json:"name"`
	Class    string `json:"class"`
	Declared bool   `json:"declared_by_client"`
}

// Standing is a conversation of a user and how far he got in it.
type Standing struct {
	Conversation string            `json:"conversation_id"`
	Kind         string            `json:"type"`
	Name         string            `json:"name"`
	Members      int               `json:"members"`
	Head         uint64            `json:"head"`      // newest seq
	Delivered    map[string]uint64 `json:"delivered"` // seq, by device class
	Read         uint64            `json:"read"`      // seq
}

// Conversation is a conversation and who is in it.
type Conversation struct {
	ID      string     `json:"conversation_id"`
	Kind    string     `json:"type"` // single, group, feed
	Name    string     `json:"name"`
	Owner   string     `json:"owner"`
	Creator string     `json:"creator"`
	Created time.Time  `json:"created"`
	Ended   *time.Time `json:"ended,omitempty"`
	Head    uint64     `json:"head"`
	Members []Member   `json:"members"`
}

// Member is who is in a conversation, since when.
type Member struct {
	ID     string    `json:"standard_id"`
	Number int64     `json:"number"`
	Since  uint64    `json:"since"` // seq
	Joined time.Time `json:"joined"`
}

// Message is a message as the history shows it.
type Message struct {
	ID      string    `json:"id"`
	Seq     uint64    `json:"seq"`
	Sent    time.Time `json:"sent"`
	Sender  string    `json:"sender"`
	State   string    `json:"state"` // kept, edited, recalled
	Content []Part    `json:"content"`
}

// Part is one piece of a message.
type Part struct {
	Kind    string `json:"kind"`
	Text    string `json:"text,omitempty"`
	Name    string `json:"name,omitempty"`
	Path    string `json:"path,omitempty"`
	MIME    string `json:"mime,omitempty"`
	Size    int64  `json:"size,omitempty"`
	Seconds int    `json:"seconds,omitempty"`
}

// Trace is where a committed event is and how far it got.
type Trace struct {
	ID        string    `json:"id"`
	Committed time.Time `json:"committed"`
	Actor     string    `json:"actor"` // conversation:5f0c
	Seq       uint64    `json:"seq,omitempty"`
	Event     string    `json:"event"`
	AMQP      string    `json:"amqp"`               // off, waiting, confirmed
	Receipts  []Receipt `json:"receipts,omitempty"` // of the receivers, at most MaxReceipts
	More      int       `json:"more_receivers,omitempty"`
}

// MaxReceipts bounds the receivers that a trace looks up.
const MaxReceipts = 200

// Receipt is how far one receiver got with a traced event.
type Receipt struct {
	User      string   `json:"standard_id"`
	Delivered []string `json:"delivered"` // device classes that acknowledged it
	Read      bool     `json:"read"`
}
