package persistence

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/dgraph-io/badger/v4"
	"github.com/google/go-cmp/cmp"

	"instantd/protocol"
)

// stillHolds tells whether any row of the store contains words.
func stillHolds(t *testing.T, s *Store, words string) bool {
	t.Helper()
	holds := false
	err := s.views.read(func(txn *badger.Txn) error {
		return scan(txn, nil, nil, func(item *badger.Item) error {
			return item.Value(func(value []byte) error {
				holds = holds || bytes.Contains(value, []byte(words))
				return nil
			})
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return holds
}

func TestTakenBackContentIsGoneFromEveryRow(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		end   func(protocol.Record) protocol.Event
		state protocol.MessageState
	}{
		{"recalled", func(m protocol.Record) protocol.Event {
			return protocol.MessageRecalled{By: "ann", Target: m.Seq, Message: m.ID, Sender: "ann"}
		}, protocol.MessageTakenBack},
		{"deleted", func(m protocol.Record) protocol.Event {
			return protocol.MessageDeleted{By: "ann", Target: m.Seq, Message: m.ID}
		}, protocol.MessageErased},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := openNew(t)
			key := protocol.ConversationKey("c")
			commit(t, s, key, 1, group("ann", "bob"))
			secret := protocol.MessageSent{Sender: "ann", ClientID: "mine", To: []protocol.UserID{"bob"},
				Content: protocol.Content{Parts: []protocol.Part{{Kind: protocol.PartText, Text: "first words"}}, Dialect: "gateway", Payload: []byte("raw payload")}}
			sent := commit(t, s, key, 2, secret)[0]
			edit := protocol.MessageUpdated{By: "ann", Target: sent.Seq, Message: sent.ID, Content: protocol.Text("second words")}
			edited := commit(t, s, key, 3, edit)[0]
			if diff := cmp.Diff(protocol.Event(edit), edited.Event); diff != "" {
				t.Errorf("Done got another update:\n%s", diff)
			}
			if stillHolds(t, s, "first words") || stillHolds(t, s, "raw payload") {
				t.Error("the edited content is still stored")
			}
			if r, _, err := s.Find(edited.ID); err != nil || !cmp.Equal(r.Event, protocol.Event(edit)) {
				t.Errorf("the update reads as %v, %v", r, err)
			}

			commit(t, s, key, 4, c.end(sent))
			if stillHolds(t, s, "second words") {
				t.Error("the content is still stored")
			}
			want := protocol.MessageSent{Sender: "ann", ClientID: "mine", To: []protocol.UserID{"bob"}, State: c.state}
			r, found, err := s.Find(sent.ID)
			if err != nil || !found || r.Seq != sent.Seq || !cmp.Equal(r.Event, protocol.Event(want)) {
				t.Errorf("the message reads as %+v, %v, %v, want %+v", r, found, err, want)
			}
			r, _, err = s.Find(edited.ID)
			if update := r.Event.(protocol.MessageUpdated); err != nil || update.Content.Size() != 0 {
				t.Errorf("the update reads as %+v, %v, want no content", update, err)
			}
			if again, found, err := s.Sent("c", "ann", "mine"); !found || err != nil || again != (protocol.Sent{ID: sent.ID, Seq: 2, Repeated: true}) {
				t.Errorf("by client id: %+v %v %v", again, found, err)
			}
			wantSound(t, s)
		})
	}
}

func TestRewritesInOneCommitSeeEachOther(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	key := protocol.ConversationKey("c")
	commit(t, s, key, 1, group("ann"))
	sent := commit(t, s, key, 2, text1("ann", "one"))[0]
	update := func(words string) protocol.Event {
		return protocol.MessageUpdated{Target: 2, Message: sent.ID, Content: protocol.Text(words)}
	}
	commit(t, s, key, 3, update("two"), update("three"))
	var got []string
	err := s.After("c", 0, func(r protocol.Record) bool {
		switch e := r.Event.(type) {
		case protocol.MessageSent:
			got = append(got, fmt.Sprint(e.State, e.Content.Parts[0].Text))
		case protocol.MessageUpdated:
			got = append(got, e.Content.Parts[0].Text)
		}
		return true
	})
	if err != nil || !cmp.Equal(got, []string{"1three", "three", "three"}) {
		t.Errorf("the log reads %q, %v", got, err)
	}
}

func TestSentFindsByClientID(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	key := protocol.ConversationKey("c")
	commit(t, s, key, 1, group("ann", "bob"))
	m := text1("ann", "hi")
	m.ClientID = "with \x00 anything"
	r := commit(t, s, key, 2, m)[0]
	for _, c := range []struct {
		name     string
		id       protocol.ConversationID
		sender   protocol.UserID
		clientID string
		found    bool
	}{
		{"the message", "c", "ann", m.ClientID, true},
		{"not by another sender", "c", "bob", m.ClientID, false},
		{"not in another conversation", "d", "ann", m.ClientID, false},
		{"not by another name", "c", "ann", "x", false},
	} {
		got, found, err := s.Sent(c.id, c.sender, c.clientID)
		if found != c.found || err != nil || found && got.ID != r.ID {
			t.Errorf("%s: %+v, %v, %v", c.name, got, found, err)
		}
	}
}

// talk makes a conversation c: seq 1 creates it, every third record is a
// notice, the others are messages. It returns the ids by seq.
func talk(t testing.TB, s *Store, id protocol.ConversationID, records int) []protocol.MessageID {
	t.Helper()
	events := []protocol.Event{group("ann")}
	for seq := 2; seq <= records; seq++ {
		if seq%3 == 0 {
			events = append(events, protocol.ConversationRenamed{By: "ann", Name: fmt.Sprint(seq)})
			continue
		}
		events = append(events, text1("ann", fmt.Sprint(seq)))
	}
	ids := make([]protocol.MessageID, 1, records+1)
	for len(events) > 0 {
		n := min(len(events), 500)
		for _, r := range commit(t, s, protocol.ConversationKey(id), protocol.Seq(len(ids)), events[:n]...) {
			ids = append(ids, r.ID)
		}
		events = events[n:]
	}
	return ids
}

func TestBeforeAndAfter(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	ids := talk(t, s, "c", 9) // messages at 2 4 5 7 8, notices at 1 3 6 9
	commit(t, s, protocol.ConversationKey("c"), 10, protocol.MessageDeleted{Target: 5, Message: ids[5]})
	talk(t, s, "b", 4)
	talk(t, s, "ca", 4)

	before := func(id protocol.ConversationID, from protocol.MessageID, limit int) string {
		var got []string
		err := s.Before(id, from, func(m protocol.Message) bool {
			if m.Conversation != id || m.Content.Parts[0].Text != fmt.Sprint(m.Seq) || id == "c" && m.ID != ids[m.Seq] {
				t.Errorf("message is %+v", m)
			}
			got = append(got, fmt.Sprint(m.Seq))
			return len(got) < limit
		})
		if err != nil {
			t.Error(err)
		}
		return strings.Join(got, " ")
	}
	after := func(id protocol.ConversationID, from protocol.MessageID, limit int) string {
		var got []string
		err := s.After(id, from, func(r protocol.Record) bool {
			got = append(got, fmt.Sprint(r.Seq))
			return len(got) < limit
		})
		if err != nil {
			t.Error(err)
		}
		return strings.Join(got, " ")
	}
	for _, c := range []struct{ name, got, want string }{
		{"before nothing: all messages, without the erased one", before("c", 0, 99), "8 7 4 2"},
		{"a page from the newest", before("c", 0, 2), "8 7"},
		{"the page that follows", before("c", ids[7], 2), "4 2"},
		{"before a notice", before("c", ids[3], 99), "2"},
		{"before the first", before("c", ids[1], 99), ""},
		{"before an id between two", before("c", ids[4]+1, 99), "4 2"},
		{"before an id beyond the newest", before("c", protocol.MaxMessageID, 99), "8 7 4 2"},
		{"before in an unknown conversation", before("none", 0, 99), ""},
		{"after nothing: every record", after("c", 0, 99), "1 2 3 4 5 6 7 8 9 10"},
		{"after a record", after("c", ids[7], 99), "8 9 10"},
		{"after a record, two", after("c", ids[7], 2), "8 9"},
		{"after the newest", after("c", protocol.MaxMessageID, 99), ""},
		{"after the largest number", after("c", 1<<63-1, 99), ""},
		{"after a negative id", after("c", -5, 1), "1"},
		{"after in an unknown conversation", after("none", 0, 99), ""},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, c.got, c.want)
		}
	}
}

