package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"instantd/cmd/operator"
	"instantd/protocol/instant"
)

const secret = "0f47ab0f9a4c4f6b8f63"

// The caller's own server must not be met by accident.
func TestMain(m *testing.M) {
	for _, name := range []string{"INSTANTD_ADMIN_ADDR", "INSTANTD_ADMIN_SECRET", "INSTANTD_DATA_DIR"} {
		os.Unsetenv(name)
	}
	os.Exit(m.Run())
}

// center is an admin listener that takes what it is told and remembers it.
type center struct {
	*httptest.Server
	mu     sync.Mutex
	bodies []string
	refuse int // from this body on, counted from 1, answers 503; 0 never
}

func startCenter(t *testing.T, answers map[string]any) *center {
	t.Helper()
	c := &center{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("sign") != instant.Sign(r.Header.Get("nonce"), secret, r.Header.Get("timestamp")) {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"code":401,"reason":"sign is wrong"}`)
			return
		}
		if r.URL.Path == operator.PathBase {
			c.take(w, r)
			return
		}
		answer, ok := answers[r.Method+" "+r.URL.RequestURI()]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `{"code":404,"reason":"not found"}`)
			return
		}
		_ = json.NewEncoder(w).Encode(answer)
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *center) take(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bodies = append(c.bodies, string(body))
	if c.refuse > 0 && len(c.bodies) >= c.refuse {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, `{"code":503,"reason":"disk nearly full"}`)
		return
	}
	_, _ = io.WriteString(w, `{"code":0}`)
}

func (c *center) told() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bodies
}

// ctl runs a command line and returns what it printed.
func ctl(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	status = run(t.Context(), args, &out, &err)
	return status, out.String(), err.String()
}

func wantDone(t *testing.T, args ...string) string {
	t.Helper()
	status, stdout, stderr := ctl(t, args...)
	if status != 0 {
		t.Fatalf("instantctl %q: status %d, want 0\n%s", args, status, stderr)
	}
	return stdout
}

func wantFailed(t *testing.T, status int, args []string, parts ...string) {
	t.Helper()
	got, stdout, stderr := ctl(t, args...)
	if got != status {
		t.Fatalf("instantctl %q: status %d, want %d\n%s%s", args, got, status, stdout, stderr)
	}
	for _, part := range parts {
		if !strings.Contains(stderr, part) {
			t.Errorf("instantctl %q does not mention %q:\n%s", args, part, stderr)
		}
	}
}

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLogin(t *testing.T) {
	t.Parallel()
	server := startCenter(t, nil)
	to := []string{"--admin", server.URL, "--secret", secret}

	token := strings.TrimSpace(wantDone(t, append(to, "user", "login", "34020000001320000001", "--class", "app")...))
	if !regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(token) {
		t.Errorf("the token is %q, want 128 bits in hex", token)
	}
	given := wantDone(t, append(to, "--json", "user", "login", "7", "--class", "pc", "--token", "abc", "--platform", "9")...)
	if want := `{"standard_id":"7","class":"pc","token":"abc"}`; compact(t, given) != want {
		t.Errorf("printed %s, want %s", given, want)
	}
	wantDone(t, append(to, "user", "logout", "7", "--class", "pc")...)

	want := []string{
		`{"cmd":"user_status_update","data":[{"standard_id":"34020000001320000001","online":1,"type":2,"token":"` + token + `"}]}`,
		`{"cmd":"user_status_update","data":[{"standard_id":"7","online":1,"platform_id":"9","type":1,"token":"abc"}]}`,
		`{"cmd":"user_status_update","data":[{"standard_id":"7","online":0,"type":1}]}`,
	}
	if diff := cmp.Diff(want, server.told()); diff != "" {
		t.Errorf("told the server (-want +got):\n%s", diff)
	}
}

func compact(t *testing.T, text string) string {
	t.Helper()
	var buffer bytes.Buffer
	if err := json.Compact(&buffer, []byte(text)); err != nil {
		t.Fatalf("%q is not JSON: %v", text, err)
	}
	return buffer.String()
}

func TestImport(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	text.WriteString("standard_id,name,sex,platform_id\n")
	for i := range importBatch + 1 {
		fmt.Fprintf(&text, "3402000000132%07d,n,1,\n", i)
	}
	file := writeFile(t, "users.csv", text.String())

	server := startCenter(t, nil)
	to := []string{"--admin", server.URL, "--secret", secret, "user", "import", file}
	if got := wantDone(t, to...); !strings.Contains(got, "501 users are imported") {
		t.Errorf("printed %q", got)
	}
	bodies := server.told()
	if len(bodies) != 2 {
		t.Fatalf("%d requests, want 2", len(bodies))
	}
	var first struct {
		Cmd  string   `json:"cmd"`
		Data []person `json:"data"`
	}
	if err := json.Unmarshal([]byte(bodies[0]), &first); err != nil || first.Cmd != "user_import" || len(first.Data) != importBatch {
		t.Errorf("the first request holds %d of %s (%v)", len(first.Data), first.Cmd, err)
	}

	half := startCenter(t, nil)
	half.refuse = 2
	to[1] = half.URL
	wantFailed(t, 1, to, "500 of 501 users are imported", "line 502", "disk nearly full", "import the file again")
}

func TestImportIsAllOrNothing(t *testing.T) {
	t.Parallel()
	server := startCenter(t, nil)
	to := []string{"--admin", server.URL, "--secret", secret, "user", "import"}
	file := writeFile(t, "users.csv", "standard_id,sex\n1,0\n2,female\n")
	wantFailed(t, 1, append(to, file), "nobody was imported", "line 3", "female")
	wantFailed(t, 1, append(to, writeFile(t, "users.txt", "1")), ".csv nor a .json")
	wantFailed(t, 1, append(to, writeFile(t, "users.csv", "standard_id\n")), "no users")
	wantFailed(t, 1, append(to, file+".missing"), "no such file")
	if told := server.told(); len(told) > 0 {
		t.Errorf("the server was told %q", told)
	}
}

func TestShow(t *testing.T) {
	t.Parallel()
	server := startCenter(t, map[string]any{
		"GET /instantd/user?id=7":                          operator.User{ID: "7", Name: "Li", Conversations: []operator.Standing{{Conversation: "c/1", Kind: "group", Head: 9, Delivered: map[string]uint64{"pc": 8, "app": 3}}}},
		"GET /instantd/conversation?id=c%2F1":              operator.Conversation{ID: "c/1", Owner: "7", Members: []operator.Member{{ID: "7"}}},
		"GET /instantd/history?before=12&id=c%2F1&limit=2": []operator.Message{{ID: "11", Sender: "7", State: "kept", Content: []operator.Part{{Kind: "text", Text: "two\nlines"}}}},
		"GET /instantd/trace?id=11":                        operator.Trace{ID: "11", Event: "MessageSent", AMQP: "waiting", Receipts: []operator.Receipt{{User: "8", Delivered: []string{"pc"}}}},
	})
	to := []string{"--admin", server.URL, "--secret", secret}
	tests := []struct {
		name string
		args []string
		want []string
	}{
		{"a user with his conversations", []string{"user", "show", "7"}, []string{"Li", "c/1", "app 3, pc 8"}},
		{"a conversation whose id is no path", []string{"conversation", "show", "c/1"}, []string{"owner", "MEMBER"}},
		{"messages, one to a line", []string{"history", "c/1", "--limit", "2", "--before", "12"}, []string{`"two\nlines"`}},
		{"what became of a message", []string{"trace", "11"}, []string{"MessageSent", "waiting", "RECEIVER"}},
		{"JSON", []string{"--json", "trace", "11"}, []string{`"amqp": "waiting"`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := wantDone(t, append(to[:4:4], tt.args...)...)
			for _, part := range tt.want {
				if !strings.Contains(got, part) {
					t.Errorf("%q does not print %q:\n%s", tt.args, part, got)
				}
			}
		})
	}
	wantFailed(t, 1, append(to, "user", "show", "8"), "show user 8", "404", "not found")
}

func TestCommandLineRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		status int
		args   []string
		want   []string
	}{
		{"no command", 2, nil, []string{"user", "backup"}},
		{"an unknown command", 2, []string{"users"}, []string{"users"}},
		{"a login without a class", 2, []string{"user", "login", "7"}, []string{"--class"}},
		{"a class that nobody knows", 2, []string{"user", "login", "7", "--class", "tv"}, []string{"pc", "app"}},
		{"no secret", 1, []string{"user", "show", "7"}, []string{"no secret", "INSTANTD_ADMIN_SECRET", "--config"}},
		{"an address that is none", 1, []string{"--secret", secret, "--admin", "here", "user", "show", "7"}, []string{"here", "host:port"}},
		{"a URL that is none", 1, []string{"--secret", secret, "--admin", "ftp://here", "user", "show", "7"}, []string{"ftp://here", "URL"}},
		{"a server that is not there", 1, []string{"--secret", secret, "--admin", "127.0.0.1:1", "user", "show", "7"}, []string{"reach the server"}},
		{"a configuration that is missing", 1, []string{"--config", "/none.yaml", "user", "show", "7"}, []string{"/none.yaml"}},
		{"no folder to check", 1, []string{"check"}, []string{"--data"}},
		{"a folder without a store", 1, []string{"check", "--data", t.TempDir()}, []string{"check"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			wantFailed(t, tt.status, tt.args, tt.want...)
		})
	}
	server := startCenter(t, nil)
	wantFailed(t, 1, []string{"--admin", server.URL, "--secret", "wrong", "user", "show", "7"}, "401", "sign is wrong")
}

func TestServersConfigurationIsEnough(t *testing.T) {
	t.Parallel()
	server := startCenter(t, nil)
	config := writeFile(t, "instantd.yaml", "admin:\n  addr: "+server.Listener.Addr().String()+"\n  secret: "+secret+"\ndata:\n  dir: /somewhere\n")
	wantDone(t, "--config", config, "user", "logout", "7", "--class", "pc")

	g := globals{Config: config}
	if dir, err := g.dataDir(""); dir != "/somewhere" || err != nil {
		t.Errorf("data folder %q, %v", dir, err)
	}
}

func TestReachable(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, addr, want string }{
		{"an address", "10.0.0.1:18080", "10.0.0.1:18080"},
		{"all addresses become loopback", "0.0.0.0:18080", "127.0.0.1:18080"},
		{"no host becomes loopback", ":18080", "127.0.0.1:18080"},
		{"all IPv6 addresses become loopback", "[::]:18080", "[::1]:18080"},
		{"a URL stays", "https://chat.example.org/", "https://chat.example.org/"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got, err := reachable(tt.addr); got != tt.want || err != nil {
				t.Errorf("reachable(%q) = %q, %v, want %q", tt.addr, got, err, tt.want)
			}
		})
	}
}

func TestBackupIsWholeOrMissing(t *testing.T) {
	t.Parallel()
	cut := false
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "archive")
		if cut {
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
	}))
	t.Cleanup(server.Close)
	dir := t.TempDir()
	file := filepath.Join(dir, "backup.tar")
	to := []string{"--admin", server.URL, "--secret", secret, "backup", file}

	wantDone(t, to...)
	if text, err := os.ReadFile(file); string(text) != "archive" || err != nil {
		t.Errorf("the backup is %q, %v", text, err)
	}
	wantFailed(t, 1, to, "exists already")

	cut = true
	to[len(to)-1] = filepath.Join(dir, "second.tar")
	wantFailed(t, 1, to, "receive the backup")
	if names, _ := filepath.Glob(filepath.Join(dir, "second*")); len(names) > 0 {
		t.Errorf("a broken backup left %q", names)
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	if got := wantDone(t, "version"); !strings.HasPrefix(got, "instantctl ") {
		t.Errorf("printed %q", got)
	}
	if status := run(context.Background(), []string{"--help"}, io.Discard, io.Discard); status != 0 {
		t.Errorf("--help ends with %d", status)
	}
}
