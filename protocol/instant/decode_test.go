package instant

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"instantd/protocol"
)

var alice = protocol.Principal{User: "34020000001320000001", Class: protocol.ClassPC}

func TestDecodeConversation(t *testing.T) {
	t.Parallel()
	group := protocol.CreateConversation{By: alice, Kind: protocol.Group}
	with := func(change func(*protocol.CreateConversation)) *protocol.CreateConversation {
		c := group
		change(&c)
		return &c
	}
	order := func(c protocol.Command[protocol.Done]) protocol.Command[protocol.Done] { return c }
	for name, test := range map[string]struct {
		method, body string
		create       *protocol.CreateConversation
		order        protocol.Command[protocol.Done]
	}{
		"a POST without an action creates": {"POST", `{"type":"group"}`, with(func(*protocol.CreateConversation) {}), nil},
		"20 digits without quotes survive": {"POST", `{"type":"group","master_standard_id":34020000001320000099}`,
			with(func(c *protocol.CreateConversation) { c.Owner = "34020000001320000099" }), nil},
		"blanks around ids, keys and words are dropped": {"POST", `{" action ":" create ","type ":" group ","conversation_id":" c1 "}`,
			with(func(c *protocol.CreateConversation) { c.ID = "c1" }), nil},
		"persons may be one object": {"POST", `{"type":"group","persons":{"standard_id":"b"}}`,
			with(func(c *protocol.CreateConversation) { c.Persons = []protocol.UserID{"b"} }), nil},
		"person may be an array": {"POST", `{"type":"group","person":[{"standard_id":"b"},{"standard_id":7}]}`,
			with(func(c *protocol.CreateConversation) { c.Persons = []protocol.UserID{"b", "7"} }), nil},
		"the exact key wins over the one with a blank": {"POST", `{"type":"group","name ":"blank","name":"exact"}`,
			with(func(c *protocol.CreateConversation) { c.Name = "exact" }), nil},
		"null is absent, unknown keys are ignored": {"POST", `{"type":"group","name":null,"mood":{"x":[1]}}`, &group, nil},
		"create works with PUT":                    {"PUT", `{"action":"create","type":"single"}`, &protocol.CreateConversation{By: alice, Kind: protocol.Direct}, nil},
		"add": {"PUT", `{"action":"add","conversation_id":"c","persons":[{"standard_id":"b"}]}`, nil,
			order(protocol.AddMembers{Conversation: "c", By: alice, Persons: []protocol.UserID{"b"}})},
		"kick works with DELETE": {"DELETE", `{"action":"delete","conversation_id":1,"persons":[{"standard_id":"b"}]}`, nil,
			order(protocol.RemoveMembers{Conversation: "1", By: alice, Persons: []protocol.UserID{"b"}})},
		"quit without a person is the caller": {"POST", `{"action":"quit","conversation_id":"c"}`, nil,
			order(protocol.LeaveConversation{Conversation: "c", By: alice, User: alice.User})},
		"quit names a person": {"PUT", `{"action":"quit","conversation_id":"c","person":{"standard_id":"b"}}`, nil,
			order(protocol.LeaveConversation{Conversation: "c", By: alice, User: "b"})},
		"an empty name is a name": {"PUT", `{"action":"update_name","conversation_id":"c","name":""}`, nil,
			order(protocol.RenameConversation{Conversation: "c", By: alice})},
		"dissolution":   {"PUT", `{"action":"dissolution","conversation_id":"c"}`, nil, order(protocol.DissolveConversation{Conversation: "c", By: alice})},
		"change_master": {"PUT", `{"action":"change_master","conversation_id":"c","master_standard_id":"b"}`, nil, order(protocol.TransferOwnership{Conversation: "c", By: alice, To: "b"})},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			create, order, err := DecodeConversation(test.method, alice, []byte(test.body))
			if err != nil {
				t.Fatalf("%s: %v", test.body, err)
			}
			if diff := cmp.Diff(test.create, create); diff != "" {
				t.Errorf("%s: create (-want +got):\n%s", test.body, diff)
			}
			if diff := cmp.Diff(test.order, order); diff != "" {
				t.Errorf("%s: order (-want +got):\n%s", test.body, diff)
			}
		})
	}
}