func TestLocate(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	talk(t, s, "c", 10)
	for _, c := range []struct {
		name  string
		id    protocol.ConversationID
		seq   protocol.Seq
		limit int
		first protocol.Seq
		next  string // what After(at) begins with
	}{
		{"everything is within the limit", "c", 0, 100, 1, "1"},
		{"goes on after seq", "c", 6, 100, 7, "7"},
		{"exactly the limit", "c", 6, 4, 7, "7"},
		{"older ones are beyond the limit", "c", 2, 3, 8, "8"},
		{"only the newest", "c", 0, 1, 10, "10"},
		{"none at all", "c", 0, 0, 11, ""},
		{"nothing follows", "c", 10, 100, 11, ""},
		{"a seq that was not reached yet", "c", 12, 100, 13, ""},
		{"an empty conversation", "none", 0, 100, 1, ""},
		{"an empty conversation, far on", "none", 5, 100, 6, ""},
	} {
		at, first, err := s.Locate(c.id, c.seq, c.limit)
		if err != nil || first != c.first {
			t.Errorf("%s: first is %d, %v, want %d", c.name, first, err, c.first)
		}
		next := ""
		s.After(c.id, at, func(r protocol.Record) bool { next = fmt.Sprint(r.Seq); return false })
		if next != c.next {
			t.Errorf("%s: After begins with %q, want %q", c.name, next, c.next)
		}
	}
}

