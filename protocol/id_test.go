package protocol

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestMessageIDsGrowWhateverTheClockDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		last := MessageID(0)
		for range 50 {
			now := MessageEpoch.Add(time.Duration(rapid.Int64Range(-1e12, 1e18).Draw(t, "now")))
			next := NextMessageID(last, now)
			if next <= last {
				t.Fatalf("%d follows %d", next, last)
			}
			if next > MaxMessageID {
				t.Fatalf("%d is larger than JavaScript can keep", next)
			}
			last = next
		}
	})
}

func TestMessageIDHoldsItsTime(t *testing.T) {
	at := time.Date(2026, 11, 24, 12, 0, 0, 123_456_789, time.UTC)
	id := NextMessageID(0, at)
	if got, want := id.Time(), at.Truncate(time.Millisecond); !got.Equal(want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := NextMessageID(id, at); got.Sequence() != id.Sequence()+1 || !got.Time().Equal(id.Time()) {
		t.Errorf("the next of the same millisecond is %d after %d", got, id)
	}
	full := id | (1<<messageSeqBits - 1)
	if got := NextMessageID(full, at); got.Time().Sub(id.Time()) != time.Millisecond {
		t.Errorf("a full millisecond borrows from the next: got %v after %v", got.Time(), full.Time())
	}
}

func TestParseMessageID(t *testing.T) {
	for _, test := range []struct {
		text string
		want MessageID
	}{
		{"1", 1}, {"9007199254740991", MaxMessageID},
		{"", 0}, {"0", 0}, {"-1", 0}, {"9007199254740992", 0}, {"1.5", 0}, {"1e3", 0}, {"x", 0}, {" 1", 0},
	} {
		got, err := ParseMessageID("id", test.text)
		if got != test.want || (err == nil) != (test.want != 0) {
			t.Errorf("%q: got %d, %v; want %d", test.text, got, err, test.want)
		}
	}
}

func TestCheckID(t *testing.T) {
	for _, test := range []struct {
		name, id string
		ok       bool
	}{
		{"a national-standard id", "34020000001320000001", true},
		{"Chinese", "会话", true},
		{"the longest", strings.Repeat("x", MaxIDLength), true},
		{"too long", strings.Repeat("x", MaxIDLength+1), false},
		{"empty", "", false},
		{"zero byte", "a\x00b", false},
		{"line feed", "a\nb", false},
		{"delete", "a\x7fb", false},
		{"C1 control", "a\u0085b", false},
		{"broken UTF-8", "a\xffb", false},
	} {
		err := CheckID("conversation_id", test.id)
		if (err == nil) != test.ok {
			t.Errorf("%s: got %v", test.name, err)
		}
		if err != nil && (CodeOf(err) != Invalid || !strings.Contains(err.Error(), "conversation_id")) {
			t.Errorf("%s: %v does not name the field", test.name, err)
		}
	}
}
