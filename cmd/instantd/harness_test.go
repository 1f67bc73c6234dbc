package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"instantd/cmd/operator"
	"instantd/web"
)

// patience bounds every wait of a test; it is only reached by one that fails.
const patience = 20 * time.Second

// running is a whole server under test: real store, real sockets.
type running struct {
	*Server
	t      testing.TB
	config Config
	cancel context.CancelFunc
	ended  chan error // what Run returned
}

// testConfig is a server on free loopback ports with a folder of its own.
func testConfig(t testing.TB, change ...func(*Config)) Config {
	config := DefaultConfig()
	config.Data.Dir = t.TempDir()
	config.HTTP.Addr, config.Admin.Addr, config.Ops.Addr = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	config.Admin.Secret = goodSecret
	for _, c := range change {
		c(&config)
	}
	return config
}

// startServer runs a server until the test ends. It may be started again on
// the same folder after stop: startServer(t, inFolder(dir)).
func startServer(t testing.TB, change ...func(*Config)) *running {
	t.Helper()
	config := testConfig(t, change...)
	if err := config.Validate(); err != nil {
		t.Fatal(err)
	}
	server, err := New(config, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &running{Server: server, t: t, config: config, cancel: cancel, ended: make(chan error, 1)}
	go func() { s.ended <- server.Run(ctx) }() // ends with cancel
	t.Cleanup(s.stop)
	return s
}

// inFolder keeps the state in a folder that the caller knows.
func inFolder(dir string) func(*Config) { return func(c *Config) { c.Data.Dir = dir } }

// stop drains the server and fails the test when that goes wrong. Only the
// first call does something.
func (s *running) stop() {
	s.t.Helper()
	s.cancel()
	select {
	case err, first := <-s.ended:
		if first {
			close(s.ended)
		}
		if err != nil {
			s.t.Errorf("the server ended with %v", err)
		}
	case <-time.After(s.config.Drain + patience):
		s.t.Error("the server does not end")
	}
}

// testLog shows what the server logs when the test fails.
func testLog(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo}))
}

// operator is instantctl's way to the server.
func (s *running) operator() *operator.Client {
	return operator.New(s.AdminAddr(), s.config.Admin.Secret)
}

// login logs a user in on a pc and returns the token. The user need not exist.
func (s *running) login(t testing.TB, user string) string {
	t.Helper()
	token := "token-of-" + user
	err := s.operator().Base(t.Context(), "user_status_update", map[string]any{
		"standard_id": user, "online": 1, "type": 1, "token": token,
	})
	if err != nil {
		t.Fatalf("log in %s: %v", user, err)
	}
	return token
}

// call sends a request of a user and returns the status and the decoded answer.
func (s *running) call(t testing.TB, token, method, path string, body any) (int, map[string]any) {
	t.Helper()
	var payload io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		payload = bytes.NewReader(text)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, "http://"+s.Addr()+path, payload)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("x-token", token)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer answer.Body.Close()
	var decoded map[string]any
	if err := json.NewDecoder(answer.Body).Decode(&decoded); err != nil {
		t.Fatalf("%s %s: the answer is no JSON: %v", method, path, err)
	}
	return answer.StatusCode, decoded
}

// want sends a request that must succeed and returns its data.
func (s *running) want(t testing.TB, token, method, path string, body any) any {
	t.Helper()
	status, answer := s.call(t, token, method, path, body)
	if status != http.StatusOK {
		t.Fatalf("%s %s: %d %v", method, path, status, answer["reason"])
	}
	return answer["data"]
}

// createGroup makes a group of the caller and others and returns its id.
func (s *running) createGroup(t testing.TB, token, name string, persons ...string) string {
	t.Helper()
	var list []map[string]string
	for _, p := range persons {
		list = append(list, map[string]string{"standard_id": p})
	}
	data := s.want(t, token, http.MethodPost, "/instant/c_conversation", map[string]any{
		"action": "create", "name": name, "type": "group", "persons": list,
	})
	id, _ := data.(map[string]any)["conversation_id"].(string)
	if id == "" {
		t.Fatalf("created %v, want a conversation_id", data)
	}
	return id
}

// waitUntil asks again and again, until what another goroutine or process does
// has happened.
func waitUntil(t testing.TB, what string, happened func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !happened() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s did not happen", what)
		}
	}
}

// waitReady waits until a check of /readyz is fine.
func (s *running) waitReady(t testing.TB, check string) {
	t.Helper()
	checks := s.checks()
	i := slices.IndexFunc(checks, func(c web.Check) bool { return c.Name == check })
	if i < 0 {
		t.Fatalf("readiness has no check %s", check)
	}
	waitUntil(t, check+" being ready", func() bool { return checks[i].Run() == nil })
}

