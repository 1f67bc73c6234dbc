//go:build linux

package main

import (
	"testing"
	"time"

	"instantd/protocol"
	"instantd/protocol/instant"
)

// rendered is a message as instantd sends it.
func rendered(seq protocol.Seq, words string, compat instant.Compat) []byte {
	return instant.NewEncoder(time.UTC, compat).Encode(protocol.Record{
		Key: protocol.ConversationKey("c"), ID: protocol.FirstMessageID(time.Now()), Seq: seq,
		Event: protocol.MessageSent{Content: protocol.Text(words)},
	})
}

func TestScan(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		payload string
		want    event
	}{
		{"a message of ours", string(rendered(42, text(7, 200), instant.Superset)), event{kind: message, seq: 42, number: 7}},
		{"the same in the document's spelling", string(rendered(42, text(7, 200), instant.Literal)), event{kind: message, seq: 42, number: 7}},
		{"a message of somebody else", string(rendered(3, "good morning", instant.Superset)), event{kind: message, seq: 3, number: -1}},
		{"a text cannot pretend to be a seq", string(rendered(3, `"seq":9,"name":"#8`, instant.Superset)), event{kind: message, seq: 3, number: -1}},
		{"a notice with a place", `{"cmd":"quit_conversation","data":{"seq":5,"conversation_id":"c"}}`, event{kind: notice, seq: 5}},
		{"a recall has the place of the recall", `{"cmd":"recall","data":{"seq":6,"id":"1","message_seq":2}}`, event{kind: notice, seq: 6}},
		{"a notice without a place", `{"cmd":"online_conversation","data":{"person":[]}}`, event{kind: notice}},
		{"success", `{"cmd":"reply","ref":17,"code":0,"data":{"seq":2}}`, event{kind: reply, number: 17}},
		{"failure", `{"cmd":"reply","ref":17,"code":403,"reason":"no"}`, event{kind: reply, number: 17, code: 403}},
		{"failure without a ref", `{"cmd":"reply","code":400}`, event{kind: reply, number: -1, code: 400}},
		{"ready", `{"cmd":"ready"}`, event{kind: ready}},
		{"trimmed", `{"cmd":"trimmed","data":{"from":1,"to":2}}`, event{kind: trimmed}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := scan([]byte(tt.payload)); got != tt.want {
				t.Errorf("scan(%s) = %+v, want %+v", tt.payload, got, tt.want)
			}
		})
	}
}

func TestInstantUnderstandsOurFrames(t *testing.T) {
	t.Parallel()
	f, _, err := readFrame(sendFrame(5, draft("c", text(5, 20))), true)
	if err != nil {
		t.Fatal(err)
	}
	sent, err := instant.DecodeFrame(f.payload)
	if err != nil || sent.Send == nil || string(sent.Ref) != "5" || sent.Send.Conversation != "c" {
		t.Errorf("%s is understood as %+v, %v", f.payload, sent, err)
	}
	f, _, err = readFrame(ackFrame("c", 9), true)
	if err != nil {
		t.Fatal(err)
	}
	ack, err := instant.DecodeFrame(f.payload)
	if err != nil || ack.Acknowledge == nil || ack.Acknowledge.Seq != 9 || ack.Ref != nil {
		t.Errorf("%s is understood as %+v, %v", f.payload, ack, err)
	}
}

func FuzzScan(f *testing.F) {
	f.Add(rendered(1, text(1, 30), instant.Superset))
	f.Add([]byte(`{"cmd":"reply","ref":99999999999999999999,"code":`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		if e := scan(payload); e.number < -1 || e.code < -1 {
			t.Errorf("scan(%q) = %+v", payload, e)
		}
	})
}

func BenchmarkScan(b *testing.B) {
	payload := rendered(123_456, text(123_455, 200), instant.Superset)
	b.ReportAllocs()
	for b.Loop() {
		if scan(payload).seq != 123_456 {
			b.Fatal("not found")
		}
	}
}
