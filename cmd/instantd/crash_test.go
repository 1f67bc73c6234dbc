package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/coder/websocket"

	"instantd/cmd/operator"
)

// childVariable makes the test binary be the server.
const childVariable = "TEST_INSTANTD_CHILD"

// child is a server in a process of its own.
type child struct {
	process *exec.Cmd
	url     string // of the clients' listener
	admin   string
}

func startChild(t *testing.T, dir string) *child {
	t.Helper()
	c := &child{process: exec.Command(os.Args[0])}
	c.process.Env = append(os.Environ(), childVariable+"=1",
		"INSTANTD_DATA_DIR="+dir, "INSTANTD_HTTP_ADDR=127.0.0.1:0", "INSTANTD_ADMIN_ADDR=127.0.0.1:0",
		"INSTANTD_OPS_ADDR=", "INSTANTD_ADMIN_SECRET="+goodSecret, "INSTANTD_LOG_LEVEL=error")
	c.process.Stderr = t.Output()
	out, err := c.process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.kill)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		name, value, _ := strings.Cut(strings.TrimSpace(lines.Text()), " ")
		switch value = strings.TrimSpace(value); name {
		case "clients":
			c.url = strings.TrimSuffix(value, "/")
		case "admin":
			c.admin = strings.TrimSuffix(value, "/instant/base")
		case "data": // the last line
			go io.Copy(io.Discard, out) // ends with the process
			return c
		}
	}
	t.Fatal("the server did not start")
	return nil
}

// kill ends the process as a power cut would. Only the first call does something.
func (c *child) kill() {
	c.process.Process.Kill()
	c.process.Wait()
}

// answeredMessage is what a client knows after a send was answered.
type answeredMessage struct {
	sender, number int
	id             int64
}

// clientName is the client_msg_id of a message.
func (a answeredMessage) clientName() string { return fmt.Sprintf("%d-%d", a.sender, a.number) }

// TestAKilledServerKeepsEveryAnsweredMessage kills the server with SIGKILL
// under load, several times. Clients do what clients do: they send again what
// was not answered, under the same client_msg_id.
func TestAKilledServerKeepsEveryAnsweredMessage(t *testing.T) {
	t.Parallel()
	const senders, kills = 6, 4
	dir := t.TempDir()
	server := startChild(t, dir)
	tokens := loginAll(t, server, senders)
	group := createOver(t, server.url, tokens)

	var (
		url      atomic.Pointer[string]
		down     sync.RWMutex // held while there is no server
		answered = make(chan answeredMessage, 1<<16)
		over     = make(chan struct{})
		working  sync.WaitGroup
	)
	url.Store(&server.url)
	for i := range senders {
		working.Go(func() {
			for n := 0; ; n++ {
				m := answeredMessage{sender: i, number: n}
				for m.id == 0 {
					down.RLock()
					m.id = sendOver(*url.Load(), tokens[i], group, m.clientName())
					down.RUnlock()
				}
				answered <- m
				select {
				case <-over:
					return
				default:
				}
			}
		})
	}
	var heard [2][]int64
	var listeners sync.WaitGroup
	for i := range heard {
		listeners.Go(func() { heard[i] = listen(t, &url, tokens[i], "last") })
	}

	var all []answeredMessage
	take := func(n int) {
		for range n {
			all = append(all, <-answered)
		}
	}
	for range kills {
		take(200 + rand.IntN(400))
		server.kill() // in the middle of whatever it does
		down.Lock()
		server = startChild(t, dir)
		url.Store(&server.url)
		down.Unlock()
	}
	take(200)
	close(over)
	working.Wait()
	close(answered)
	for m := range answered {
		all = append(all, m)
	}

	last := sendOver(server.url, tokens[0], group, "last")
	stored := historyOver(t, server.url, tokens[0], group)
	if stored[len(stored)-1] != last {
		t.Errorf("the history ends with %d, want %d", stored[len(stored)-1], last)
	}
	if !slices.IsSorted(stored) || len(slices.Compact(slices.Clone(stored))) != len(stored) {
		t.Error("the history is not in order, or has a message twice")
	}
	if len(stored) != len(all)+1 {
		t.Errorf("%d messages stand, %d were answered", len(stored), len(all)+1)
	}
	for _, m := range all {
		if _, found := slices.BinarySearch(stored, m.id); !found {
			t.Errorf("message %s was answered with %d and is gone", m.clientName(), m.id)
		}
	}
	slices.SortFunc(all, func(a, b answeredMessage) int {
		return cmp.Or(cmp.Compare(a.sender, b.sender), cmp.Compare(a.number, b.number))
	})
	for i := 1; i < len(all); i++ {
		if a, b := all[i-1], all[i]; a.sender == b.sender && a.id >= b.id {
			t.Errorf("sender %d: %d came before %d", a.sender, a.id, b.id)
		}
	}

	listeners.Wait()
	for i, ids := range heard {
		if !slices.Equal(ids, stored) {
			t.Errorf("listener %d heard %d messages, %d stand", i, len(ids), len(stored))
		}
	}
	t.Logf("%d messages over %d kills", len(stored), kills)
}

