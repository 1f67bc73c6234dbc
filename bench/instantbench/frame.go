//go:build linux

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Opcodes of WebSocket frames (RFC 6455 §5.2).
const (
	opText   = 0x1
	opBinary = 0x2
	opClose  = 0x8
	opPing   = 0x9
	opPong   = 0xA
)

// maxFrame bounds a frame that a server may send us.
const maxFrame = 16 << 20

// frame is one whole WebSocket frame. Its payload is part of what it was read
// from, and unmasked in place.
type frame struct {
	op      byte
	payload []byte
}

// readFrame takes the first frame from data and returns how long it is there;
// 0 without an error means that the rest of it has not arrived. Fragments and
// extensions are errors: no peer that we measure sends them. masked says which
// side the frame comes from: clients mask.
func readFrame(data []byte, masked bool) (f frame, n int, err error) {
	if len(data) < 2 {
		return frame{}, 0, nil
	}
	if data[0]&0xF0 != 0x80 {
		return frame{}, 0, fmt.Errorf("frame begins with %#x: neither fragments nor extensions are understood", data[0])
	}
	if (data[1]&0x80 != 0) != masked {
		return frame{}, 0, errors.New("frame is masked by the wrong side")
	}
	length, n := uint64(data[1]&0x7F), 2
	switch {
	case length == 126 && len(data) >= 4:
		length, n = uint64(binary.BigEndian.Uint16(data[2:])), 4
	case length == 127 && len(data) >= 10:
		length, n = binary.BigEndian.Uint64(data[2:]), 10
	case length >= 126:
		return frame{}, 0, nil
	}
	if length > maxFrame {
		return frame{}, 0, fmt.Errorf("frame of %d bytes is larger than %d", length, maxFrame)
	}
	head := n
	if masked {
		head += 4
	}
	end := head + int(length)
	if len(data) < end {
		return frame{}, 0, nil
	}
	payload := data[head:end:end]
	if masked {
		mask := data[n:head]
		for i := range payload {
			payload[i] ^= mask[i&3]
		}
	}
	return frame{op: data[0] & 0x0F, payload: payload}, end, nil
}

// appendFrame appends a frame. A mask of zeros satisfies the protocol at no
// cost: what is masked here is not to be hidden from anybody.
func appendFrame(b []byte, op byte, payload []byte, masked bool) []byte {
	b = append(b, 0x80|op)
	bit := byte(0)
	if masked {
		bit = 0x80
	}
	switch n := len(payload); {
	case n < 126:
		b = append(b, bit|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, bit|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, bit|127), uint64(n))
	}
	if masked {
		b = append(b, 0, 0, 0, 0)
	}
	return append(b, payload...)
}