func TestDecodeConversationRefuses(t *testing.T) {
	t.Parallel()
	for body, reason := range map[string]string{
		``:                                  "the body is not JSON",
		`{"type":"group"`:                   "the body is not JSON",
		`"group"`:                           "the body is not an object",
		`null`:                              "the body is not an object",
		"{\"name\":\"\xff\"}":               "the body is not valid UTF-8",
		`{"action":7}`:                      "action is not a string",
		`{"action":""}`:                     "action is missing",
		`{"action":"fly"}`:                  "action is none of create, add, delete, quit, update_name, dissolution, change_master",
		`{}`:                                "type is missing",
		`{"type":"crowd"}`:                  "type is neither single nor group",
		`{"type":"group","name":["x"]}`:     "name is not a string",
		`{"type":"group","name":"a\u0001"}`: "name contains a control character",
		`{"type":"group","name":"` + strings.Repeat("x", 257) + `"}`:                                  "name is longer than 256 bytes",
		`{"type":"group","conversation_id":"` + strings.Repeat("x", 201) + `"}`:                       "conversation_id is longer than 200 bytes",
		`{"type":"group","conversation_id":"a\nb"}`:                                                   "conversation_id contains a control character",
		`{"type":"group","conversation_id":{}}`:                                                       "conversation_id is neither a string nor a number",
		`{"type":"group","persons":"b"}`:                                                              "persons is neither a list of objects nor an object",
		`{"type":"group","persons":[7]}`:                                                              "persons[0] is not an object",
		`{"type":"group","persons":[{}]}`:                                                             "persons[0].standard_id is missing",
		`{"type":"group","persons":[{"standard_id":"a"},{"standard_id":" "}]}`:                        "persons[1].standard_id is missing",
		`{"action":"add","conversation_id":"c"}`:                                                      "persons is missing",
		`{"action":"delete","persons":[{"standard_id":"a"}]}`:                                         "conversation_id is missing",
		`{"action":"quit","conversation_id":"c","persons":[{"standard_id":"a"},{"standard_id":"b"}]}`: "person names more than one user",
		`{"action":"update_name","conversation_id":"c"}`:                                              "name is missing",
		`{"action":"change_master","conversation_id":"c"}`:                                            "master_standard_id is missing",
		`{"type":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`:                          "the body is nested deeper than 32",
	} {
		_, _, err := DecodeConversation("POST", alice, []byte(body))
		wantRefusal(t, body, err, protocol.Invalid, reason)
	}
}

func wantRefusal(t *testing.T, input string, err error, code protocol.Code, reason string) {
	t.Helper()
	if err == nil || protocol.CodeOf(err) != code || protocol.ReasonOf(err) != reason {
		t.Errorf("%s: got %v, want %v: %s", input, err, code, reason)
	}
}

// A brace in a string is no nesting, and an escaped quote does not end it.
func TestDepthCountsOnlyStructure(t *testing.T) {
	t.Parallel()
	if err := checkJSON([]byte(`{"name":"\"` + strings.Repeat("{[", 50) + `"}`)); err != nil {
		t.Error(err)
	}
}