func TestHeadIsTheNewestRecord(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, options(dir))
	ids := talk(t, s, "c", 7)
	for range 2 { // from the cache, and from the store
		if seq, id, err := s.Head("c"); seq != 7 || id != ids[7] || err != nil {
			t.Errorf("Head is %d, %s, %v", seq, id, err)
		}
		if seq, id, err := s.Head("none"); seq != 0 || id != 0 || err != nil {
			t.Errorf("Head of nothing is %d, %s, %v", seq, id, err)
		}
		closeStore(t, s)
		s = open(t, options(dir))
	}
}

func TestHeadsAreBounded(t *testing.T) {
	t.Parallel()
	var h heads
	for i := range maxHeads + 100 {
		h.advance(map[protocol.ConversationID]head{protocol.ConversationID(fmt.Sprint(i)): {seq: 1}})
	}
	if len(h.at) != maxHeads {
		t.Errorf("%d heads, want %d", len(h.at), maxHeads)
	}
}

func BenchmarkHistoryPage(b *testing.B) {
	o := options(b.TempDir())
	o.Memtable = 0
	s := open(b, o)
	ids := talk(b, s, "c", 200_000)
	for _, c := range []struct {
		name   string
		before protocol.MessageID
	}{{"newest", 0}, {"at=100", ids[100]}, {"at=100000", ids[100_000]}} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				n := 0
				err := s.Before("c", c.before, func(protocol.Message) bool { n++; return n < 50 })
				if n != 50 || err != nil {
					b.Fatal(n, err)
				}
			}
		})
	}
}

func BenchmarkTokenOwner(b *testing.B) {
	s := openNew(b)
	commit(b, s, protocol.UserKey("ann"), 0, protocol.UserImported{}, protocol.LoggedIn{Class: protocol.ClassPC, Token: "t"})
	for b.Loop() {
		if _, _, found, _ := s.TokenOwner("t"); !found {
			b.Fatal("not found")
		}
	}
}