// waitLogin waits until a device class of a user is logged in.
func (s *running) waitLogin(t testing.TB, user, class string) {
	t.Helper()
	waitUntil(t, "login of "+user, func() bool {
		account, err := s.operator().User(t.Context(), user)
		return err == nil && slices.ContainsFunc(account.Logins, func(l operator.Login) bool { return l.Class == class })
	})
}

// socket is a session over WebSocket.
type socket struct {
	t    testing.TB
	conn *websocket.Conn
	refs int
	// What came while something else was waited for, in order.
	pushes  []frame
	replies map[string]frame
}

type frame struct {
	Cmd    string         `json:"cmd"`
	Ref    string         `json:"ref"`
	Code   int            `json:"code"`
	Reason string         `json:"reason"`
	Data   map[string]any `json:"data"`
}

// wsDial opens a session. What the user missed comes before the push "ready".
func (s *running) wsDial(t testing.TB, token string) *socket {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, "ws://"+s.Addr()+"/instant/ws?token="+token, nil)
	if err != nil {
		t.Fatalf("open a session: %v", err)
	}
	conn.SetReadLimit(1 << 20)
	t.Cleanup(func() { _ = conn.CloseNow() })
	return &socket{t: t, conn: conn, replies: map[string]frame{}}
}

// read returns the next frame from the server.
func (s *socket) read() frame {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, text, err := s.conn.Read(ctx)
	if err != nil {
		s.t.Fatalf("read a frame: %v", err)
	}
	var f frame
	if err := json.Unmarshal(text, &f); err != nil {
		s.t.Fatalf("frame %s: %v", text, err)
	}
	return f
}

// send sends a frame and returns the ref that its reply will carry.
func (s *socket) send(cmd string, data any) string {
	s.t.Helper()
	s.refs++
	ref := fmt.Sprint("r", s.refs)
	text, err := json.Marshal(map[string]any{"cmd": cmd, "ref": ref, "data": data})
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.conn.Write(ctx, websocket.MessageText, text); err != nil {
		s.t.Fatalf("send %s: %v", cmd, err)
	}
	return ref
}

// wantReply returns the reply to a ref, which must have this code.
func (s *socket) wantReply(ref string, code int) frame {
	s.t.Helper()
	for {
		if f, ok := s.replies[ref]; ok {
			delete(s.replies, ref)
			if f.Code != code {
				s.t.Fatalf("reply %d %s, want %d", f.Code, f.Reason, code)
			}
			return f
		}
		if f := s.read(); f.Cmd == "reply" {
			s.replies[f.Ref] = f
		} else {
			s.pushes = append(s.pushes, f)
		}
	}
}

// wantPush returns the next push, which must be this cmd.
func (s *socket) wantPush(cmd string) map[string]any {
	s.t.Helper()
	for len(s.pushes) == 0 {
		if f := s.read(); f.Cmd == "reply" {
			s.replies[f.Ref] = f
		} else {
			s.pushes = append(s.pushes, f)
		}
	}
	f := s.pushes[0]
	s.pushes = s.pushes[1:]
	if f.Cmd != cmd {
		s.t.Fatalf("pushed %s %v, want %s", f.Cmd, f.Data, cmd)
	}
	return f.Data
}

// barrier returns when the server has handled everything that was sent before,
// and all pushes of that have arrived.
func (s *socket) barrier() {
	s.t.Helper()
	s.wantReply(s.send("ping", nil), 0)
}

// wantNoPush checks that nothing else was pushed so far.
func (s *socket) wantNoPush() {
	s.t.Helper()
	s.barrier()
	if len(s.pushes) > 0 {
		s.t.Fatalf("pushed %v, want nothing", s.pushes)
	}
}

// wantClosed waits for the server's close frame and returns its reason.
func (s *socket) wantClosed(code websocket.StatusCode) string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		_, _, err := s.conn.Read(ctx)
		if err == nil {
			continue // frames before the close
		}
		if got := websocket.CloseStatus(err); got != code {
			s.t.Fatalf("the connection ended with %v, want close %d", err, code)
		}
		return err.Error()
	}
}

// text is the profile of a message of one text.
func text(words string) []map[string]any { return []map[string]any{{"type": 0, "name": words}} }

// words are the texts of a message's profile.
func words(message map[string]any) string {
	var all []string
	profile, _ := message["profile"].([]any)
	for _, entry := range profile {
		if entry, ok := entry.(map[string]any); ok {
			all = append(all, fmt.Sprint(entry["name"]))
		}
	}
	return strings.Join(all, " ")
}
