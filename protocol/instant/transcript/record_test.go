package transcript

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
)

func TestRecordedLines(t *testing.T) {
	t.Parallel()
	const alice, id = "34020000001320000001", "812345678901234"
	tests := []struct {
		name, pattern, got, want string
	}{
		{"what fits stays", `{"a":"*","b":"$id","c":1,"d":"x","...":"*"}`, `{"b":"` + id + `","c":1,"d":"x","a":7,"z":0}`,
			`{"a":"*","b":"$id","c":1,"d":"x","...":"*"}`},
		{"what changed is written", `{"a":"*","b":"one","c":1}`, `{"a":7,"b":"two","c":2}`, `{"a":"*","b":"two","c":2}`},
		{"the order is that of the pattern, what is new comes last", `{"b":1,"a":2}`, `{"new":3,"a":2,"b":1}`, `{"b":1,"a":2,"new":3}`},
		{"what is gone goes", `{"a":1,"b":2}`, `{"b":2}`, `{"b":2}`},
		{"what is new in an open object stays unsaid", `{"a":1,"...":"*"}`, `{"a":2,"b":3}`, `{"a":2,"...":"*"}`},
		{"a list grows", `[{"a":"*"}]`, `[{"a":1},{"a":2}]`, `[{"a":"*"},{"a":2}]`},
		{"a list shrinks", `[{"a":"*"},{"a":2}]`, `[{"a":1}]`, `[{"a":"*"}]`},
		{"a new name is bound", `{"a":"$new","b":1}`, `{"a":` + id + `,"b":2}`, `{"a":"$new","b":2}`},
		{"a name that means something else gives way to the right one", `{"who":"$bob"}`, `{"who":"` + alice + `"}`, `{"who":"$alice"}`},
		{"an id that is known is named", `{}`, `{"who":"` + alice + `","number":` + alice + `}`, `{"who":"$alice","number":"$alice"}`},
		{"an id within a text is named", `{}`, `{"queue":"it is queue_u_` + alice + `_"}`, `{"queue":"it is queue_u_$alice_"}`},
		{"ids and times that nobody named are left open", `{}`, `{"id":"812345678909999","msg_id":812345678909999,"create_time":"20240720122334","create_utctime":1721449414.000001}`,
			`{"id":"*","msg_id":"*","create_time":"*","create_utctime":"*"}`},
		{"random names are left open", `{}`, `{"path":"/files/image/202601/0123456789abcdef0123456789abcdef.png"}`, `{"path":"*"}`},
		{"numbers keep their digits", `{}`, `{"a":1.50,"b":100.20}`, `{"a":1.50,"b":100.20}`},
		{"text is not escaped", `{}`, `{"a":"<&> 你好 \" \n"}`, `{"a":"<&> 你好 \" \n"}`},
		{"another shape replaces the former", `{"a":{"b":1},"c":[]}`, `{"a":[1],"c":{"d":null}}`, `{"a":[1],"c":{"d":null}}`},
		{"without a pattern everything is written", ``, `{"a":[true,{"b":null}],"c":{},"d":[]}`, `{"a":[true,{"b":null}],"c":{},"d":[]}`},
		{"long lines are broken between values", `{}`, `{"a":"` + strings.Repeat("x", 100) + `","b":"` + strings.Repeat("y", 50) + `","c":1}`,
			`{"a":"` + strings.Repeat("x", 100) + "\",\n    \"b\":\"" + strings.Repeat("y", 50) + `","c":1}`},
		{"what is no JSON leaves the status alone", `{"a":1}`, `not json`, ``},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			known := names{"alice": alice, "bob": "34020000001320000002", "id": id, "small": "1", "large": large}
			r := recorder{names: known}
			got := strings.TrimPrefix(r.line("< 200", tt.pattern, []byte(tt.got)), "< 200")
			if got = strings.TrimPrefix(got, " "); got != tt.want {
				t.Errorf("pattern %s\nanswer  %s\nrecorded %s\nwant     %s", tt.pattern, tt.got, got, tt.want)
			}
			if got == "" {
				return
			}
			if err := known.match([]byte(got), []byte(tt.got)); err != nil {
				t.Errorf("the recorded %s does not match %s: %v", got, tt.got, err)
			}
		})
	}
}

