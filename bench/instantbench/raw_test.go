//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// A member that is told that it is ready must get whatever is published then.
func TestRawMembersMissNothing(t *testing.T) {
	for name, joined := range map[string]bool{"RAW": false, "RAW-C": true} {
		t.Run(name, func(t *testing.T) {
			ctx, stop := context.WithCancel(t.Context())
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- serveRaw(ctx, listener, joined) }() // ends with stop
			addr := netip.MustParseAddrPort(listener.Addr().String())
			sender := rawMember(t, addr)
			for number := range 200 {
				m := rawMember(t, addr)
				if _, err := unix.Write(sender.fd, sendFrame(number, draft("raw", text(number, 20)))); err != nil {
					t.Fatal(err)
				}
				e := m.hear(t)
				for e.kind == message && e.number < number {
					e = m.hear(t) // published before, and still on its way when he came
				}
				if e.kind != message || e.number != number {
					t.Fatalf("after ready member %d hears %+v, want message %d", number, e, number)
				}
				_ = unix.Close(m.fd)
			}
			_ = unix.Close(sender.fd)
			stop()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
}

// rawClient reads frame after frame.
type rawClient struct {
	fd  int
	buf []byte
}

// rawMember opens a session and hears that it is ready.
func rawMember(t *testing.T, addr netip.AddrPort) *rawClient {
	t.Helper()
	fd, rest, err := dialSession(addr, "")
	if err != nil {
		t.Fatal(err)
	}
	c := &rawClient{fd: fd, buf: bytes.Clone(rest)}
	if e := c.hear(t); e.kind != ready {
		t.Fatalf("the first event is %+v", e)
	}
	return c
}

// hear waits for a frame, as long as a handshake may take.
func (c *rawClient) hear(t *testing.T) event {
	t.Helper()
	for {
		f, n, err := readFrame(c.buf, false)
		if err != nil {
			t.Fatal(err)
		}
		if n > 0 {
			e := scan(f.payload)
			c.buf = c.buf[n:]
			return e
		}
		piece := make([]byte, 4<<10)
		n, err = unix.Read(c.fd, piece)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n == 0 {
			t.Fatalf("read %d bytes, %v", n, err)
		}
		c.buf = append(c.buf, piece[:n]...)
	}
}
