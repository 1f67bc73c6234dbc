package persistence

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"

	"instantd/protocol"
)

// The key space. A key is its table's letter and the parts listed here. Ids are
// followed by a zero byte unless they end the key; they hold no control
// character, so that no id is a prefix of another. Numbers are eight bytes, big
// endian, so that keys sort as numbers do. Letters are never reused.
const (
	tableLog          = 'l' // conversation, id, seq        → event; all events of a conversation
	tableOrder        = 'o' // id                           → where the record is (conversation) or the record itself (user, site; kept for Retention)
	tableConversation = 'c' // conversation                 → protocol.Conversation
	tableMember       = 'm' // conversation, user           → member; former ones are kept for Retention
	tableFormer       = 'f' // conversation, user, since    → member; a stay that ended before the user came back, kept for Retention
	tableStanding     = 's' // user, conversation           → the very value of the member row
	tablePair         = 'd' // user, user, line             → conversation; the smaller user id first
	tableClient       = 'k' // conversation, sender, client id → id, seq
	tableUser         = 'u' // user                         → protocol.User
	tableToken        = 't' // digest                       → user, device class
	tableWatermark    = 'w' // user, conversation           → watermark
	tableQueues       = 'q' // user                         → []protocol.Queue; users that have some
	tableOnline       = 'n' // user                         → nothing; users whose stored presence is online
	tableDeleted      = 'x' // user                         → nothing; deleted accounts
	tableSite         = 'S' //                              → protocol.Site
	tablePosition     = 'p' // way                          → id; how far a way out confirmed
	tableState        = '#' // one of the names below       → number
)

// Rows of tableState.
const (
	stateSchema = "schema" // version of the stored form
	stateLast   = "last"   // newest id given out
	stateNumber = "number" // newest User.Number given out
)

// User meta bytes of rows of tableMember and tableStanding, so that they can be
// told apart without reading them.
const metaFormer = 1 // Until is set

const numberSize = 8

// key begins a key. Further parts are appended with part and num.
func key(table byte, size int) []byte { return append(make([]byte, 0, 1+size), table) }

// part appends an id that more parts follow.
func part[S ~string](k []byte, id S) []byte { return append(append(k, id...), 0) }

func num[N ~uint64 | ~int64](k []byte, n N) []byte {
	return binary.BigEndian.AppendUint64(k, uint64(n))
}

func logPrefix(id protocol.ConversationID) []byte {
	return part(key(tableLog, len(id)+1+2*numberSize), id)
}

func logKey(id protocol.ConversationID, at protocol.MessageID, seq protocol.Seq) []byte {
	return num(num(logPrefix(id), at), seq)
}

func orderKey(id protocol.MessageID) []byte {
	return num(key(tableOrder, numberSize), id)
}

func conversationKey(id protocol.ConversationID) []byte {
	return append(key(tableConversation, len(id)), id...)
}

func memberPrefix(table byte, id protocol.ConversationID) []byte {
	return part(key(table, len(id)+1+64), id)
}

func memberKey(id protocol.ConversationID, user protocol.UserID) []byte {
	return append(memberPrefix(tableMember, id), user...)
}

func formerKey(id protocol.ConversationID, user protocol.UserID, since protocol.Seq) []byte {
	return num(part(memberPrefix(tableFormer, id), user), since)
}

func standingPrefix(user protocol.UserID) []byte {
	return part(key(tableStanding, len(user)+1+64), user)
}

func standingKey(user protocol.UserID, id protocol.ConversationID) []byte {
	return append(standingPrefix(user), id...)
}

func pairKey(a, b protocol.UserID, line int) []byte {
	if b < a {
		a, b = b, a
	}
	return num(part(part(key(tablePair, len(a)+len(b)+2+numberSize), a), b), int64(line))
}

func clientKey(id protocol.ConversationID, sender protocol.UserID, clientID string) []byte {
	return append(part(part(key(tableClient, len(id)+len(sender)+2+len(clientID)), id), sender), clientID...)
}

func userKey(table byte, id protocol.UserID) []byte {
	return append(key(table, len(id)), id...)
}

func tokenKey(digest protocol.TokenDigest) []byte {
	return append(key(tableToken, len(digest)), digest...)
}

func watermarkPrefix(user protocol.UserID) []byte {
	return part(key(tableWatermark, len(user)+1+64), user)
}

func watermarkKey(user protocol.UserID, id protocol.ConversationID) []byte {
	return append(watermarkPrefix(user), id...)
}

func positionKey(way string) []byte {
	return append(key(tablePosition, len(way)), way...)
}

func stateKey(name string) []byte {
	return append(key(tableState, len(name)), name...)
}

// splitLog takes a key of tableLog apart.
func splitLog(k []byte) (id protocol.ConversationID, at protocol.MessageID, seq protocol.Seq, err error) {
	n := len(k) - 2*numberSize - 1
	if n < 1 || k[n] != 0 {
		return "", 0, 0, fmt.Errorf("log key of %d bytes is malformed", len(k))
	}
	at, seq = placeOf(k)
	return protocol.ConversationID(k[1:n]), at, seq, nil
}

// placeOf reads the id and the seq that end a key of tableLog.
func placeOf(k []byte) (protocol.MessageID, protocol.Seq) {
	n := len(k)
	return protocol.MessageID(binary.BigEndian.Uint64(k[n-2*numberSize:])), protocol.Seq(binary.BigEndian.Uint64(k[n-numberSize:]))
}

// splitTwo takes a key of two ids apart.
func splitTwo(k []byte) (first, second string, err error) {
	a, b, found := bytes.Cut(k[1:], []byte{0})
	if !found {
		return "", "", fmt.Errorf("key %q has one part, want two", k)
	}
	return string(a), string(b), nil
}

// checkID refuses an id that would break the key space.
func checkID[S ~string](what string, id S) error {
	if id == "" {
		return protocol.Errorf(protocol.Invalid, "%s is missing", what)
	}
	if len(id) > protocol.MaxIDLength {
		return protocol.Errorf(protocol.Invalid, "%s is longer than %d bytes", what, protocol.MaxIDLength)
	}
	if strings.IndexByte(string(id), 0) >= 0 {
		return protocol.Errorf(protocol.Invalid, "%s contains a control character", what)
	}
	return nil
}

// orderID reads the id of a key of tableOrder.
func orderID(k []byte) protocol.MessageID {
	return protocol.MessageID(binary.BigEndian.Uint64(k[1:]))
}