func TestARecordedScenario(t *testing.T) {
	t.Parallel()
	const before = `# Whatever comes, comments stay.
user alice
> alice GET /list

# The answer to that:
< 200 {"who":"$alice","n":1,
    # Even here.
    "old":true}
> alice GET /list
< 200 {"who":"$alice","...":"*"}
> alice GET /list
<
> - GET /refused
< 200
< 200 {"data":"$data"}
<: Content-Type: text/plain
<= nothing
ws one alice
one<
one< {"cmd":"news","data":{"who":"$alice","text":"old"}}
one< {"cmd":"missing"}
# The end.
one> {"cmd":"quit"}
one is closed with 1000
ws two alice
two quiet
`
	const after = `# Whatever comes, comments stay.
user alice
> alice GET /list

# The answer to that:
< 200 {"who":"$alice","n":"*","new":["$alice"]}
    # Even here.
> alice GET /list
< 200 {"who":"$alice","...":"*"}
> alice GET /list
< 200 {"n":"*","new":["$alice"],"who":"$alice"}
> - GET /refused
< 403
< 403 {"code":403,"reason":"no"}
<: Content-Type: application/json
<= {"code":403,"reason":"no"}
ws one alice
one< {"cmd":"ready"}
one< {"cmd":"news","data":{"who":"$alice","text":"new"}}
# The end.
one> {"cmd":"quit"}
one is closed with 4001
ws two alice
two< {"cmd":"ready"}
two< {"cmd":"news","data":{"text":"new","who":"$alice"}}
two quiet
`
	file := filepath.Join(t.TempDir(), "scenario.txt")
	if err := os.WriteFile(file, []byte(before), 0o644); err != nil {
		t.Fatal(err)
	}
	server := Server{Patience: time.Second, Update: true}
	server.URL = pretender(t)
	server.AdminURL = server.URL
	Run(t, server, file)
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != after {
		t.Errorf("recorded\n%s\nwant\n%s", got, after)
	}
	Run(t, server, file)
	if again, _ := os.ReadFile(file); string(again) != after {
		t.Errorf("recorded once more it is\n%s", again)
	}
}

// Without being told to record, the player only compares.
func TestAScenarioThatDiffersFails(t *testing.T) {
	t.Parallel()
	for name, line := range map[string]string{
		"another answer":         "> alice GET /list\n< 200 {\"n\":\"one\"}\n",
		"another status":         "> alice GET /list\n< 403\n",
		"an unasked frame":       "ws alice\nalice< {\"cmd\":\"ready\"}\nalice quiet\n",
		"one at the end":         "ws alice\nalice< {\"cmd\":\"ready\"}\n",
		"no broker":              "center> {}\n",
		"an unknown word":        "listen\n",
		"no such session's deed": "ws alice\nalice dances\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := "user alice\n" + line
			file := filepath.Join(t.TempDir(), "scenario.txt")
			if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			url := pretender(t)
			err := perform(Server{URL: url, AdminURL: url, Location: time.UTC, Patience: 10 * time.Second}, file, compare)
			if err == nil {
				t.Errorf("%q is played without an error", line)
			}
			if got, _ := os.ReadFile(file); string(got) != text {
				t.Errorf("the file was changed to %q", got)
			}
		})
	}
}

// pretender is a server that answers what the scenarios above say. It knows its
// last user.
func pretender(t *testing.T) (url string) {
	var count atomic.Int64
	var user atomic.Value
	mux := http.NewServeMux()
	mux.HandleFunc("POST /instant/base", func(w http.ResponseWriter, r *http.Request) {
		var said struct {
			Data []struct {
				ID string `json:"standard_id"`
			} `json:"data"`
		}
		if json.NewDecoder(r.Body).Decode(&said) == nil {
			user.Store(said.Data[0].ID)
		}
		fmt.Fprint(w, `{"code":0}`)
	})
	mux.HandleFunc("GET /list", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"n":%d,"new":[%q],"who":%[2]q}`, count.Add(1), user.Load())
	})
	mux.HandleFunc("GET /refused", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, `{"code":403,"reason":"no"}`)
	})
	mux.HandleFunc("GET /instant/ws", func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer conn.CloseNow()
		answer := func(text string) error { return conn.Write(r.Context(), websocket.MessageText, []byte(text)) }
		answer(`{"cmd":"ready"}`)
		answer(fmt.Sprintf(`{"cmd":"news","data":{"text":"new","who":%q}}`, user.Load()))
		for {
			_, frame, err := conn.Read(r.Context())
			if err != nil {
				return
			}
			var said struct {
				Cmd string
				Ref json.RawMessage
			}
			if json.Unmarshal(frame, &said) != nil || said.Cmd == "quit" {
				conn.Close(4001, "")
				return
			}
			answer(`{"cmd":"reply","ref":` + string(said.Ref) + `,"code":0}`)
		}
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}
