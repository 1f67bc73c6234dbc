//go:build linux

package main

import (
	"context"
	"net/netip"
)

// peer is a server that is measured. It speaks the instant dialect over
// WebSocket as far as a fleet needs it (wire.go), and runs in a process of its
// own.
type peer interface {
	name() string
	addr() netip.AddrPort
	pid() int // 0 when it is not known
	// group makes a group of new users that are logged in.
	group(ctx context.Context, members int) (group, error)
	// close leaves nothing behind.
	close() error
}

// group is one conversation; the first token is the sender's.
type group struct {
	conversation string
	tokens       []string
}
