package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"instantd/cmd/operator"
	"instantd/persistence"
	"instantd/protocol/instant"
)

func wantStatus(t *testing.T, err error, status int) {
	t.Helper()
	var refused *operator.Error
	if !errors.As(err, &refused) || refused.Status != status {
		t.Errorf("got %v, want status %d", err, status)
	}
}

func TestOperatorSeesUsersAndConversations(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	client := server.operator()
	err := client.Base(t.Context(), "user_import", []map[string]any{{"standard_id": alice, "name": "Alice", "sex": 1, "platform_id": json.Number("34020000002000000001")}})
	if err != nil {
		t.Fatal(err)
	}
	aliceToken, bobToken := server.login(t, alice), server.login(t, bob)
	group := server.createGroup(t, aliceToken, "seen", bob)
	bobs := server.wsDial(t, bobToken)
	bobs.wantPush("create_conversation")
	bobs.wantPush("ready")
	sent := server.want(t, aliceToken, http.MethodPost, "/instant/c_message_text",
		map[string]any{"conversation_id": group, "profile": text("look")})
	seq := uint64(bobs.wantPush("msg")["seq"].(float64))
	bobs.wantReply(bobs.send("read", map[string]any{"conversation_id": group, "seq": seq}), 0)

	user, err := client.User(t.Context(), alice)
	if err != nil {
		t.Fatal(err)
	}
	if user.Name != "Alice" || user.Sex != "female" || user.Platform != "34020000002000000001" || user.Stub || !user.Online {
		t.Errorf("alice is %+v", user)
	}
	if len(user.Logins) != 1 || user.Logins[0].Class != "pc" || !user.Logins[0].Access {
		t.Errorf("alice's logins are %+v", user.Logins)
	}
	user, err = client.User(t.Context(), bob)
	if err != nil {
		t.Fatal(err)
	}
	if !user.Stub || len(user.Conversations) != 1 {
		t.Fatalf("bob is %+v", user)
	}
	if c := user.Conversations[0]; c.Conversation != group || c.Kind != "group" || c.Members != 2 || c.Head != seq || c.Read != seq {
		t.Errorf("bob's conversation is %+v, want seq %d read", c, seq)
	}

	conversation, err := client.Conversation(t.Context(), group)
	if err != nil {
		t.Fatal(err)
	}
	if conversation.Owner != alice || conversation.Name != "seen" || len(conversation.Members) != 2 {
		t.Errorf("the conversation is %+v", conversation)
	}
	history, err := client.History(t.Context(), group, "", 0)
	if err != nil {
		t.Fatal(err)
	}
	if len(history) != 1 || history[0].Content[0].Text != "look" || history[0].Seq != seq {
		t.Errorf("the history is %+v", history)
	}
	if id := strconv.FormatInt(int64(sent.(map[string]any)["msg_id"].(float64)), 10); history[0].ID != id {
		t.Errorf("the message is %s, its sender was told %s", history[0].ID, id)
	}
	before, err := client.History(t.Context(), group, history[0].ID, 5)
	if err != nil || len(before) != 0 {
		t.Errorf("before the first message: %v, %v", before, err)
	}

	_ = bobs.conn.CloseNow()
	var trace operator.Trace
	waitUntil(t, "bob's receipt being stored", func() bool {
		trace, err = client.Trace(t.Context(), history[0].ID)
		return err != nil || slices.ContainsFunc(trace.Receipts, func(r operator.Receipt) bool { return r.User == bob && r.Read })
	})
	if err != nil {
		t.Fatal(err)
	}
	if trace.Event != "MessageSent" || trace.Seq != seq || trace.AMQP != "off" || trace.Actor != "conversation:"+group {
		t.Errorf("the trace is %+v", trace)
	}
}

