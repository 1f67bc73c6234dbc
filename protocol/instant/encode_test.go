package instant

import (
	"encoding/json"
	"testing"
	"time"

	"instantd/protocol"
)

// at is an id of a moment that the tests show as 20240720122334.
var at = protocol.FirstMessageID(time.Date(2024, 7, 20, 4, 23, 34, 5e6, time.UTC))

func record(key protocol.Key, seq protocol.Seq, event protocol.Event) protocol.Record {
	return protocol.Record{ID: at, Key: key, Seq: seq, Event: event}
}

var (
	inC         = protocol.ConversationKey("c")
	voice       = protocol.Part{Kind: protocol.PartVoice, Name: "v.amr", Path: "/files/v", Seconds: 3}
	film        = protocol.Part{Kind: protocol.PartVideo, Name: "f.mp4", Path: "/files/f"}
	textPart    = protocol.Part{Kind: protocol.PartText, Text: "hi <&>"}
	locationTag = protocol.Part{Kind: protocol.PartLocation, Longitude: "22.123", Latitude: "100.2"}
	two         = []protocol.Person{{User: "a", Number: 10}, {User: "b", Number: 11}}
)

// TestEncode is the wire: every notice in every spelling that differs.
func TestEncode(t *testing.T) {
	t.Parallel()
	const id = "588237266964480" // of at
	if at.String() != id {
		t.Fatalf("the moment of the test has id %s", at)
	}
	message := record(inC, 7, protocol.MessageSent{Sender: "a", Content: protocol.Content{Parts: []protocol.Part{textPart, voice}}})
	broadcast := record(protocol.ConversationKey(protocol.BroadcastFeed), 2, protocol.MessageSent{Sender: "a", Content: protocol.Content{Parts: []protocol.Part{textPart, film}}})
	event := record(protocol.ConversationKey(protocol.ReportFeed), 3, protocol.MessageSent{Sender: "a", Content: protocol.Content{Parts: []protocol.Part{textPart, locationTag, film}}})
	for name, test := range map[string]struct {
		compat Compat
		record protocol.Record
		want   string
	}{
		"msg": {Superset, message, `{"cmd":"msg","data":{"id":"` + id + `","seq":7,"conversation_id":"c","create_time":"20240720122334","publisher_standard_id":"a","profile":[` +
			`{"id":0,"type":0,"name":"hi <&>","path":"","path ":"","audio_duration":0},{"id":1,"type":1,"name":"v.amr","path":"/files/v","path ":"/files/v","audio_duration":3}]}}`},
		"msg, literal": {Literal, message, `{"cmd":"msg","data":{"id":"` + id + `","seq":7,"conversation_id":"c","create_time":"20240720122334","publisher_standard_id":"a","profile":[` +
			`{"id":0,"type":0,"name":"hi <&>","path ":"","audio_duration":0},{"id":1,"type":1,"name":"v.amr","path ":"/files/v","audio_duration":3}]}}`},
		"msg, clean": {Clean, message, `{"cmd":"msg","data":{"id":"` + id + `","seq":7,"conversation_id":"c","create_time":"20240720122334","publisher_standard_id":"a","profile":[` +
			`{"id":0,"type":0,"name":"hi <&>","path":"","audio_duration":0},{"id":1,"type":1,"name":"v.amr","path":"/files/v","audio_duration":3}]}}`},
		"broadcast": {Superset, broadcast, `{"cmd":"broadcast","data":{"id":"` + id + `","seq":2,"conversation_id":"feed:broadcast","create_time":"20240720122334","publisher_standard_id":"a",` +
			`"body":"hi <&>","body ":"hi <&>","profile":[{"id":0,"type":3,"name":"f.mp4","path":"/files/f","path ":"/files/f","audio_duration":0}]}}`},
		"broadcast, literal": {Literal, broadcast, `{"cmd":"broadcast","data":{"id":"` + id + `","seq":2,"conversation_id":"feed:broadcast","create_time":"20240720122334","publisher_standard_id":"a",` +
			`"body ":"hi <&>","profile":[{"id":0,"type":3,"name":"f.mp4","path ":"/files/f","audio_duration":0}]}}`},
		"event": {Superset, event, `{"cmd":"event","data":{"id":"` + id + `","seq":3,"conversation_id":"feed:event","create_time":"20240720122334","publisher_standard_id":"a","longitude":"22.123","latitude":"100.2",` +
			`"body":"hi <&>","body ":"hi <&>","profile":[{"id":0,"type":3,"name":"f.mp4","path":"/files/f","path ":"/files/f","audio_duration":0}]}}`},
		"event, literal": {Literal, event, `{"cmd":"event","data":{"id":"` + id + `","seq":3,"conversation_id":"feed:event","create_time":"20240720122334","publisher_standard_id":"a","longitude":"22.123","latitude":"100.2",` +
			`"body ":"hi <&>","profile":[{"id":0,"type":3,"name":"f.mp4","path":"/files/f","audio_duration":0}]}}`},
		"create_conversation": {Superset, record(inC, 1, protocol.ConversationCreated{Kind: protocol.Group, Name: "n", Owner: "a", Members: two}),
			`{"cmd":"create_conversation","data":{"seq":1,"conversation_id":"c","type":"group","name":"n","master_standard_id":"a","persons":[{"id":10,"standard_id":"a"},{"id":11,"standard_id":"b"}]}}`},
		"create_conversation of a pair without a name": {Superset, record(inC, 1, protocol.ConversationCreated{Kind: protocol.Direct, Owner: "a", Members: two}),
			`{"cmd":"create_conversation","data":{"seq":1,"conversation_id":"c","type":"single","name":"","master_standard_id":"a","persons":[{"id":10,"standard_id":"a"},{"id":11,"standard_id":"b"}]}}`},
		"join_conversation": {Superset, record(inC, 2, protocol.MembersAdded{By: "a", Members: two[1:]}),
			`{"cmd":"join_conversation","data":{"seq":2,"conversation_id":"c","persons":[{"standard_id":"b"}]}}`},
		"expulsion_conversation": {Superset, record(inC, 3, protocol.MembersRemoved{By: "a", Members: two[1:]}),
			`{"cmd":"expulsion_conversation","data":{"seq":3,"conversation_id":"c","persons":[{"id":11,"standard_id":"b"}]}}`},
		"expulsion_conversation, literal": {Literal, record(inC, 3, protocol.MembersRemoved{By: "a", Members: two[1:]}),
			`{"cmd":" expulsion_conversation","data":{"seq":3,"conversation_id":"c","persons":[{"id":11,"standard_id":"b"}]}}`},
		"quit_conversation": {Superset, record(inC, 4, protocol.MemberLeft{Member: two[0]}),
			`{"cmd":"quit_conversation","data":{"seq":4,"conversation_id":"c","person":{"id":10,"standard_id":"a"}}}`},
		"update_name_conversation": {Superset, record(inC, 5, protocol.ConversationRenamed{Name: "夜班"}),
			`{"cmd":"update_name_conversation","data":{"seq":5,"conversation_id":"c","name":"夜班"}}`},
		"change_master_conversation": {Superset, record(inC, 6, protocol.OwnerChanged{Owner: "b"}),
			`{"cmd":"change_master_conversation","data":{"seq":6,"conversation_id":"c","master_standard_id":"b"}}`},
		"dissolution_conversation": {Clean, record(inC, 8, protocol.ConversationDissolved{By: "a", Members: two}),
			`{"cmd":"dissolution_conversation","data":{"seq":8,"conversation_id":"c"}}`},
		"dissolution_conversation, literal": {Literal, record(inC, 8, protocol.ConversationDissolved{}),
			`{"cmd":" dissolution_conversation","data":{"seq":8,"conversation_id":"c"}}`},
		"online_conversation": {Superset, record(protocol.UserKey("a"), 0, protocol.CameOnline{}),
			`{"cmd":"online_conversation","data":{"person":[{"id":"a","standard_id":"a"}]}}`},
		"online_conversation, literal": {Literal, record(protocol.UserKey("a"), 0, protocol.CameOnline{}),
			`{"cmd":"online_conversation","data":{"person":[{"id":"a"}]}}`},
		"offline_conversation": {Superset, record(protocol.UserKey("a"), 0, protocol.WentOffline{}),
			`{"cmd":"offline_conversation","data":{"person":[{"id":"a","standard_id":"a"}]}}`},
		"offline_conversation, literal": {Literal, record(protocol.UserKey("a"), 0, protocol.WentOffline{}),
			`{"cmd":"offline_conversation","data":{"person":[{"standard_id":"a"}]}}`},
		"update_water_mark": {Superset, record(protocol.SiteKey(), 0, protocol.WaterMarkChanged{Raw: []byte(`{"id":1,"mark":true,"x":1.50}`)}),
			`{"cmd":"update_water_mark","data":{"id":1,"mark":true,"x":1.50}}`},
		"recall": {Superset, record(inC, 9, protocol.MessageRecalled{By: "a", Target: 7, Message: 5, Sender: "b"}),
			`{"cmd":"recall","data":{"seq":9,"conversation_id":"c","id":"5","message_seq":7,"operator_standard_id":"a"}}`},
		"delete": {Superset, record(inC, 9, protocol.MessageDeleted{Target: 7, Message: 5}),
			`{"cmd":"delete","data":{"seq":9,"conversation_id":"c","id":"5","message_seq":7}}`},
		"update": {Clean, record(inC, 9, protocol.MessageUpdated{By: "a", Target: 7, Message: 5, Content: protocol.Text("new")}),
			`{"cmd":"update","data":{"seq":9,"conversation_id":"c","id":"5","message_seq":7,"operator_standard_id":"a","profile":[{"id":0,"type":0,"name":"new","path":"","audio_duration":0}]}}`},
		"update of a broadcast": {Clean, record(protocol.ConversationKey(protocol.BroadcastFeed), 9, protocol.MessageUpdated{Target: 7, Message: 5, Content: protocol.Text("new")}),
			`{"cmd":"update","data":{"seq":9,"conversation_id":"feed:broadcast","id":"5","message_seq":7,"body":"new","profile":[]}}`},
		"an import is nobody's news":         {Superset, record(protocol.UserKey("a"), 0, protocol.UserImported{}), ``},
		"a deleted account is nobody's news": {Superset, record(protocol.UserKey("a"), 0, protocol.UserDeleted{}), ``},
		"a login is nobody's news":           {Superset, record(protocol.UserKey("a"), 0, protocol.LoggedIn{}), ``},
		"a logout is nobody's news":          {Superset, record(protocol.UserKey("a"), 0, protocol.LoggedOut{}), ``},
		"a receipt is nobody's news":         {Superset, record(protocol.UserKey("a"), 0, protocol.ReceiptsAdvanced{}), ``},
		"a bound queue is nobody's news":     {Superset, record(protocol.UserKey("a"), 0, protocol.QueueBound{}), ``},
		"a released queue is nobody's news":  {Superset, record(protocol.UserKey("a"), 0, protocol.QueueReleased{}), ``},
		"a closed window is nobody's news":   {Superset, record(protocol.UserKey("a"), 0, protocol.OfflineCaught{}), ``},
		"a platform's broker is a secret":    {Superset, record(protocol.SiteKey(), 0, protocol.PlatformBrokerChanged{}), ``},
	} {
		if got := string(NewEncoder(zone(t, "Asia/Shanghai"), test.compat).Encode(test.record)); got != test.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, test.want)
		}
	}
}

