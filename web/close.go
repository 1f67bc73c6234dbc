package web

import (
	"encoding/binary"

	"instantd/protocol"
)

// Every close frame that this server sends. A peer that closes first gets its
// own code back.
const (
	codeNormal    = 1000 // the server's side is done with the connection
	codeGoingAway = 1001 // CloseGoingAway: connect again, elsewhere or later
	codeInternal  = 1011 // a defect of ours
	codeRejected  = 4000 // CloseRejected: the frames made no sense to the dialect
	codeRevoked   = 4001 // CloseRevoked: do not connect again with this token
	codeReplaced  = 4002 // CloseReplaced: do not connect again by yourself
	codeSlow      = 4008 // CloseSlow: connect again, what is missing is replayed
	codeSilent    = 4009 // no answer to a ping: connect again
)

// These are sent by coder/websocket when a peer breaks the WebSocket protocol;
// they are known here only to be told apart in metrics.
const (
	codeProtocolError   = 1002
	codeUnsupportedData = 1003
	codeBadPayload      = 1007
	codeTooBig          = 1009 // beyond WebSocketOptions.ReadLimit
)

// ending is why and how a connection ends.
type ending struct {
	label string // of metrics; a closed set
	frame []byte // the close frame, shared
}

var (
	endDone     = ending{"done", closeFrame(codeNormal, "")}
	endLost     = ending{"lost", closeFrame(codeNormal, "")} // the network is gone; nobody will read the frame
	endBroken   = ending{"broken", closeFrame(codeProtocolError, "broken frame")}
	endSilent   = ending{"silent", closeFrame(codeSilent, "no answer to ping")}
	endInternal = ending{"internal", closeFrame(codeInternal, "internal error")}

	endings = map[protocol.CloseReason]ending{
		protocol.CloseGoingAway: endingOf("going_away", codeGoingAway, protocol.CloseGoingAway),
		protocol.CloseRevoked:   endingOf("revoked", codeRevoked, protocol.CloseRevoked),
		protocol.CloseReplaced:  endingOf("replaced", codeReplaced, protocol.CloseReplaced),
		protocol.CloseSlow:      endingOf("slow", codeSlow, protocol.CloseSlow),
		protocol.CloseRejected:  endingOf("rejected", codeRejected, protocol.CloseRejected),
	}
)

func endingOf(label string, code uint16, reason protocol.CloseReason) ending {
	return ending{label, closeFrame(code, reason.String())}
}

// theirs is the ending for a close frame that coder/websocket wrote: its own
// verdict on the peer, or the answer to the peer's close.
func theirs(frame []byte) ending {
	label := "peer"
	if len(frame) >= 4 {
		switch binary.BigEndian.Uint16(frame[2:]) {
		case codeProtocolError, codeUnsupportedData, codeBadPayload:
			label = "broken"
		case codeTooBig:
			label = "too_large"
		}
	}
	return ending{label, append([]byte(nil), frame...)}
}
