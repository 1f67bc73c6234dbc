package protocol

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"time"
	"unicode/utf8"
)

// UserID names an account. It is opaque: 20-digit national-standard ids, UUIDs
// and numbers all fit.
type UserID string

// ConversationID names a conversation or a feed.
type ConversationID string

// PlatformID names an installation of such a server.
type PlatformID string

// SessionID names one live connection. It is unique while the process runs.
type SessionID uint64

// Seq numbers what happens in one conversation: 1, 2, 3 without a hole.
// Messages and notices share the numbering, so that one watermark covers both.
type Seq uint64

// MaxIDLength bounds ids that a stranger chooses, in bytes. They become names
// of exchanges and queues, which RabbitMQ cuts at 255.
const MaxIDLength = 200

// CheckID tells whether an id may be used as a key: not empty, at most
// MaxIDLength bytes, valid UTF-8, no control character. what names the field.
func CheckID(what, id string) error {
	if id == "" {
		return Errorf(Invalid, "%s is missing", what)
	}
	if len(id) > MaxIDLength {
		return Errorf(Invalid, "%s is longer than %d bytes", what, MaxIDLength)
	}
	return CheckText(what, id)
}

// CheckText refuses what no name or id may hold: control characters and
// broken UTF-8. what names the field.
func CheckText(what, text string) error {
	if !utf8.ValidString(text) {
		return Errorf(Invalid, "%s is not valid UTF-8", what)
	}
	for _, r := range text {
		if r < 0x20 || r == 0x7f || (r >= 0x80 && r < 0xa0) {
			return Errorf(Invalid, "%s contains a control character", what)
		}
	}
	return nil
}

// Token is a login token as the client sends it. It is never stored or logged;
// Digest is.
type Token string

// Digest is what is kept of a token: a hex SHA-256.
func (t Token) Digest() TokenDigest {
	sum := sha256.Sum256([]byte(t))
	return TokenDigest(hex.EncodeToString(sum[:]))
}

// TokenDigest stands for a token without revealing it.
type TokenDigest string

// MessageID is the place of a committed event in the one order of the whole
// server: a positive integer below 2^53, so that JavaScript clients keep it.
// The high 41 bits are milliseconds since MessageEpoch, the low 12 bits a
// sequence within the millisecond. Ids grow strictly with commit order and
// never repeat.
type MessageID int64

const (
	messageSeqBits = 12
	// MaxMessageID is the largest id that JavaScript represents exactly.
	MaxMessageID MessageID = 1<<53 - 1
)

// MessageEpoch is the zero of the time in a MessageID.
var MessageEpoch = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)

// FirstMessageID is the smallest id of the millisecond that holds t. Times
// before the epoch give 0, times beyond the range MaxMessageID.
func FirstMessageID(t time.Time) MessageID {
	if t.Before(MessageEpoch) {
		return 0
	}
	if t.Year() > 2088 {
		return MaxMessageID
	}
	return MessageID(t.Sub(MessageEpoch).Milliseconds() << messageSeqBits)
}

// NextMessageID returns the id that follows last at the time now. When the
// millisecond is full or the clock stepped back it borrows from the next one.
func NextMessageID(last MessageID, now time.Time) MessageID {
	return max(last+1, FirstMessageID(now), 1)
}

// Time is when the event was committed, to the millisecond, in UTC.
func (id MessageID) Time() time.Time {
	return MessageEpoch.Add(time.Duration(id>>messageSeqBits) * time.Millisecond)
}

// Sequence is the place within the millisecond, 0 to 4095.
func (id MessageID) Sequence() int { return int(id & (1<<messageSeqBits - 1)) }

func (id MessageID) String() string { return strconv.FormatInt(int64(id), 10) }

// ParseMessageID reads the decimal form. what names the field in errors.
func ParseMessageID(what, text string) (MessageID, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n <= 0 || MessageID(n) > MaxMessageID {
		return 0, Errorf(Invalid, "%s is not a message id", what)
	}
	return MessageID(n), nil
}
