package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"instantd/persistence"
)

const (
	alice = "34020000001320000001"
	bob   = "34020000001320000002"
)

func TestHelloWorld(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	aliceToken, bobToken := server.login(t, alice), server.login(t, bob)
	group := server.createGroup(t, aliceToken, "greetings", bob)

	bobs := server.wsDial(t, bobToken)
	if created := bobs.wantPush("create_conversation"); created["conversation_id"] != group {
		t.Errorf("replayed %v, want the creation of %s", created, group)
	}
	bobs.wantPush("ready")
	sent := server.want(t, aliceToken, http.MethodPost, "/instant/c_message_text",
		map[string]any{"conversation_id": group, "profile": text("hello over REST")})
	if got := bobs.wantPush("msg"); words(got) != "hello over REST" || got["publisher_standard_id"] != alice {
		t.Errorf("bob got %v", got)
	}
	if id, ok := sent.(map[string]any)["msg_id"].(float64); !ok || id <= 0 || id >= 1<<53 {
		t.Errorf("answered %v, want a msg_id that JavaScript can keep", sent)
	}

	ref := bobs.send("send", map[string]any{"conversation_id": group, "profile": text("hello over WebSocket")})
	bobs.wantReply(ref, 0)
	if got := bobs.wantPush("msg"); words(got) != "hello over WebSocket" {
		t.Errorf("bob's own message came as %v", got)
	}
	history := server.want(t, aliceToken, http.MethodGet, "/instant/c_message_history?conversation_id="+group, nil)
	if text, _ := json.Marshal(history); strings.Index(string(text), "WebSocket") > strings.Index(string(text), "REST") {
		t.Errorf("history %s, want the newest first", text)
	}
	bobs.wantNoPush()
}

func TestRestartKeepsEverything(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := startServer(t, inFolder(dir))
	aliceToken, bobToken := first.login(t, alice), first.login(t, bob)
	group := first.createGroup(t, aliceToken, "lasting", bob)
	bobs := first.wsDial(t, bobToken)
	bobs.wantPush("create_conversation")
	bobs.wantPush("ready")
	first.want(t, aliceToken, http.MethodPost, "/instant/c_message_text",
		map[string]any{"conversation_id": group, "profile": text("one")})
	seq := bobs.wantPush("msg")["seq"]
	bobs.wantReply(bobs.send("ack", map[string]any{"conversation_id": group, "seq": seq}), 0)
	first.want(t, aliceToken, http.MethodPost, "/instant/c_message_text",
		map[string]any{"conversation_id": group, "profile": text("two")})
	bobs.wantPush("msg")
	first.stop()
	bobs.wantClosed(websocket.StatusGoingAway)

	second := startServer(t, inFolder(dir))
	again := second.wsDial(t, bobToken)
	if got := again.wantPush("msg"); words(got) != "two" {
		t.Errorf("replayed %v, want what was not acknowledged", got)
	}
	again.wantPush("ready")
	again.wantNoPush()
}

func TestSecondServerIsRefused(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	_, err := New(testConfig(t, inFolder(server.config.Data.Dir)), testLog(t))
	wantMentions(t, err, server.config.Data.Dir, "in use by another process")

	var stdout, stderr bytes.Buffer
	status := run(t.Context(), nil, []string{
		"INSTANTD_DATA_DIR=" + server.config.Data.Dir, "INSTANTD_ADMIN_SECRET=" + goodSecret,
		"INSTANTD_HTTP_ADDR=127.0.0.1:0", "INSTANTD_ADMIN_ADDR=127.0.0.1:0", "INSTANTD_OPS_ADDR=127.0.0.1:0",
	}, &stdout, &stderr)
	if status != 1 || !strings.Contains(stderr.String(), "in use by another process") || stdout.Len() > 0 {
		t.Errorf("status %d, %q, %q", status, stdout.String(), stderr.String())
	}
}

func TestTakenPortIsRefused(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	_, err := New(testConfig(t, func(c *Config) { c.Admin.Addr = server.Addr() }), testLog(t))
	wantMentions(t, err, server.Addr(), "in use")
}

func TestProgramRunsUntilTheSignal(t *testing.T) {
	t.Parallel()
	config := writeConfig(t, "admin:\n  secret: \""+goodSecret+"\"\n  addr: 127.0.0.1:0\nhttp:\n  addr: 127.0.0.1:0\nops:\n  addr: \"\"\n")
	ctx, cancel := context.WithCancel(t.Context())
	reader, writer := io.Pipe()
	status := make(chan int, 1)
	go func() { // ends with cancel
		status <- run(ctx, []string{"-config", config}, []string{"INSTANTD_DATA_DIR=" + t.TempDir()}, writer, t.Output())
		writer.Close()
	}()
	line := make([]byte, 4096)
	n, err := reader.Read(line)
	if err != nil || !strings.HasPrefix(string(line[:n]), "instantd") {
		t.Errorf("printed %q, %v", line[:n], err)
	}
	go io.Copy(io.Discard, reader) // ends with writer.Close
	cancel()
	if got := <-status; got != 0 {
		t.Errorf("status %d, want 0", got)
	}
}

func TestProgramRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		args   []string
		env    []string
		status int
		want   string
	}{
		{"an unknown flag", []string{"-port", "1"}, nil, 2, "-port"},
		{"an argument", []string{"instantd.yaml"}, nil, 2, "-config"},
		{"production without secrets", []string{"-config", productionConfig}, nil, 1, "INSTANTD_ADMIN_SECRET"},
		{"an unknown variable", []string{"-config", devConfig}, []string{"INSTANTD_HTTP_ADRR=x"}, 1, "INSTANTD_HTTP_ADDR"},
		{"a folder that is a file", []string{"-config", devConfig}, []string{"INSTANTD_DATA_DIR=" + productionConfig}, 1, "data folder"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var stdout, stderr bytes.Buffer
			if got := run(t.Context(), tt.args, tt.env, &stdout, &stderr); got != tt.status {
				t.Errorf("status %d, want %d", got, tt.status)
			}
			if !strings.Contains(stderr.String(), tt.want) {
				t.Errorf("%q does not mention %q", stderr.String(), tt.want)
			}
		})
	}
	var stdout bytes.Buffer
	if got := run(t.Context(), []string{"-config", devConfig, "-check"}, nil, &stdout, io.Discard); got != 0 {
		t.Errorf("-check of the development configuration: status %d", got)
	}
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	answer, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

func TestOpsListener(t *testing.T) {
	t.Parallel()
	server := startServer(t, func(c *Config) { c.AMQP.URL = "amqp://127.0.0.1:1/" }) // nobody answers there
	ops := "http://" + server.OpsAddr()
	if status, body := get(t, ops+"/healthz"); status != http.StatusOK || body != "ok\n" {
		t.Errorf("/healthz: %d %q", status, body)
	}
	status, body := get(t, ops+"/readyz")
	var report struct {
		Ready  bool
		Checks []struct{ Name, Reason string }
	}
	if err := json.Unmarshal([]byte(body), &report); err != nil {
		t.Fatalf("/readyz: %v", err)
	}
	if status != http.StatusOK || !report.Ready {
		t.Errorf("/readyz: %d %s, want ready without a broker", status, body)
	}
	away := map[string]bool{}
	for _, check := range report.Checks {
		away[check.Name] = check.Reason != ""
	}
	if !away["broker"] || away["store"] || away["serving"] {
		t.Errorf("/readyz must say that the broker alone is away, and why: %s", body)
	}
	server.login(t, alice)
	_, metrics := get(t, ops+"/metrics")
	for _, name := range []string{"instantd_commit_seconds_count", "go_goroutines", "process_open_fds"} {
		if !strings.Contains(metrics, name) {
			t.Errorf("/metrics does not show %s", name)
		}
	}
}

func TestMainListener(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	if status, body := get(t, "http://"+server.Addr()+"/"); status != http.StatusOK || !strings.Contains(body, "instantd") {
		t.Errorf("/: %d %q", status, body)
	}
	for _, path := range []string{"/nowhere", "/instant/c_conversation/", "/instant/base", "/instantd/user"} {
		status, answer := server.call(t, "", http.MethodGet, path, nil)
		if status != http.StatusNotFound || answer["code"] != float64(http.StatusNotFound) {
			t.Errorf("%s: %d %v, want 404 in the dialect's shape", path, status, answer)
		}
	}
}

func TestAdminAllowList(t *testing.T) {
	t.Parallel()
	server := startServer(t, func(c *Config) { c.Admin.Allow = []string{"192.0.2.1"} })
	if status, _ := get(t, "http://"+server.AdminAddr()+"/instantd/user?id=1"); status != http.StatusForbidden {
		t.Errorf("an address that is not listed: %d, want 403", status)
	}
}

func TestDrainSaysSo(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	server.draining.Store(true)
	if status, body := get(t, "http://"+server.OpsAddr()+"/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "shutting down") {
		t.Errorf("/readyz while draining: %d %s", status, body)
	}
}

// Close must give back the folder and the ports of a server that never ran.
func TestCloseWithoutRun(t *testing.T) {
	t.Parallel()
	config := testConfig(t)
	for range 2 {
		server, err := New(config, testLog(t))
		if err != nil {
			t.Fatal(err)
		}
		server.Close()
	}
	if report, err := persistence.Check(config.Data.Dir); err != nil || !report.OK() {
		t.Errorf("the folder afterwards: %v, %v", report.Problems, err)
	}
}
