package instant

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"

	"instantd/protocol"
)

// Compat says how the documented oddities of spelling are served (SPEC §1.5).
// What is accepted does not depend on it.
type Compat string

const (
	Superset Compat = "superset" // both spellings: "path" and "path "
	Literal  Compat = "literal"  // exactly the document's spelling
	Clean    Compat = "clean"    // only the regular spelling
)

// ParseCompat reads the name of a Compat; an empty one is Superset.
func ParseCompat(text string) (Compat, error) {
	switch c := Compat(text); c {
	case "":
		return Superset, nil
	case Superset, Literal, Clean:
		return c, nil
	}
	return "", protocol.Errorf(protocol.Invalid, "compat %q is none of superset, literal, clean", text)
}

// Limits of what a stranger sends.
const (
	MaxBody     = 1 << 20 // bytes of a JSON body, and of the data part of an upload
	MaxBaseBody = 8 << 20 // bytes of one command of the center
	maxDepth    = 32      // nesting of JSON
	maxFrame    = 256 << 10
	maxRef      = 256 // bytes of a frame's ref
	maxToken    = 512
)

// Names of what the server sends (SPEC §4).
const (
	cmdMessage      = "msg"
	cmdBroadcast    = "broadcast"
	cmdEvent        = "event"
	cmdCreate       = "create_conversation"
	cmdQuit         = "quit_conversation"
	cmdRename       = "update_name_conversation"
	cmdJoin         = "join_conversation"
	cmdExpulsion    = "expulsion_conversation"
	cmdOffline      = "offline_conversation"
	cmdOnline       = "online_conversation"
	cmdDissolution  = "dissolution_conversation"
	cmdChangeMaster = "change_master_conversation"
	cmdWaterMark    = "update_water_mark"
	cmdRecall       = "recall"  // extension
	cmdUpdate       = "update"  // extension
	cmdDelete       = "delete"  // extension
	cmdReady        = "ready"   // WebSocket only
	cmdTrimmed      = "trimmed" // WebSocket only
	cmdReply        = "reply"   // WebSocket only
)

// envelope is one event on its way out.
type envelope struct {
	Cmd  string `json:"cmd"`
	Data any    `json:"data,omitempty"`
}

// answer is the body of every HTTP response that is not a file.
type answer struct {
	Code      int    `json:"code"` // 0, or the HTTP status of the failure
	Reason    string `json:"reason,omitempty"`
	Data      any    `json:"data,omitempty"`
	DataBlank any    `json:"data ,omitempty"`
	More      bool   `json:"more,omitempty"` // the answer reached a limit
}

// reply answers a frame of a peer.
type reply struct {
	Cmd    string          `json:"cmd"`
	Ref    json.RawMessage `json:"ref,omitempty"` // as the peer wrote it
	Code   int             `json:"code"`
	Reason string          `json:"reason,omitempty"`
	Data   any             `json:"data,omitempty"`
}

// person names a user. ID is his row number, or in presence notices his
// standard id again.
type person struct {
	ID         any             `json:"id,omitempty"`
	StandardID protocol.UserID `json:"standard_id,omitempty"`
}

type listedPerson struct {
	StandardID protocol.UserID `json:"standard_id"`
	UserStatus int             `json:"user_status"` // 0 normal, 1 deleted
}

type listedConversation struct {
	Name           string                  `json:"name"`
	Type           string                  `json:"type"`
	ConversationID protocol.ConversationID `json:"conversation_id"`
	Master         protocol.UserID         `json:"master_standard_id"`
	Persons        []listedPerson          `json:"persons"`
	More           bool                    `json:"more,omitempty"` // persons are left out
}

type created struct {
	ConversationID protocol.ConversationID `json:"conversation_id"`
	CreateUTCTime  utcTime                 `json:"create_utctime"`
}

// utcTime is written as seconds since 1970 with six decimals.
type utcTime time.Time