func TestEncodersAreComparable(t *testing.T) {
	t.Parallel()
	a := protocol.Encoder(NewEncoder(time.UTC, Superset))
	if b := protocol.Encoder(NewEncoder(time.UTC, Superset)); a != b {
		t.Error("two encoders of the same settings differ, so every frame is built twice")
	}
	if b := protocol.Encoder(NewEncoder(time.UTC, Clean)); a == b {
		t.Error("encoders of different spellings are the same")
	}
}

func TestListsSpellIDsAsTheDocument(t *testing.T) {
	t.Parallel()
	e := NewEncoder(nil, Clean)
	for feed, want := range map[protocol.ConversationID]string{"c": `"5"`, protocol.BroadcastFeed: `5`, protocol.ReportFeed: `5`} {
		shown := e.encodeMessage(protocol.Message{ID: 5, Seq: 1, Conversation: feed}, inList)
		if got := string(marshal(shown.ID)); got != want || shown.ConversationID != "" {
			t.Errorf("%s: id %s in conversation %q, want %s in none", feed, got, shown.ConversationID, want)
		}
	}
}

func TestWhatBecameOfAMessageIsShown(t *testing.T) {
	t.Parallel()
	e := NewEncoder(nil, Superset)
	for state, want := range map[protocol.MessageState]string{protocol.MessageKept: "", protocol.MessageEdited: "updated", protocol.MessageTakenBack: "recalled"} {
		shown := e.encodeMessage(protocol.Message{MessageSent: protocol.MessageSent{State: state}}, inList)
		if shown.State != want || string(marshal(shown.Profile)) != "[]" {
			t.Errorf("state %d: got %q and %s, want %q and []", state, shown.State, marshal(shown.Profile), want)
		}
	}
}

