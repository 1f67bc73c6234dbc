package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// A peer that does not finish its request takes its share of the time and no
// more: what comes behind it ends in order, and so does the server.
func TestAStalledUploadDoesNotHoldTheDrain(t *testing.T) {
	t.Parallel()
	server := startServer(t, func(c *Config) {
		c.Drain = 6 * time.Second
		c.AMQP.URL = "amqp://127.0.0.1:1/" // a broker side that has to end, too
	})
	token := server.login(t, alice)
	stalled, err := net.Dial("tcp", server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer stalled.Close()
	_ = stalled.SetDeadline(time.Now().Add(2 * patience))
	fmt.Fprintf(stalled, "POST /uploads HTTP/1.1\r\nHost: x\r\nx-token: %s\r\nContent-Type: multipart/form-data; boundary=b\r\n"+
		"Content-Length: 1000000\r\nExpect: 100-continue\r\n\r\n", token)
	answer := bufio.NewReader(stalled)
	if line, err := answer.ReadString('\n'); err != nil || !strings.Contains(line, "100 Continue") {
		t.Fatalf("got %q, %v; want the server to wait for the body", line, err)
	}
	server.stop() // fails the test when the server ends with an error, as one that was left no time does
	if _, err := io.ReadAll(answer); err != nil && strings.Contains(err.Error(), "timeout") {
		t.Error("the stalled connection is still open")
	}
}

// Whatever a session has sent and the server has committed is answered, also
// when the server is stopped in the middle of it.
func TestTheDrainAnswersEveryCommittedSend(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	server := startServer(t, inFolder(dir), func(c *Config) { c.Drain = 4 * patience }) // the disk may be slow
	const senders = 8
	type sender struct {
		token, group string
		socket       *socket
		answered     int
	}
	var all []*sender
	for n := range senders {
		user := fmt.Sprint("sender-", n)
		s := &sender{token: server.login(t, user)}
		s.group = server.createGroup(t, s.token, "drain", "listener")
		s.socket = server.wsDial(t, s.token)
		all = append(all, s)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
	defer cancel()
	var busy, running sync.WaitGroup
	for _, s := range all {
		busy.Add(1)
		running.Go(func() { // ends with the connection
			for n := 0; ; n++ {
				frame := fmt.Appendf(nil, `{"cmd":"send","ref":%d,"data":{"conversation_id":%q,"profile":[{"type":0,"name":"%d"}]}}`, n, s.group, n)
				if s.socket.conn.Write(ctx, websocket.MessageText, frame) != nil {
					return
				}
			}
		})
		running.Go(func() { // ends with the connection
			warm := sync.OnceFunc(busy.Done)
			defer warm()
			for {
				_, text, err := s.socket.conn.Read(ctx)
				if err != nil {
					if got := websocket.CloseStatus(err); got != websocket.StatusGoingAway {
						t.Errorf("a session ended with %v, want close 1001", err)
					}
					return
				}
				var f struct {
					Cmd  string
					Code int
				}
				if err := json.Unmarshal(text, &f); err != nil {
					t.Errorf("frame %s: %v", text, err)
				}
				if f.Cmd != "reply" {
					continue
				}
				if f.Code != 0 {
					t.Errorf("a send was answered %s", text)
				}
				if s.answered++; s.answered == 20 {
					warm()
				}
			}
		})
	}
	busy.Wait()
	server.stop()
	running.Wait()

	again := startServer(t, inFolder(dir))
	for n, s := range all {
		next := again.wsDial(t, s.token)
		seq := next.wantReply(next.send("send", map[string]any{"conversation_id": s.group, "profile": text("after")}), 0).Data["seq"]
		committed := int(seq.(float64)) - 2 // but for the creation and this one
		if committed != s.answered {
			t.Errorf("sender %d: %d sends are committed, %d were answered", n, committed, s.answered)
		}
	}
}