// loginAll logs in so many users and returns their tokens.
func loginAll(t *testing.T, server *child, users int) []string {
	t.Helper()
	var tokens []string
	var status []map[string]any
	for i := range users {
		tokens = append(tokens, fmt.Sprintf("token-of-user-%d", i))
		status = append(status, map[string]any{
			"standard_id": userName(i), "online": 1, "type": 1, "token": tokens[i],
		})
	}
	if err := operator.New(server.admin, goodSecret).Base(t.Context(), "user_status_update", status); err != nil {
		t.Fatal(err)
	}
	return tokens
}

func userName(i int) string { return fmt.Sprintf("3402000000132000%04d", i) }

// createOver makes a group of all users.
func createOver(t *testing.T, url string, tokens []string) string {
	t.Helper()
	var persons []map[string]string
	for i := range tokens {
		persons = append(persons, map[string]string{"standard_id": userName(i)})
	}
	var created struct {
		ConversationID string `json:"conversation_id"`
	}
	err := callOver(url, tokens[0], http.MethodPost, "/instant/c_conversation", map[string]any{
		"action": "create", "type": "group", "name": "load", "persons": persons,
	}, &created)
	if err != nil {
		t.Fatal(err)
	}
	return created.ConversationID
}

// sendOver sends a message and returns its id, 0 when it was not answered.
func sendOver(url, token, group, name string) int64 {
	var sent struct {
		ID int64 `json:"msg_id"`
	}
	err := callOver(url, token, http.MethodPost, "/instant/c_message_text", map[string]any{
		"conversation_id": group, "client_msg_id": name, "profile": text(name),
	}, &sent)
	if err != nil {
		return 0
	}
	return sent.ID
}

// historyOver reads a whole conversation page by page and returns the ids,
// oldest first.
func historyOver(t *testing.T, url, token, group string) []int64 {
	t.Helper()
	var ids []int64
	before := ""
	for {
		var pages []struct {
			Messages []struct {
				ID int64 `json:"id,string"`
			} `json:"messeages"`
		}
		err := callOver(url, token, http.MethodGet,
			"/instant/c_message_history?limit=200&conversation_id="+group+before, nil, &pages)
		if err != nil {
			t.Fatal(err)
		}
		if len(pages) == 0 || len(pages[0].Messages) == 0 {
			slices.Reverse(ids)
			return ids
		}
		for _, m := range pages[0].Messages {
			ids = append(ids, m.ID)
		}
		before = fmt.Sprintf("&before_id=%d", ids[len(ids)-1])
	}
}

// callOver sends a request and decodes the data of its answer.
func callOver(url, token, method, path string, body, data any) error {
	payload, err := json.Marshal(body)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, url+path, strings.NewReader(string(payload)))
	if err != nil {
		return err
	}
	r.Header.Set("x-token", token)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s", method, path, answer.Status)
	}
	return json.NewDecoder(answer.Body).Decode(&struct {
		Data any `json:"data"`
	}{data})
}

// listen stays connected, as a client would, until it hears a message of one
// text. It returns the ids of the messages, each once, in the order of arrival.
func listen(t *testing.T, url *atomic.Pointer[string], token, until string) []int64 {
	ctx, cancel := context.WithTimeout(context.Background(), 4*patience)
	defer cancel()
	l := listener{newest: map[string]float64{}}
	for {
		conn, _, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(*url.Load(), "http")+"/instant/ws?token="+token, nil)
		if err == nil && l.read(ctx, conn, until) {
			return l.ids
		}
		if ctx.Err() != nil {
			t.Errorf("did not hear %q in time, but %d messages", until, len(l.ids))
			return l.ids
		}
	}
}

type listener struct {
	ids    []int64
	newest map[string]float64 // seq by conversation
}

// read takes what comes over one connection. True means that the text came.
func (l *listener) read(ctx context.Context, conn *websocket.Conn, until string) bool {
	defer conn.CloseNow()
	for n := 0; ; n++ {
		_, body, err := conn.Read(ctx)
		if err != nil {
			return false
		}
		var f frame
		if json.Unmarshal(body, &f) != nil || f.Data["seq"] == nil {
			continue
		}
		group, seq := fmt.Sprint(f.Data["conversation_id"]), f.Data["seq"].(float64)
		if seq <= l.newest[group] {
			continue // sent again because it was not acknowledged
		}
		l.newest[group] = seq
		if n%100 == 99 {
			ack := fmt.Sprintf(`{"cmd":"ack","data":{"conversation_id":%q,"seq":%.0f}}`, group, seq)
			if conn.Write(ctx, websocket.MessageText, []byte(ack)) != nil {
				return false
			}
		}
		if f.Cmd != "msg" {
			continue
		}
		var id int64
		fmt.Sscan(fmt.Sprint(f.Data["id"]), &id)
		l.ids = append(l.ids, id)
		if words(f.Data) == until {
			return true
		}
	}
}
