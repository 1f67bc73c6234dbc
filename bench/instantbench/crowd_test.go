//go:build linux

package main

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// visits tells frames to a session of a user in rooms a and b, without a network.
func visits(t *testing.T, sent int, frames ...string) (check, error) {
	t.Helper()
	f, err := newFleet(1)
	if err != nil {
		t.Fatal(err)
	}
	people := newCommunity([]string{"t"}, []*room{
		{conversation: "a", members: []int{0}, sent: sent}, {conversation: "b", members: []int{0}},
	}, instantDialect{})
	all := newCrowd(t.Context(), f, netip.AddrPort{}, people)
	c := &caller{crowd: all, resident: people.residents[0], accepted: true, client: &client{fd: devNull(t)}}
	var stream []byte
	for _, frame := range frames {
		stream = appendFrame(stream, opText, []byte(frame), false)
	}
	used, err := c.read(input{data: stream, at: now()})
	if err == nil && used != len(stream) {
		t.Errorf("%d of %d bytes were used", used, len(stream))
	}
	all.close()
	return people.check(1), err
}

func TestCallerNoticesWhatIsWrong(t *testing.T) {
	t.Parallel()
	const (
		createdA = `{"cmd":"create_conversation","data":{"seq":1,"conversation_id":"a"}}`
		createdB = `{"cmd":"create_conversation","data":{"seq":1,"conversation_id":"b"}}`
		first    = `{"cmd":"msg","data":{"seq":2,"conversation_id":"a","profile":[{"name":"#0 x"}]}}`
		second   = `{"cmd":"msg","data":{"seq":3,"conversation_id":"a","profile":[{"name":"#1 x"}]}}`
		ready    = `{"cmd":"ready"}`
	)
	tests := []struct {
		name   string
		frames []string
		want   check
		broken string // part of the error that ends the run
	}{
		{"everything, and then ready", []string{createdB, createdA, first, second, ready}, check{}, ""},
		{"a loss at the end", []string{createdA, createdB, first}, check{Losses: 1}, ""},
		{"a loss between", []string{createdA, createdB, second}, check{Losses: 1}, ""},
		{"a message twice", []string{createdA, createdB, first, second, second}, check{Duplicates: 1}, ""},
		{"messages in the wrong order", []string{createdA, createdB, second, first}, check{Reordered: 1}, ""},
		{"a conversation of others", []string{createdA, createdB, first, second, strings.Replace(first, `"a"`, `"c"`, 1)}, check{Foreign: 1}, ""},
		{"a message of one conversation in another", []string{createdA, createdB, first, strings.Replace(second, `"a"`, `"b"`, 1)}, check{Losses: 2}, ""},
		{"ready before everything", []string{createdA, createdB, first, ready}, check{Losses: 1}, "seq 2 of 3"},
		{"ready twice", []string{createdA, createdB, first, second, ready, ready}, check{}, "twice"},
		{"messages left out", []string{createdA, createdB, first, second, `{"cmd":"trimmed","data":{}}`}, check{}, "left messages out"},
		{"a refusal", []string{createdA, createdB, first, second, `{"cmd":"reply","ref":"ping","code":503}`}, check{}, "503"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := visits(t, 2, tt.frames...)
			tt.want.Messages, tt.want.Members = 2, 1
			if got != tt.want {
				t.Errorf("check = %+v, want %+v", got, tt.want)
			}
			if (err != nil) != (tt.broken != "") || err != nil && !strings.Contains(err.Error(), tt.broken) {
				t.Errorf("error = %v, want one that says %q", err, tt.broken)
			}
		})
	}
}

func TestCommunityPutsUsersIntoRooms(t *testing.T) {
	t.Parallel()
	if got := neighbours(5, 2); len(got) != 3 || !slices.Equal(got[2], []int{4}) {
		t.Errorf("neighbours = %v", got)
	}
	rooms := mixed(30, 100, 20)
	for i, room := range rooms {
		slices.Sort(room)
		if len(room) != 20 || len(slices.Compact(room)) != 20 || room[19] >= 30 {
			t.Errorf("room %d has %v", i, room)
		}
	}
}

func TestLatch(t *testing.T) {
	t.Parallel()
	l := newLatch(3)
	for range 3 {
		go l.count() // ends at once
	}
	if err := l.wait(t.Context(), "are missing"); err != nil {
		t.Error(err)
	}
	l.count() // one too many
}

func TestReadUpgrade(t *testing.T) {
	t.Parallel()
	good := "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: " + acceptOf(handshakeKey) + "\r\n\r\n"
	for n := range len(good) {
		if used, err := readUpgrade([]byte(good[:n])); used != 0 || err != nil {
			t.Fatalf("of %d bytes %d are used: %v", n, used, err)
		}
	}
	if used, err := readUpgrade([]byte(good + "more")); used != len(good) || err != nil {
		t.Errorf("%d of %d bytes are used: %v", used, len(good), err)
	}
	for name, bad := range map[string]string{
		"a refusal":                 "HTTP/1.1 503 Service Unavailable\r\n\r\n",
		"the answer to another key": "HTTP/1.1 101 Switching Protocols\r\n\r\n",
		"a head that does not end":  "HTTP/1.1 101 " + strings.Repeat("x", maxUpgrade),
	} {
		if _, err := readUpgrade([]byte(bad)); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

// asks opens a desk at a server that says the same to every request.
func asks(t *testing.T, says string, done done) error {
	t.Helper()
	addr := listen(t, func(conn net.Conn) {
		defer conn.Close()
		buf := make([]byte, 4<<10)
		for {
			if _, err := conn.Read(buf); err != nil {
				return
			}
			if _, err := conn.Write([]byte(says)); err != nil || says == "" {
				return
			}
		}
	})
	f, err := newFleet(1)
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	d, err := newDesk(t.Context(), f, addr, 2)
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	for range 5 {
		if err := d.ask([]byte("GET / HTTP/1.1\r\n\r\n"), done); err != nil {
			return err
		}
	}
	return d.drain()
}

func TestDeskAsks(t *testing.T) {
	t.Parallel()
	got := make(chan string, 5)
	err := asks(t, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", func(in input, begun int64, a answer) error {
		if begun <= 0 || begun > in.at || in.at > now()+int64(time.Second) {
			t.Errorf("sent at %d, answered at %d", begun, in.at)
		}
		got <- string(a.body)
		return nil
	})
	if err != nil || len(got) != 5 || <-got != "ok" {
		t.Errorf("%d answers, %v", len(got), err)
	}
}

func TestDeskFails(t *testing.T) {
	t.Parallel()
	fine := func(input, int64, answer) error { return nil }
	tests := []struct{ name, says, want string }{
		{"at a refusal", "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", "403"},
		{"at what is no HTTP", "220 mail ready\r\n\r\n", "no HTTP/1.1 answer"},
		{"when the server hangs up", "", "ended"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if err := asks(t, tt.says, fine); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error = %v, want one that says %q", err, tt.want)
			}
		})
	}
}
