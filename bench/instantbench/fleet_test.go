//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"
)

// patience bounds every wait of a test; only one that fails reaches it.
const patience = 20 * time.Second

// listen serves each connection that comes until the test ends.
func listen(t *testing.T, serve func(net.Conn)) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() { // ends with the listener
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go serve(conn) // ends with the connection
		}
	}()
	return netip.MustParseAddrPort(l.Addr().String())
}

// collector counts frames, and is told the end.
type collector struct {
	want   []byte
	left   atomic.Int64
	done   chan struct{}
	broken chan error
}

func (c *collector) read(in input) (int, error) {
	f, n, err := readFrame(in.data, false)
	if err != nil || n == 0 {
		return 0, err
	}
	if !bytes.Equal(f.payload, c.want) {
		return 0, errors.New("another frame came")
	}
	if c.left.Add(-1) == 0 {
		close(c.done)
	}
	return n, nil
}

func (c *collector) ended(err error) { c.broken <- err }

func TestFleetReadsWhatComesInPieces(t *testing.T) {
	t.Parallel()
	payload := bytes.Repeat([]byte("p"), 3*readSize) // larger than a read
	stream := appendFrame(nil, opText, payload, false)
	addr := listen(t, func(conn net.Conn) {
		defer conn.Close()
		for piece := range 3 {
			_, _ = conn.Write(stream[piece*len(stream)/3 : (piece+1)*len(stream)/3])
		}
		_, _ = conn.Read(make([]byte, 1)) // until the fleet hangs up
	})
	f, err := newFleet(2)
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	const clients = 5
	c := &collector{want: payload, done: make(chan struct{}), broken: make(chan error, clients)}
	c.left.Store(clients)
	for range clients {
		fd, err := dial(addr)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.add(&client{fd: fd, in: c}, nil); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-c.done:
	case err := <-c.broken:
		t.Fatal(err)
	case <-time.After(patience):
		t.Fatalf("%d frames did not come", c.left.Load())
	}
}

func TestFleetTellsTheEndOnce(t *testing.T) {
	t.Parallel()
	addr := listen(t, func(conn net.Conn) { _ = conn.Close() })
	f, err := newFleet(1)
	if err != nil {
		t.Fatal(err)
	}
	c := &collector{done: make(chan struct{}), broken: make(chan error, 2)}
	fd, err := dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.add(&client{fd: fd, in: c}, nil); err != nil {
		t.Fatal(err)
	}
	select {
	case <-c.broken:
	case <-time.After(patience):
		t.Fatal("the end is not noticed")
	}
	f.close()
	if len(c.broken) > 0 {
		t.Error("the end is told twice")
	}
}

func TestDialSessionRefusesWhatIsNoWebSocket(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{
		"a refusal":                         "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n",
		"the answer to another key":         "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: x\r\n\r\n",
		"a peer that hangs up":              "",
		"a head that does not end":          "HTTP/1.1 101 " + string(bytes.Repeat([]byte("x"), 8<<10)),
		"something that is not HTTP at all": "220 mail ready\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr := listen(t, func(conn net.Conn) {
				_, _ = conn.Read(make([]byte, 1<<10))
				_, _ = conn.Write([]byte(answer))
				_ = conn.Close()
			})
			if _, _, err := dialSession(addr, "token"); err == nil {
				t.Error("a session is opened")
			}
		})
	}
}

// hears is an audience of one member who is told frames without a network.
func hears(t *testing.T, sent int, frames ...[]byte) (check, error) {
	t.Helper()
	f, err := newFleet(1)
	if err != nil {
		t.Fatal(err)
	}
	a := &audience{fleet: f, group: group{conversation: "c"}, dialect: instantDialect{}, present: make(chan struct{})}
	a.absent.Store(1)
	a.healthy, a.fail = context.WithCancelCause(t.Context())
	m := &member{audience: a}
	a.members = []*member{m}
	book := newLedger(0, 1, 1, 0)
	for range sent {
		if _, err := book.take(now()); err != nil {
			t.Fatal(err)
		}
	}
	a.current.Store(book)
	var stream []byte
	for _, frame := range frames {
		stream = appendFrame(stream, opText, frame, false)
	}
	used, err := m.read(input{data: stream, at: now()})
	if err == nil && used != len(stream) {
		t.Errorf("%d of %d bytes were used", used, len(stream))
	}
	a.close()
	return a.check(sent), err
}

func TestMemberNoticesWhatIsWrong(t *testing.T) {
	t.Parallel()
	said := func(seq uint64, number int) []byte {
		return []byte(`{"cmd":"msg","data":{"id":"1","seq":` + string('0'+rune(seq)) + `,"profile":[{"name":"` + text(number, 16) + `"}]}}`)
	}
	created := []byte(`{"cmd":"create_conversation","data":{"seq":1}}`)
	tests := []struct {
		name   string
		frames [][]byte
		want   check
	}{
		{"two messages in order", [][]byte{created, said(2, 0), said(3, 1)}, check{}},
		{"one that does not come", [][]byte{created, said(2, 0)}, check{Losses: 1}},
		{"one left out", [][]byte{created, said(3, 1)}, check{Losses: 1}},
		{"one twice", [][]byte{created, said(2, 0), said(3, 1), said(3, 1)}, check{Duplicates: 1}},
		{"one that comes late", [][]byte{created, said(3, 1), said(2, 0)}, check{Reordered: 1}},
		{"a notice that is lost", [][]byte{said(2, 0), said(3, 1)}, check{Losses: 1}},
		{"one that nobody sent", [][]byte{created, said(2, 0), said(3, 1), []byte(`{"cmd":"msg","data":{"seq":4,"profile":[]}}`)}, check{Foreign: 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := hears(t, 2, tt.frames...)
			tt.want.Messages, tt.want.Members = 2, 1
			if err != nil || got != tt.want {
				t.Errorf("check = %+v, %v; want %+v", got, err, tt.want)
			}
		})
	}
	for name, frame := range map[string]string{
		"a refusal":         `{"cmd":"reply","ref":1,"code":403}`,
		"messages left out": `{"cmd":"trimmed","data":{}}`,
	} {
		t.Run(name+" end the run", func(t *testing.T) {
			t.Parallel()
			if _, err := hears(t, 0, []byte(frame)); err == nil {
				t.Error("it goes on")
			}
		})
	}
}