func TestLiteralAndCleanSpellAnswers(t *testing.T) {
	t.Parallel()
	for compat, want := range map[Compat]string{
		Superset: `{"code":0,"data":{"conversation_id":"c","create_utctime":1.000000},"data ":{"conversation_id":"c","create_utctime":1.000000}}`,
		Literal:  `{"code":0,"data ":{"conversation_id":"c","create_utctime":1.000000}}`,
		Clean:    `{"code":0,"data":{"conversation_id":"c","create_utctime":1.000000}}`,
	} {
		got := New(Options{Compat: compat}).created(created{"c", utcTime(time.Unix(1, 0))})
		if string(marshal(got)) != want {
			t.Errorf("%s: got %s", compat, marshal(got))
		}
	}
	both := NewEncoder(nil, Clean).encodeThread("c", nil)
	if want := `{"conversation_id":"c","messeages":[],"messages":[]}`; string(marshal(both)) != want {
		t.Errorf("clean: got %s", marshal(both))
	}
	if want := `{"conversation_id":"c","messeages":[]}`; string(marshal(NewEncoder(nil, Literal).encodeThread("c", nil))) != want {
		t.Errorf("literal: want %s", want)
	}
}

func TestParseCompat(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Compat{"": Superset, "superset": Superset, "literal": Literal, "clean": Clean} {
		if got, err := ParseCompat(text); got != want || err != nil {
			t.Errorf("%q: got %q, %v", text, got, err)
		}
	}
	if _, err := ParseCompat("strict"); protocol.CodeOf(err) != protocol.Invalid {
		t.Errorf("strict: %v", err)
	}
}

func BenchmarkEncode(b *testing.B) {
	e := NewEncoder(time.UTC, Superset)
	r := record(inC, 7, protocol.MessageSent{Sender: "34020000001320000001", Content: protocol.Text("hello")})
	b.ReportAllocs()
	for b.Loop() {
		if !json.Valid(e.Encode(r)) {
			b.Fatal("no JSON")
		}
	}
}
