package instant

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"instantd/protocol"
)

func TestDecodeBase(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		body string
		want []any
	}{
		"user_import as the document has it": {
			`{"cmd":"user_import","data":[{"standard_id":"34020000001320000001 ","name":"李风","sex":1,"platform_id":42000000050000000005}]}`,
			[]any{protocol.ImportUser{User: "34020000001320000001", Profile: protocol.Profile{Name: "李风", Sex: protocol.SexFemale, Platform: "42000000050000000005"}}},
		},
		"0 is male, nothing is unknown": {
			`{"cmd":"user_import","data":[{"standard_id":"a","sex":"0"},{"standard_id":"b"}]}`,
			[]any{protocol.ImportUser{User: "a", Profile: protocol.Profile{Sex: protocol.SexMale}}, protocol.ImportUser{User: "b"}},
		},
		"a status may be a single object, its token in any form": {
			`{"cmd":"user_status_update","data":{"standard_id":"a","online":1,"type":2,"platform_id":"p","token":"Tricolor<t>"}}`,
			[]any{protocol.LogIn{User: "a", Class: protocol.ClassApp, Token: "t", Platform: "p"}},
		},
		"going offline names the token, so that a late word is known": {
			`{"cmd":" user_status_update ","data ":[{"standard_id":1,"online":"0","type":"1","token":123}]}`,
			[]any{protocol.LogOut{User: "1", Class: protocol.ClassPC, Token: "123"}},
		},
		"the water mark is kept as it is": {
			`{"cmd":"update_water_mark","data":{"id": 1.50, "b":{"a":12345678901234567890}}}`,
			[]any{protocol.SetWaterMark{Raw: []byte(`{"id":1.50,"b":{"a":12345678901234567890}}`)}},
		},
		"a platform's broker": {
			`{"cmd":"platform_mq_update","data":[{"platform_id":"p","mq_host":"h","mq_port":5672,"mq_user":"u","mq_password":"w","mq_vhost":"/v"}]}`,
			[]any{protocol.SetPlatformBroker{Broker: protocol.PlatformBroker{Platform: "p", Host: "h", Port: 5672, User: "u", Password: "w", Vhost: "/v"}}},
		},
		"user_delete":                    {`{"cmd":"user_delete","data":{"standard_id":"a"}}`, []any{protocol.DeleteUser{User: "a"}}},
		"an unknown cmd says nothing":    {`{"cmd":"cascade","data":7}`, nil},
		"an empty list is an empty list": {`{"cmd":"user_import","data":[]}`, []any{}},
	} {
		got, err := DecodeBase([]byte(test.body))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestDecodeBaseRefuses(t *testing.T) {
	t.Parallel()
	for body, reason := range map[string]string{
		`{`:                              "the body is not JSON",
		`[]`:                             "the body is not an object",
		`{"data":[]}`:                    "cmd is missing",
		`{"cmd":"user_import"}`:          "data is missing",
		`{"cmd":"user_import","data":7}`: "data is neither a list of objects nor an object",
		`{"cmd":"user_import","data":[{"standard_id":"a"},{"standard_id":""}]}`:                            "data[1].standard_id is missing",
		`{"cmd":"user_import","data":[{"standard_id":"a","sex":2}]}`:                                       "data[0].sex is neither 0 nor 1",
		`{"cmd":"user_status_update","data":[{"standard_id":"a","type":1}]}`:                               "data[0].online is missing",
		`{"cmd":"user_status_update","data":[{"standard_id":"a","online":1}]}`:                             "data[0].type is missing",
		`{"cmd":"user_status_update","data":[{"standard_id":"a","online":1,"type":3}]}`:                    "data[0].type is neither 1 (pc) nor 2 (app)",
		`{"cmd":"user_status_update","data":[{"standard_id":"a","online":1,"type":1,"token":"a\u0007b"}]}`: "data[0].token contains a control character",
		`{"cmd":"platform_mq_update","data":[{"platform_id":"p","mq_port":65536}]}`:                        "data[0].mq_port is not a port",
		`{"cmd":"update_water_mark","data":"x"}`:                                                           "data is neither an object nor an array",
		`{"cmd":"update_water_mark"}`:                                                                      "data is missing",
	} {
		_, err := DecodeBase([]byte(body))
		wantRefusal(t, body, err, protocol.Invalid, reason)
	}
	_, err := DecodeBase([]byte(`{"cmd":"update_water_mark","data":["` + strings.Repeat("x", 70_000) + `"]}`))
	wantRefusal(t, "a huge water mark", err, protocol.TooLarge, "data is larger than 65536 bytes")
	_, err = DecodeBase(make([]byte, MaxBaseBody+1))
	if protocol.CodeOf(err) != protocol.TooLarge {
		t.Errorf("a huge body: %v", err)
	}
}

// answers is a core that answers by a function and remembers what it was asked.
type answers struct {
	mu    sync.Mutex
	asked []string
	reply func(command any) error
}

func (a *answers) Deliver(_ context.Context, key protocol.Key, command any) protocol.Pending {
	return protocol.Answered(a.answer(key, command))
}

func (a *answers) answer(key protocol.Key, command any) (any, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked = append(a.asked, fmt.Sprintf("%s %T", key, command))
	if a.reply != nil {
		if err := a.reply(command); err != nil {
			return nil, err
		}
	}
	switch command.(type) {
	case protocol.LogIn, protocol.ImportUser:
		return protocol.User{}, nil
	}
	return protocol.Done{}, nil
}

func TestApplyKeepsTheOrderOfAUser(t *testing.T) {
	t.Parallel()
	var body strings.Builder
	body.WriteString(`{"cmd":"user_status_update","data":[`)
	for i := range 400 {
		if i > 0 {
			body.WriteString(",")
		}
		fmt.Fprintf(&body, `{"standard_id":"u%d","online":%d,"type":1,"token":"t"}`, i%100, (i/100+1)%2)
	}
	body.WriteString(`]}`)
	core := &answers{}
	if err := (Base{Core: core}).Apply(t.Context(), []byte(body.String())); err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	for _, asked := range core.asked {
		user, command, _ := strings.Cut(asked, " ")
		seen[user] += command + " "
	}
	if len(seen) != 100 {
		t.Fatalf("%d users were asked, want 100", len(seen))
	}
	for user, got := range seen {
		if want := strings.Repeat("protocol.LogIn protocol.LogOut ", 2); got != want {
			t.Errorf("%s: got %s, want %s", user, got, want)
		}
	}
}

func TestApplyTellsWhatToDo(t *testing.T) {
	t.Parallel()
	body := []byte(`{"cmd":"user_import","data":[{"standard_id":"a"},{"standard_id":"b"},{"standard_id":"a"},{"standard_id":"c"}]}`)
	for name, test := range map[string]struct {
		fail  map[protocol.UserID]protocol.Code
		want  protocol.Code
		asked int
	}{
		"what may pass wins over what never will":     {map[protocol.UserID]protocol.Code{"a": protocol.Gone, "c": protocol.Unavailable}, protocol.Unavailable, 4},
		"what may pass stops its user":                {map[protocol.UserID]protocol.Code{"a": protocol.RateLimited}, protocol.RateLimited, 3},
		"a refusal leaves nothing undone that can be": {map[protocol.UserID]protocol.Code{"a": protocol.Gone}, protocol.Gone, 4},
		"a defect is tried again":                     {map[protocol.UserID]protocol.Code{"b": protocol.Internal}, protocol.Internal, 4},
	} {
		core := &answers{reply: func(command any) error {
			if code, fails := test.fail[command.(protocol.ImportUser).User]; fails {
				return protocol.Errorf(code, "as the test wants")
			}
			return nil
		}}
		err := Base{Core: core}.Apply(t.Context(), body)
		if err == nil || protocol.CodeOf(err) != test.want || len(core.asked) != test.asked {
			t.Errorf("%s: got %v after %d commands, want %v after %d", name, err, len(core.asked), test.want, test.asked)
		}
	}
}

func TestALoginGetsAQueueWhereThereIsABroker(t *testing.T) {
	t.Parallel()
	body := []byte(`{"cmd":"user_status_update","data":{"standard_id":"a","online":1,"type":1,"token":"t"}}`)
	for _, declare := range []bool{false, true} {
		var queue string
		core := &answers{reply: func(command any) error { queue = command.(protocol.LogIn).Queue; return nil }}
		if err := (Base{Core: core, DeclareQueues: declare}).Apply(t.Context(), body); err != nil {
			t.Fatal(err)
		}
		if OwnsQueue("a", queue) != declare {
			t.Errorf("declare %v: the queue is %q", declare, queue)
		}
	}
}
