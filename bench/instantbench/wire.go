//go:build linux

package main

import (
	"bytes"
	"strconv"
	"strings"
)

// What clients and peers say inside frames: the instant dialect
// (protocol/instant/SPEC.md §4.1 and §6.2), read by looking for a few bytes. A
// quote within a JSON text is escaped, so none of these can be in a text.
var (
	prefixMessage = []byte(`{"cmd":"msg"`)
	prefixReply   = []byte(`{"cmd":"reply"`)
	prefixCreated = []byte(`{"cmd":"create_conversation"`)
	prefixReady   = []byte(`{"cmd":"ready"`)
	prefixTrimmed = []byte(`{"cmd":"trimmed"`)
	keySeq        = []byte(`"seq":`)
	keyRef        = []byte(`"ref":`)
	keyCode       = []byte(`"code":`)
	keyText       = []byte(`"name":"`)

	keyConversation = []byte(`"conversation_id":"`)
)

type kind uint8

const (
	notice  kind = iota // anything else; seq is 0 when it has no place in a conversation
	message             // number is what the sender called it, -1 when it is not ours
	reply               // number is the ref, -1 without one; code is 0 for success
	ready
	trimmed
	ping // it wants a pong
	pong // everything before our ping is done
)

// event is what a frame says.
type event struct {
	kind   kind
	seq    uint64
	number int
	code   int
}

// scan reads a frame of a server.
func scan(payload []byte) event {
	switch {
	case bytes.HasPrefix(payload, prefixMessage):
		e := event{kind: message, seq: uint64(max(0, after(payload, keySeq))), number: -1}
		if text := find(payload, keyText); len(text) > 1 && text[0] == '#' {
			e.number = number(text[1:])
		}
		return e
	case bytes.HasPrefix(payload, prefixReply):
		return event{kind: reply, number: after(payload, keyRef), code: after(payload, keyCode)}
	case bytes.HasPrefix(payload, prefixReady):
		return event{kind: ready}
	case bytes.HasPrefix(payload, prefixTrimmed):
		return event{kind: trimmed}
	}
	return event{kind: notice, seq: uint64(max(0, after(payload, keySeq)))}
}

// find returns what follows a key, nil when it is not there.
func find(payload, key []byte) []byte {
	i := bytes.Index(payload, key)
	if i < 0 {
		return nil
	}
	return payload[i+len(key):]
}

// after is the number that follows a key, -1 when there is none.
func after(payload, key []byte) int { return number(find(payload, key)) }

// number is the decimal number at the beginning of b, -1 when there is none.
func number(b []byte) int {
	n, digits := 0, 0
	for digits < len(b) && digits < 18 && b[digits] >= '0' && b[digits] <= '9' {
		n = 10*n + int(b[digits]-'0')
		digits++
	}
	if digits == 0 {
		return -1
	}
	return n
}

// text is what the sender's message number n says: "#n " and as much filling
// as makes size bytes.
func text(n, size int) string {
	head := "#" + strconv.Itoa(n) + " "
	return head + strings.Repeat("x", max(0, size-len(head)))
}

// draft is the JSON of a message. Neither id nor text needs escaping.
func draft(conversation, text string) string {
	return `{"conversation_id":"` + conversation + `","profile":[{"type":0,"name":"` + text + `"}]}`
}

// told is the JSON of a message as instantd tells it to members. Other peers
// carry the same bytes.
func told(seq uint64, text string) string { return toldIn("0123456789abcdef01234567", seq, text) }

// toldIn is the same in a conversation.
func toldIn(conversation string, seq uint64, text string) string {
	return `{"cmd":"msg","data":{"id":"890123456789012","seq":` + strconv.FormatUint(seq, 10) +
		`,"conversation_id":"` + conversation + `","create_time":"20261124120000",` +
		`"publisher_standard_id":"bench-ABCDEFGH-00000","profile":[{"id":0,"type":0,"name":"` + text + `","audio_duration":0}]}}`
}

// sendFrame is the client's frame that sends a draft and wants a reply.
func sendFrame(ref int, draft string) []byte {
	return appendFrame(nil, opText, []byte(`{"cmd":"send","ref":`+strconv.Itoa(ref)+`,"data":`+draft+`}`), true)
}

// ackFrame acknowledges everything up to seq.
func ackFrame(conversation string, seq uint64) []byte {
	return appendFrame(nil, opText,
		[]byte(`{"cmd":"ack","data":{"conversation_id":"`+conversation+`","seq":`+strconv.FormatUint(seq, 10)+`}}`), true)
}

// pingFrame asks for an answer whose ref is no number.
func pingFrame() []byte {
	return appendFrame(nil, opText, []byte(`{"cmd":"ping","ref":"ping"}`), true)
}

// conversationOf is the conversation that a frame belongs to, nil when it
// belongs to none.
func conversationOf(payload []byte) []byte {
	rest := find(payload, keyConversation)
	end := bytes.IndexByte(rest, '"')
	if end < 0 {
		return nil
	}
	return rest[:end]
}
