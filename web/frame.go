package web

import "encoding/binary"

// A server's frame, RFC 6455 §5.2: one byte FIN and opcode, one to nine bytes
// of length, payload. Servers do not mask, and we do not fragment.
const (
	fin = 0x80

	opText  = 0x1
	opClose = 0x8
	opPing  = 0x9
	opPong  = 0xa

	opMask = 0x0f

	maxControl = 2 + 125 // bytes of a whole control frame
)

// pingFrame is an empty ping. Its pong needs no matching: anything that the
// peer says proves that it lives.
var pingFrame = []byte{fin | opPing, 0}

// appendText appends a text frame.
func appendText(dst, payload []byte) []byte {
	dst = append(dst, fin|opText)
	switch n := len(payload); {
	case n < 126:
		dst = append(dst, byte(n))
	case n <= 0xffff:
		dst = binary.BigEndian.AppendUint16(append(dst, 126), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, 127), uint64(n))
	}
	return append(dst, payload...)
}

// closeFrame builds a close frame. Text is at most 123 bytes.
func closeFrame(code uint16, text string) []byte {
	frame := []byte{fin | opClose, byte(2 + len(text))}
	frame = binary.BigEndian.AppendUint16(frame, code)
	return append(frame, text...)
}