func TestDecodeDraft(t *testing.T) {
	t.Parallel()
	got, err := decodeDraft([]byte(`{"conversation_id":12345678901234567890,"publisher_standard_id":"a ","body ":"b","longitude":22.1230,"latitude":"100.2",
		"profile":{"type":"1","name":" v.amr ","audio_duration":2.2},"client_msg_id":7}`), "from the header")
	if err != nil {
		t.Fatal(err)
	}
	want := draft{Conversation: "12345678901234567890", Publisher: "a", ClientID: "7", Body: "b", Longitude: "22.1230", Latitude: "100.2",
		Entries: []entry{{Type: 1, Name: "v.amr", Seconds: 3}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got, err = decodeDraft([]byte(`{}`), "from the header"); err != nil || got.ClientID != "from the header" {
		t.Errorf("without client_msg_id the header counts: got %q, %v", got.ClientID, err)
	}
}

func TestDecodeDraftRefuses(t *testing.T) {
	t.Parallel()
	for body, reason := range map[string]string{
		`{"profile":[{"name":"x"}]}`:                                   "profile[0].type is missing",
		`{"profile":[{"type":12}]}`:                                    "profile[0].type is not between 0 and 11",
		`{"profile":[{"type":-1}]}`:                                    "profile[0].type is not between 0 and 11",
		`{"profile":[{"type":1.5}]}`:                                   "profile[0].type is not a whole number",
		`{"profile":[{"type":0,"name":7}]}`:                            "profile[0].name is not a string",
		`{"profile":[{"type":1,"audio_duration":-1}]}`:                 "profile[0].audio_duration is not a number of seconds",
		`{"profile":[{"type":1,"audio_duration":"NaN"}]}`:              "profile[0].audio_duration is not a number of seconds",
		`{"profile":[{"type":2,"name":"a\u0000.png"}]}`:                "profile[0].name contains a control character",
		`{"conversation_id":"feed:event"}`:                             "conversation_id names a feed: send with type=broadcast or type=event",
		`{"client_msg_id":"` + strings.Repeat("x", 129) + `"}`:         "client_msg_id is longer than 128 bytes",
		`{"longitude":"` + strings.Repeat("1", 65) + `"}`:              "longitude is longer than 64 bytes",
		`{"latitude":true}`:                                            "latitude is neither a string nor a number",
		`{"body":{}}`:                                                  "body is not a string",
		`{"publisher_standard_id":"` + strings.Repeat("9", 201) + `"}`: "publisher_standard_id is longer than 200 bytes",
	} {
		_, err := decodeDraft([]byte(body), "")
		wantRefusal(t, body, err, protocol.Invalid, reason)
	}
}

func TestDecodeFrame(t *testing.T) {
	t.Parallel()
	text := protocol.Text("hi")
	for name, test := range map[string]struct {
		body string
		want Frame
	}{
		"send": {`{"cmd":"send","ref":1,"data":{"conversation_id":"c","client_msg_id":"n","profile":[{"type":0,"name":"hi"}]}}`,
			Frame{Ref: json.RawMessage(`1`), Send: &protocol.SendMessage{Conversation: "c", ClientID: "n", Content: text}}},
		"a ref of any shape comes back as it was": {`{"cmd":"ping","ref":{"a": [1, "x"]}}`, Frame{Ref: json.RawMessage(`{"a": [1, "x"]}`)}},
		"ack":  {`{"cmd":"ack","data":{"conversation_id":"feed:broadcast","seq":"7"}}`, Frame{Acknowledge: &protocol.Acknowledge{Conversation: "feed:broadcast", Seq: 7}}},
		"read": {`{"cmd":" read ","data":{"conversation_id":1,"seq":0}}`, Frame{Acknowledge: &protocol.Acknowledge{Conversation: "1", Read: true}}},
	} {
		got, err := DecodeFrame([]byte(test.body))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestDecodeFrameRefuses(t *testing.T) {
	t.Parallel()
	for body, reason := range map[string]string{
		`x`:                        "the body is not JSON",
		`{}`:                       "cmd is missing",
		`{"cmd":1}`:                "cmd is not a string",
		`{"cmd":"send"}`:           "data is missing",
		`{"cmd":"send","data":[]}`: "data is not an object",
		`{"cmd":"wave","data":{}}`: "cmd is none of send, ack, read, ping",
		`{"cmd":"ack","data":{}}`:  "data.conversation_id is missing",
		`{"cmd":"ack","data":{"conversation_id":"c"}}`:             "data.seq is missing",
		`{"cmd":"ack","data":{"conversation_id":"c","seq":-1}}`:    "data.seq is negative",
		`{"cmd":"send","data":{"conversation_id":"c"}}`:            "profile is missing, and so is every other content",
		`{"cmd":"send","data":{"profile":[{"type":0,"name":""}]}}`: "conversation_id is missing",
		`{"cmd":"ping","ref":"` + strings.Repeat("x", 300) + `"}`:  "ref is longer than 256 bytes",
	} {
		_, err := DecodeFrame([]byte(body))
		wantRefusal(t, body, err, protocol.Invalid, reason)
	}
	_, err := DecodeFrame(make([]byte, maxFrame+1))
	if protocol.CodeOf(err) != protocol.TooLarge {
		t.Errorf("a huge frame: %v", err)
	}
}
