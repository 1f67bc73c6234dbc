//go:build linux

package main

import "net/url"

// dialect is what the clients of a peer say and hear within WebSocket frames.
// It keeps nothing: every member of a group shares it.
type dialect interface {
	// path is what is asked for to open a session, with its query.
	path(token string) string
	// hello is the frames that a member says first; ready, or pong, is heard
	// when they are done. Those that send hear answers as well.
	hello(sends bool) []byte
	// send is the frame that sends a message.
	send(number int, conversation, text string) []byte
	// ack is the frame that acknowledges everything up to seq, nil when the
	// peer knows no such thing.
	ack(conversation string, seq uint64) []byte
	// pong is the frame that answers a ping event.
	pong() []byte
	// hear reads the first event of a payload and returns how long it is there.
	// An event does not span frames: no peer does that to frames that are no
	// fragments.
	hear(payload []byte) (e event, n int, err error)
}

// instantDialect is that of instantd and the raw peers: one event in a frame.
type instantDialect struct{}

func (instantDialect) path(token string) string { return "/instant/ws?token=" + url.QueryEscape(token) }
func (instantDialect) hello(bool) []byte        { return nil }
func (instantDialect) pong() []byte             { return nil }

func (instantDialect) send(number int, conversation, text string) []byte {
	return sendFrame(number, draft(conversation, text))
}

func (instantDialect) ack(conversation string, seq uint64) []byte { return ackFrame(conversation, seq) }

func (instantDialect) hear(payload []byte) (event, int, error) {
	return scan(payload), len(payload), nil
}