func TestOperatorIsRefused(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	client := server.operator()
	ctx := t.Context()

	_, err := client.User(ctx, "nobody")
	wantStatus(t, err, http.StatusNotFound)
	_, err = client.User(ctx, "")
	wantStatus(t, err, http.StatusBadRequest)
	_, err = client.Conversation(ctx, "none")
	wantStatus(t, err, http.StatusNotFound)
	_, err = client.History(ctx, "none", "", 0)
	wantStatus(t, err, http.StatusNotFound)
	_, err = client.History(ctx, "none", "x", 0)
	wantStatus(t, err, http.StatusBadRequest)
	_, err = client.History(ctx, "none", "", 201)
	wantStatus(t, err, http.StatusBadRequest)
	_, err = client.Trace(ctx, "1")
	wantStatus(t, err, http.StatusNotFound)
	_, err = client.Trace(ctx, "one")
	wantStatus(t, err, http.StatusBadRequest)
	_, err = operator.New(server.AdminAddr(), "wrong").User(ctx, "1")
	wantStatus(t, err, http.StatusUnauthorized)
}

func TestSignature(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	relaxed := startServer(t, func(c *Config) { c.Admin.SkipTimeCheck = true })
	now := strconv.FormatInt(time.Now().UnixMilli(), 10)
	old := strconv.FormatInt(time.Now().Add(-3*time.Hour).UnixMilli(), 10)
	tests := []struct {
		name                   string
		server                 *running
		nonce, timestamp, sign string
		want                   int
	}{
		{"a good signature is let through", server, "1", now, instant.Sign("1", goodSecret, now), http.StatusNotFound},
		{"no headers", server, "", "", "", http.StatusUnauthorized},
		{"a time that is none", server, "1", "today", instant.Sign("1", goodSecret, "today"), http.StatusUnauthorized},
		{"a signature of another nonce", server, "2", now, instant.Sign("1", goodSecret, now), http.StatusUnauthorized},
		{"a signature in upper case", server, "1", now, "B98F9B0717F59FEBCCF1440067A7F50D9B31BDDE", http.StatusUnauthorized},
		{"an old signature", server, "1", old, instant.Sign("1", goodSecret, old), http.StatusUnauthorized},
		{"an old signature where peers have no clock", relaxed, "1", old, instant.Sign("1", goodSecret, old), http.StatusNotFound},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+tt.server.AdminAddr()+operator.PathUser+"?id=nobody", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("nonce", tt.nonce)
			r.Header.Set("timestamp", tt.timestamp)
			r.Header.Set("sign", tt.sign)
			answer, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			answer.Body.Close()
			if answer.StatusCode != tt.want {
				t.Errorf("status %d, want %d", answer.StatusCode, tt.want)
			}
		})
	}
}

func TestBackupRestores(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	aliceToken := server.login(t, alice)
	group := server.createGroup(t, aliceToken, "saved", bob)
	server.want(t, aliceToken, http.MethodPost, "/instant/c_message_text",
		map[string]any{"conversation_id": group, "profile": text("keep me")})

	var backup bytes.Buffer
	size, err := server.operator().Backup(t.Context(), &backup)
	if err != nil || size != int64(backup.Len()) {
		t.Fatalf("%d of %d bytes, %v", size, backup.Len(), err)
	}
	dir := filepath.Join(t.TempDir(), "restored")
	if err := persistence.Restore(t.Context(), dir, &backup, func(int64) {}); err != nil {
		t.Fatal(err)
	}
	if report, err := persistence.Check(dir); err != nil || !report.OK() || report.Conversations == 0 {
		t.Fatalf("restored %+v, %v", report, err)
	}
	copied := startServer(t, inFolder(dir))
	history, err := copied.operator().History(t.Context(), group, "", 0)
	if err != nil || len(history) != 1 || history[0].Content[0].Text != "keep me" {
		t.Errorf("the restored history is %+v, %v", history, err)
	}
	copied.want(t, aliceToken, http.MethodGet, "/instant/c_conversation", nil) // the token is in force there, too
}
