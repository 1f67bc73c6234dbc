package persistence

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/dgraph-io/badger/v4"
	"github.com/google/go-cmp/cmp"

	"instantd/protocol"
)

// The interfaces that the package promises to satisfy.
var (
	_ protocol.Outbox = (*Store)(nil)
	_ protocol.Roster = (*Store)(nil)
	_ protocol.Files  = (*Store)(nil)
)

func wantPosition(t *testing.T, s *Store, way string, want protocol.MessageID) {
	t.Helper()
	if got, err := s.Position(way); got != want || err != nil {
		t.Fatalf("position of %s is %s, %v, want %s", way, got, err, want)
	}
}

func TestANewWayBeginsAtTheNewestEventAndStaysThere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, options(dir))
	ids := talk(t, s, "c", 5)
	wantPosition(t, s, "amqp", ids[5])
	more := commit(t, s, protocol.ConversationKey("c"), 6, text1("ann", "more"))[0]
	wantPosition(t, s, "amqp", ids[5])
	closeStore(t, s)

	s = open(t, options(dir))
	wantPosition(t, s, "amqp", ids[5])
	wantPosition(t, s, "webhook", more.ID)
	if depth, err := s.Depth("amqp"); depth != 1 || err != nil {
		t.Errorf("depth is %d, %v, want 1", depth, err)
	}
	if depth, err := s.Depth("webhook"); depth != 0 || err != nil {
		t.Errorf("depth is %d, %v, want 0", depth, err)
	}
	if depth, err := s.Depth("unknown"); depth != 6 || err != nil {
		t.Errorf("depth of an unknown way is %d, %v, want 6", depth, err)
	}
	if want := map[string]protocol.MessageID{"amqp": ids[5], "webhook": more.ID}; !cmp.Equal(s.Ways(), want) {
		t.Errorf("ways are %v, want %v", s.Ways(), want)
	}
}

func TestConfirmationsSurviveClose(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, options(dir))
	ids := talk(t, s, "c", 5)
	for _, id := range []protocol.MessageID{ids[2], ids[4], ids[3]} { // never back
		if err := s.Confirm("amqp", id); err != nil {
			t.Fatal(err)
		}
	}
	wantPosition(t, s, "amqp", ids[4])
	if err := s.Confirm("amqp", ids[5]+1); protocol.CodeOf(err) != protocol.Invalid {
		t.Errorf("confirming what was not committed: %v", err)
	}
	if err := s.Confirm("", ids[1]); protocol.CodeOf(err) != protocol.Invalid {
		t.Errorf("confirming without a name: %v", err)
	}
	closeStore(t, s)
	s = open(t, options(dir))
	wantPosition(t, s, "amqp", ids[4])
}

func TestConfirmationsAreStoredWithTheNextCommit(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	ids := talk(t, s, "c", 5)
	if err := s.Confirm("amqp", ids[5]); err != nil {
		t.Fatal(err)
	}
	commit(t, s, protocol.ConversationKey("c"), 6, text1("ann", "next"))
	if s.outbox.isDirty() {
		t.Error("the position is not stored after a commit")
	}
}

func TestConfirmationsAreStoredThoughNothingIsCommitted(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	ids := talk(t, s, "c", 5)
	stored := make(chan struct{}, 1)
	s.committer.write = func(txn *badger.Txn) error {
		defer func() { stored <- struct{}{} }()
		return txn.Commit()
	}
	if err := s.Confirm("amqp", ids[5]); err != nil {
		t.Fatal(err)
	}
	<-stored // within about a second
	wantPosition(t, s, "amqp", ids[5])
}

func TestAWayIsNotBegunOnAFullDisk(t *testing.T) {
	t.Parallel()
	var free atomic.Uint64
	free.Store(100)
	o := options(t.TempDir())
	o.MinFree, o.free = 100, func(string) (uint64, error) { return free.Load(), nil }
	s := open(t, o)
	free.Store(99)
	s.disk.look()
	if _, err := s.Position("amqp"); protocol.CodeOf(err) != protocol.Unavailable {
		t.Errorf("Position: %v", err)
	}
	free.Store(100)
	s.disk.look()
	wantPosition(t, s, "amqp", 0)
	if s.outbox.isDirty() {
		t.Error("the position is not stored")
	}
}

func TestWaysAreBounded(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	for i := range maxWays {
		if err := s.Confirm(string(rune('a'+i)), 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Confirm("one too many", 0); protocol.CodeOf(err) != protocol.TooLarge {
		t.Errorf("Confirm: %v", err)
	}
	if _, err := s.Position("one too many"); protocol.CodeOf(err) != protocol.TooLarge {
		t.Errorf("Position: %v", err)
	}
}

func TestOutboxIsInCommitOrderAsItIsStoredNow(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, options(dir))
	var want []protocol.Record
	add := func(key protocol.Key, seq protocol.Seq, events ...protocol.Event) {
		want = append(want, commit(t, s, key, seq, events...)...)
	}
	add(protocol.UserKey("ann"), 0, protocol.UserImported{Profile: protocol.Profile{Name: "Ann"}}, protocol.CameOnline{})
	add(protocol.ConversationKey("c"), 1, group("ann", "bob"))
	add(protocol.ConversationKey("c"), 2, text1("ann", "taken back"), text1("ann", "stays"))
	add(protocol.SiteKey(), 0, protocol.WaterMarkChanged{Raw: []byte("{}")})
	add(protocol.ConversationKey("c"), 4, protocol.MessageRecalled{By: "ann", Target: 2, Message: want[3].ID, Sender: "ann"})
	want[3].Event = protocol.MessageSent{Sender: "ann", State: protocol.MessageTakenBack}
	closeStore(t, s)

	s = open(t, options(dir))
	var got []protocol.Record
	for after := protocol.MessageID(0); ; {
		page, err := s.Read(after, 2)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		got, after = append(got, page...), page[len(page)-1].ID
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
	for _, r := range want {
		if found, ok, err := s.Find(r.ID); !ok || err != nil || !cmp.Equal(found, r) {
			t.Errorf("Find(%s) is %v, %v, %v", r.ID, found, ok, err)
		}
	}
	if _, ok, err := s.Find(want[0].ID - 1); ok || err != nil {
		t.Errorf("Find of no record: %v, %v", ok, err)
	}
	if page, err := s.Read(0, 0); len(page) != 0 || err != nil {
		t.Errorf("Read of nothing: %v, %v", page, err)
	}
}

func TestWait(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	first := commit(t, s, protocol.ConversationKey("c"), 1, group("ann"))[0].ID
	ctx := t.Context()
	if err := s.Wait(ctx, first-1); err != nil {
		t.Fatalf("there is something newer: %v", err)
	}
	waiting := func(ctx context.Context, after protocol.MessageID) <-chan error {
		done := make(chan error, 1)
		go func() { done <- s.Wait(ctx, after) }()
		return done
	}
	next, distant := waiting(ctx, first), waiting(ctx, protocol.MaxMessageID)
	commit(t, s, protocol.ConversationKey("c"), 2, text1("ann", "hi"))
	if err := <-next; err != nil {
		t.Errorf("after a commit: %v", err)
	}
	cancelled, cancel := context.WithCancel(ctx)
	stopped := waiting(cancelled, protocol.MaxMessageID)
	cancel()
	if err := <-stopped; !errors.Is(err, context.Canceled) {
		t.Errorf("after cancelling: %v", err)
	}
	closeStore(t, s)
	if err := <-distant; protocol.CodeOf(err) != protocol.Unavailable {
		t.Errorf("after closing: %v", err)
	}
}