func (t utcTime) MarshalJSON() ([]byte, error) {
	micros := time.Time(t).UnixMicro()
	text := strconv.FormatInt(micros/1e6, 10)
	fraction := strconv.FormatInt(1e6+micros%1e6, 10)[1:]
	return []byte(text + "." + fraction), nil
}

// notice is the data of everything that tells of a conversation and is no
// message. Which fields are set depends on the cmd.
type notice struct {
	Seq            protocol.Seq            `json:"seq,omitempty"`
	ConversationID protocol.ConversationID `json:"conversation_id,omitempty"`
	Type           string                  `json:"type,omitempty"`
	Name           *string                 `json:"name,omitempty"`
	Master         *protocol.UserID        `json:"master_standard_id,omitempty"`
	Person         any                     `json:"person,omitempty"`
	Persons        []person                `json:"persons,omitempty"`
}

// changed is the data of recall, update and delete.
type changed struct {
	Seq            protocol.Seq            `json:"seq"`
	ConversationID protocol.ConversationID `json:"conversation_id"`
	ID             string                  `json:"id"`          // of the message
	MessageSeq     protocol.Seq            `json:"message_seq"` // of the message
	Operator       protocol.UserID         `json:"operator_standard_id,omitempty"`
	Body           *string                 `json:"body,omitempty"`
	BodyBlank      *string                 `json:"body ,omitempty"`
	Profile        *[]profile              `json:"profile,omitempty"`
}

// message is a message, a broadcast or an event.
type message struct {
	ID             any                     `json:"id"` // string or number, by place (SPEC §1.5)
	Seq            protocol.Seq            `json:"seq"`
	ConversationID protocol.ConversationID `json:"conversation_id,omitempty"`
	CreateTime     string                  `json:"create_time"`
	Publisher      protocol.UserID         `json:"publisher_standard_id"`
	Longitude      *string                 `json:"longitude,omitempty"`
	Latitude       *string                 `json:"latitude,omitempty"`
	Body           *string                 `json:"body,omitempty"`
	BodyBlank      *string                 `json:"body ,omitempty"`
	State          string                  `json:"state,omitempty"` // recalled, updated
	Profile        []profile               `json:"profile"`
}

type profile struct {
	ID            int     `json:"id"` // place in the message, from 0
	Type          int     `json:"type"`
	Name          string  `json:"name"`
	Path          *string `json:"path,omitempty"`
	PathBlank     *string `json:"path ,omitempty"`
	AudioDuration int     `json:"audio_duration"` // seconds
}

// thread is the messages of one conversation. The document's spelling is
// consistent, so "messeages" is the key.
type thread struct {
	ConversationID protocol.ConversationID `json:"conversation_id"`
	Messeages      []message               `json:"messeages"`
	Messages       *[]message              `json:"messages,omitempty"`
}

type broadcasts struct {
	Broadcasts []message `json:"broadcasts"`
}

type events struct {
	Events []message `json:"events"`
}

type sent struct {
	MessageID protocol.MessageID `json:"msg_id"`
}

// sentFrame is the data of the reply to a send frame.
type sentFrame struct {
	ConversationID protocol.ConversationID `json:"conversation_id"`
	MessageID      protocol.MessageID      `json:"msg_id"`
	Seq            protocol.Seq            `json:"seq"`
	Repeated       bool                    `json:"repeated,omitempty"`
}

type trimmedFrame struct {
	ConversationID protocol.ConversationID `json:"conversation_id"`
	From           protocol.Seq            `json:"from"`
	To             protocol.Seq            `json:"to"`
}

// brokerAnswer tells a client where its AMQP queue is.
type brokerAnswer struct {
	Queue    string `json:"queue,omitempty"`
	Host     string `json:"host"`
	Port     int    `json:"port"`
	User     string `json:"user"`
	Vhost    string `json:"vhost"`
	Password string `json:"password"`
}

// marshal renders a value of this package without escaping HTML, nil when a
// verbatim part of it is no JSON.
func marshal(v any) []byte {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
