//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
)

// maxUpgrade bounds the head of the answer to a handshake.
const maxUpgrade = 4 << 10

// upgradeRequest asks for a WebSocket session.
func upgradeRequest(addr netip.AddrPort, path string) []byte {
	return []byte("GET " + path + " HTTP/1.1\r\nHost: " + addr.String() +
		"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + handshakeKey + "\r\n\r\n")
}

// readUpgrade takes the answer to a handshake from data and returns how long it
// is; 0 without an error means that the rest has not arrived.
func readUpgrade(data []byte) (int, error) {
	end := bytes.Index(data, headEnd)
	if end < 0 && len(data) > maxUpgrade {
		return 0, errors.New("the answer to a handshake has too long a head")
	}
	if end < 0 {
		return 0, nil
	}
	head := data[:end]
	if !bytes.HasPrefix(head, []byte("HTTP/1.1 101 ")) {
		return 0, fmt.Errorf("the server refused a session: %.200q", data)
	}
	if !bytes.Contains(head, []byte(acceptOf(handshakeKey))) {
		return 0, errors.New("the answer to a handshake does not belong to the key")
	}
	return end + len(headEnd), nil
}

// closeText is what a close frame says.
func closeText(payload []byte) string {
	if len(payload) < 2 {
		return "no reason"
	}
	return fmt.Sprintf("%d %s", int(payload[0])<<8|int(payload[1]), payload[2:])
}
