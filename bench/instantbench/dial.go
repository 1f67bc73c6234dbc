//go:build linux

package main

import (
	"context"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// dialers bounds what is prepared at once: handshakes, groups.
const dialers = 16

// handshakeTime bounds each step of a handshake.
var handshakeTime = unix.Timeval{Sec: 20}

// dial connects to an address. The descriptor blocks. Go's own connections
// would wake the runtime's poller for every frame.
func dial(addr netip.AddrPort) (fd int, err error) {
	family, sockaddr := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Port: int(addr.Port()), Addr: addr.Addr().As16()})
	if addr.Addr().Unmap().Is4() {
		family, sockaddr = unix.AF_INET, &unix.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().Unmap().As4()}
	}
	fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("make socket: %w", err)
	}
	for _, set := range []func() error{
		func() error { return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1) },
		func() error { return unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &handshakeTime) },
		func() error { return unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &handshakeTime) },
		func() error { return connect(fd, sockaddr) },
	} {
		if err := set(); err != nil {
			_ = unix.Close(fd)
			return 0, fmt.Errorf("connect to %s: %w", addr, err)
		}
	}
	return fd, nil
}

// connect is connect(2). A connect that a signal interrupted goes on by itself;
// the end of that is waited for.
func connect(fd int, to unix.Sockaddr) error {
	err := unix.Connect(fd, to)
	for errors.Is(err, unix.EINTR) {
		var n int
		n, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, int(handshakeTime.Sec)*1_000)
		if err == nil && n == 0 {
			return unix.ETIMEDOUT
		}
		if err != nil {
			continue
		}
		var outcome int
		if outcome, err = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR); err == nil && outcome != 0 {
			return unix.Errno(outcome)
		}
	}
	return err
}

// The key of a handshake and what a server makes of it (RFC 6455 §4.2.2). A
// fixed key serves a client that no proxy stands before.
const (
	handshakeKey  = "aW5zdGFudGJlbmNoLWtleQ=="
	handshakeGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
)

func acceptOf(key string) string {
	sum := sha1.Sum([]byte(key + handshakeGUID))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// dialSession opens a WebSocket session of the instant dialect. rest is what
// came right behind the handshake.
func dialSession(addr netip.AddrPort, token string) (fd int, rest []byte, err error) {
	return dialPath(addr, instantDialect{}.path(token))
}

// dialPath opens a WebSocket session at a path.
func dialPath(addr netip.AddrPort, path string) (fd int, rest []byte, err error) {
	fd, err = dial(addr)
	if err != nil {
		return 0, nil, err
	}
	if rest, err = handshake(fd, addr, path); err != nil {
		_ = unix.Close(fd)
		return 0, nil, fmt.Errorf("open session at %s: %w", addr, err)
	}
	return fd, rest, nil
}

func handshake(fd int, addr netip.AddrPort, path string) (rest []byte, err error) {
	for unsent := upgradeRequest(addr, path); len(unsent) > 0; {
		n, err := unix.Write(fd, unsent)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return nil, err
		}
		unsent = unsent[max(n, 0):]
	}
	buf, n := make([]byte, maxUpgrade+1), 0 // what is longer is refused
	for {
		read, err := unix.Read(fd, buf[n:])
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if read == 0 {
			return nil, errors.New("the server hung up")
		}
		n += read
		head, err := readUpgrade(buf[:n])
		if err != nil {
			return nil, err
		}
		if head > 0 {
			return buf[head:n], nil
		}
	}
}

// forEach calls do for 0 to n-1, some at once, and stops at the first error.
func forEach(ctx context.Context, n int, do func(i int) error) error {
	group, ctx := errgroup.WithContext(ctx) // ends with the last call
	group.SetLimit(dialers)
	for i := range n {
		group.Go(func() error {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return do(i)
		})
	}
	return group.Wait()
}
