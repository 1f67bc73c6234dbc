package instant

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"instantd/protocol"
)

func TestEveryFailureOfTheCoreIsAnswered(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	token := s.login(t, "a")
	requests := []string{
		"GET /instant/c_conversation", `POST /instant/c_conversation {"type":"group"}`, `PUT /app/c_conversation {"action":"dissolution","conversation_id":"c"}`,
		"GET /instant/c_message_offline", "GET /instant/c_message_unread", "GET /instant/c_message_history?conversation_id=c",
		"GET /instant/c_broadcast_offline", "GET /instant/c_broadcast_unread", "GET /instant/c_broadcast_history", "GET /instant/c_event_history",
		`POST /instant/c_message_text {"conversation_id":"c","profile":[{"type":0,"name":"hi"}]}`, `POST /uploads {"conversation_id":"c","profile":[{"type":0,"name":"hi"}]}`,
	}
	for _, code := range protocol.Codes {
		s.core.fail = protocol.Errorf(code, "as the test wants")
		reason := protocol.ReasonOf(s.core.fail)
		for _, request := range requests {
			method, rest, _ := strings.Cut(request, " ")
			target, body, _ := strings.Cut(rest, " ")
			got, answer := s.do(t, method, target, token, "application/json", strings.NewReader(body))
			want := `{"code":` + strconv.Itoa(status(code)) + `,"reason":"` + reason + `"}`
			if got != status(code) || answer != want {
				t.Errorf("%s with %v: %d %s, want %s", request, code, got, answer, want)
			}
		}
	}
}

func TestBodiesAreBounded(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	token := s.login(t, "a")
	huge := `{"type":"group","name":"` + strings.Repeat("x", MaxBody) + `"}`
	for _, target := range []string{"/instant/c_conversation", "/instant/c_message_text"} {
		if status, body := s.post(t, target, token, huge); status != 413 {
			t.Errorf("%s: %d %s", target, status, body)
		}
	}
}

func TestTheHeaderNamesTheMessage(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	token := room(t, s)
	var answers []string
	for range 2 {
		request, err := http.NewRequest("POST", s.main.URL+"/instant/c_message_text", strings.NewReader(`{"conversation_id":"c","profile":[{"type":0,"name":"hi"}]}`))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("X-Token", token)
		request.Header.Set("Idempotency-Key", "once")
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || response.StatusCode != 200 {
			t.Fatalf("%d %s %v", response.StatusCode, body, err)
		}
		answers = append(answers, string(body))
	}
	if answers[0] != answers[1] {
		t.Errorf("got %v", answers)
	}
}

// What the core is asked is what the query says.
func TestOffsetsReachTheCore(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	token := room(t, s)
	const offset = "20240720122334"
	moment := time.Date(2024, 7, 20, 4, 23, 34, 0, time.UTC)
	first, next := protocol.FirstMessageID(moment), protocol.FirstMessageID(moment.Add(time.Second))
	by := protocol.Principal{User: "a", Class: protocol.ClassPC}
	for target, want := range map[string]any{
		"c_message_unread":                                                           protocol.Unread{By: by},
		"c_message_unread?offset=" + offset:                                          protocol.Unread{By: by, After: first - 1},
		"c_broadcast_unread?offset=" + offset:                                        protocol.Unread{By: by, Conversation: protocol.BroadcastFeed, After: first - 1},
		"c_message_history?conversation_id=c":                                        protocol.History{Conversation: "c", By: by, Limit: 20},
		"c_message_history?conversation_id=c&limit=999":                              protocol.History{Conversation: "c", By: by, Limit: 200},
		"c_event_history?limit=7&offset=" + offset:                                   protocol.History{Conversation: protocol.ReportFeed, By: by, Limit: 7, Before: next},
		"c_broadcast_history?before_id=5&offset=" + offset:                           protocol.History{Conversation: protocol.BroadcastFeed, By: by, Limit: 20, Before: 5},
		"c_broadcast_history?before_id=" + (next + 9).String() + "&offset=" + offset: protocol.History{Conversation: protocol.BroadcastFeed, By: by, Limit: 20, Before: next},
		"c_broadcast_offline":                                                        protocol.Offline{By: by, Feed: protocol.BroadcastFeed},
	} {
		if status, body := s.do(t, "GET", "/instant/"+target, token, "", nil); status != 200 {
			t.Errorf("%s: %d %s", target, status, body)
		}
		if got := s.core.delivers[len(s.core.delivers)-1]; got != want {
			t.Errorf("%s: the core was asked %+v, want %+v", target, got, want)
		}
	}
}

func TestTheAdminDoorNeedsASignature(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	stamp := func(age time.Duration) string { return strconv.FormatInt(now.Add(-age).UnixMilli(), 10) }
	signed := func(secret, timestamp string) http.Header {
		return http.Header{"Nonce": {"n"}, "Timestamp": {timestamp}, "Sign": {Sign("n", secret, timestamp)}}
	}
	for name, test := range map[string]struct {
		secret  string
		anyTime bool
		header  http.Header
		want    string
	}{
		"signed now":              {"s", false, signed("s", stamp(0)), ""},
		"signed two hours ago":    {"s", false, signed("s", stamp(2*time.Hour)), ""},
		"signed too long ago":     {"s", false, signed("s", stamp(2*time.Hour+1e6)), "timestamp is more than two hours off"},
		"signed in the future":    {"s", false, signed("s", stamp(-3*time.Hour)), "timestamp is more than two hours off"},
		"any time":                {"s", true, signed("s", stamp(999*time.Hour)), ""},
		"another secret":          {"s", false, signed("t", stamp(0)), "sign is wrong"},
		"upper case":              {"s", false, http.Header{"Nonce": {"n"}, "Timestamp": {stamp(0)}, "Sign": {strings.ToUpper(Sign("n", "s", stamp(0)))}}, "sign is wrong"},
		"no headers":              {"s", false, http.Header{}, "the headers nonce, timestamp and sign are missing"},
		"no number":               {"s", false, signed("s", "soon"), "timestamp is not in milliseconds"},
		"a server without secret": {"", false, signed("", stamp(0)), "the server has no admin secret"},
	} {
		d := New(Options{AdminSecret: test.secret, AdminAnyTime: test.anyTime})
		d.now = func() time.Time { return now }
		err := d.checkSignature(test.header)
		if test.want == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		wantRefusal(t, name, err, protocol.Unauthenticated, test.want)
	}
	// The document of the server API: sha1("76616|123456|1558350862502").
	if got := Sign("76616", "123456", "1558350862502"); got != "b98f9b0717f59febccf1440067a7f50d9b31bdde" {
		t.Errorf("the documented example gives %s", got)
	}
	s := serve(t, nil)
	response, err := http.Post(s.admin.URL+"/instant/base", "application/json", strings.NewReader(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, _ := io.ReadAll(response.Body); response.StatusCode != 401 || !strings.Contains(string(body), `"code":401`) {
		t.Errorf("without a signature: %d %s", response.StatusCode, body)
	}
}
