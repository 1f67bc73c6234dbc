package persistence

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"instantd/protocol"
)

func TestGroupCommitLosesNothingAndKeepsOrder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, options(dir))
	const actors, each = 40, 60

	var mu sync.Mutex
	var order []protocol.MessageID // in the order of Done
	want := map[protocol.MessageID]string{}
	var actor sync.WaitGroup
	for a := range actors {
		actor.Go(func() {
			id := protocol.ConversationID(fmt.Sprintf("c%d", a))
			var pending sync.WaitGroup
			for seq := protocol.Seq(1); seq <= each; seq++ {
				var event protocol.Event = text1("ann", fmt.Sprintf("%s %d", id, seq))
				if seq == 1 {
					event = group("ann")
				}
				pending.Add(1)
				s.Commit(protocol.Commit{Key: protocol.ConversationKey(id), Seq: seq, Events: []protocol.Event{event}, Done: func(r []protocol.Record, err error) {
					defer pending.Done()
					mu.Lock()
					defer mu.Unlock()
					if err != nil || len(r) != 1 || r[0].Seq != seq {
						t.Errorf("%s %d: %v %v", id, seq, r, err)
						return
					}
					order = append(order, r[0].ID)
					want[r[0].ID] = fmt.Sprintf("%s %d", id, seq)
				}})
			}
			pending.Wait()
		})
	}
	actor.Wait()
	for i := 1; i < len(order); i++ {
		if order[i] <= order[i-1] {
			t.Fatalf("id %s was reported after %s", order[i], order[i-1])
		}
	}
	closeStore(t, s)

	s = open(t, options(dir))
	got := map[protocol.MessageID]string{}
	records, err := s.Read(0, actors*each+1)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		got[r.ID] = fmt.Sprintf("%s %d", r.Conversation(), r.Seq)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("reported (-) and stored (+) differ:\n%s", diff)
	}
	if report := wantSound(t, s); report.Conversations != actors || report.Records != actors*each {
		t.Errorf("report is %+v", report)
	}
}

func TestIDsGrowOverRestartAndAClockThatStepsBack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	var last protocol.MessageID
	for round, clock := range []time.Time{now, now.Add(-time.Hour), now.Add(-48 * time.Hour), now.Add(time.Second)} {
		o := options(dir)
		o.Now = func() time.Time { return clock }
		s := open(t, o)
		if s.LastID() != last {
			t.Errorf("round %d: LastID is %s, want %s", round, s.LastID(), last)
		}
		for i := range 3 {
			r := commit(t, s, protocol.SiteKey(), 0, protocol.WaterMarkChanged{Raw: []byte{byte(i)}}, protocol.WaterMarkChanged{})
			if r[0].ID <= last || r[1].ID <= r[0].ID {
				t.Fatalf("round %d: ids %s, %s follow %s", round, r[0].ID, r[1].ID, last)
			}
			last = r[1].ID
		}
		closeStore(t, s)
	}
	if want := protocol.FirstMessageID(now.Add(time.Second)); last < want {
		t.Errorf("the last id is %s, want at least %s of the clock", last, want)
	}
}

// stall keeps the committer in a Done until the returned function is called, so
// that what is handed over meanwhile waits in the queue.
func stall(s *Store) (release func()) {
	entered, leave := make(chan struct{}), make(chan struct{})
	s.Commit(protocol.Commit{Done: func([]protocol.Record, error) { close(entered); <-leave }})
	<-entered
	return func() { close(leave) }
}

func TestARefusedCommitDisturbsNoOther(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	a, b := protocol.ConversationKey("a"), protocol.ConversationKey("b")
	commit(t, s, a, 1, group("ann"))
	commit(t, s, b, 1, group("bob"))

	release := stall(s)
	good := []<-chan answer{hand(s, a, 2, text1("ann", "2")), hand(s, b, 2, text1("bob", "2"))}
	bad := []<-chan answer{hand(s, a, 4, text1("ann", "gap")), hand(s, a, 3, text1("ann", "follows a refused one"))}
	good = append(good, hand(s, b, 3, text1("bob", "3"), text1("bob", "4")), hand(s, b, 5, text1("bob", "5")))
	release()
	for i, c := range good {
		if got := <-c; got.err != nil {
			t.Errorf("good commit %d: %v", i, got.err)
		}
	}
	for _, c := range bad {
		wantCode(t, <-c, protocol.Unavailable)
	}
	commit(t, s, a, 3, text1("ann", "after the refusal was heard"))
	commit(t, s, b, 6, text1("bob", "6"))
	wantSound(t, s)
}

func TestAUsersCommitThatFollowsARefusedOneIsRefused(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	ann := protocol.UserKey("ann")
	release := stall(s)
	refused := hand(s, ann, 0, protocol.CameOnline{}) // of a user who is not known
	follows := hand(s, ann, 0, protocol.UserImported{})
	other := hand(s, protocol.UserKey("bob"), 0, protocol.UserImported{})
	release()
	wantCode(t, <-refused, protocol.NotFound)
	wantCode(t, <-follows, protocol.Unavailable)
	if got := <-other; got.err != nil {
		t.Errorf("another user: %v", got.err)
	}
	commit(t, s, ann, 0, protocol.UserImported{})
	wantSound(t, s)
}

func TestACommitAfterAnAnnouncedRefusalStands(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	ann := protocol.UserKey("ann")
	large := protocol.ReceiptsAdvanced{} // too large for the batch of the refused one
	for i := range 5000 {
		large.Receipts = append(large.Receipts, protocol.Receipt{Conversation: protocol.ConversationID(fmt.Sprint(i)), Read: 1})
	}
	release := stall(s)
	after := make(chan (<-chan answer), 1)
	s.Commit(protocol.Commit{Key: ann, Events: []protocol.Event{protocol.CameOnline{}}, Done: func(_ []protocol.Record, err error) {
		if protocol.CodeOf(err) != protocol.NotFound {
			t.Errorf("the first commit: %v", err)
		}
		after <- hand(s, ann, 0, protocol.UserImported{})
	}})
	follows := hand(s, ann, 0, large)
	release()
	wantCode(t, <-follows, protocol.Unavailable)
	if got := <-(<-after); got.err != nil {
		t.Errorf("a commit that knew of the refusal: %v", got.err)
	}
}

func TestCommitRefuses(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	c := protocol.ConversationKey("c")
	commit(t, s, c, 1, group("ann"))
	many := make([]protocol.UserID, 20_000)
	for i := range many {
		many[i] = protocol.UserID(fmt.Sprintf("user-%d", i))
	}
	for _, row := range []struct {
		name   string
		key    protocol.Key
		seq    protocol.Seq
		events []protocol.Event
		want   protocol.Code
	}{
		{"a key without an id", protocol.ConversationKey(""), 1, []protocol.Event{group("ann")}, protocol.Invalid},
		{"a key that would break the key space", protocol.ConversationKey("a\x00b"), 1, []protocol.Event{group("ann")}, protocol.Invalid},
		{"a key that is too long", protocol.ConversationKey(protocol.ConversationID(strings.Repeat("x", 201))), 1, []protocol.Event{group("ann")}, protocol.Invalid},
		{"a member that would break the key space", protocol.ConversationKey("d"), 1, []protocol.Event{group("ann", "b\x00ob")}, protocol.Invalid},
		{"an unknown kind of key", protocol.Key{Kind: 9, ID: "x"}, 0, []protocol.Event{protocol.CameOnline{}}, protocol.Invalid},
		{"a user with a seq", protocol.UserKey("ann"), 1, []protocol.Event{protocol.UserImported{}}, protocol.Invalid},
		{"a conversation without a seq", c, 0, []protocol.Event{text1("ann", "hi")}, protocol.Unavailable},
		{"a seq that was used", c, 1, []protocol.Event{text1("ann", "hi")}, protocol.Unavailable},
		{"a seq behind a gap", c, 3, []protocol.Event{text1("ann", "hi")}, protocol.Unavailable},
		{"a second event that cannot be stored", c, 2, []protocol.Event{text1("ann", "hi"), nil}, protocol.Internal},
		{"a recall of nothing", c, 2, []protocol.Event{protocol.MessageRecalled{Target: 1, Message: 1}}, protocol.NotFound},
		{"a client id that is too long", c, 2, []protocol.Event{protocol.MessageSent{Sender: "ann", ClientID: strings.Repeat("x", 129)}}, protocol.Invalid},
		{"a direct conversation of three", protocol.ConversationKey("d"), 1, []protocol.Event{protocol.ConversationCreated{Kind: protocol.Direct, Members: persons("a", "b", "c")}}, protocol.Invalid},
		{"more than a transaction holds", protocol.ConversationKey("d"), 1, []protocol.Event{group("ann", many...)}, protocol.TooLarge},
	} {
		t.Run(row.name, func(t *testing.T) { wantCode(t, <-hand(s, row.key, row.seq, row.events...), row.want) })
	}
	records := commit(t, s, c, 2, text1("ann", "nothing happened before"))
	if got, _ := s.Read(0, 10); len(got) != 2 || got[1].ID != records[0].ID {
		t.Errorf("stored are %v, want two records", got)
	}
	wantSound(t, s)
}

func TestLargeCommitsAreDividedOverTransactions(t *testing.T) {
	t.Parallel()
	s := openNew(t) // a transaction of a small memtable holds about 1.2 MB
	key := protocol.ConversationKey("c")
	commit(t, s, key, 1, group("ann"))
	release := stall(s)
	var answers []<-chan answer
	for seq := protocol.Seq(2); seq <= 5; seq++ {
		var members []protocol.UserID
		for i := range 3000 {
			members = append(members, protocol.UserID(fmt.Sprintf("user-%d-%d", seq, i)))
		}
		answers = append(answers, hand(s, key, seq, protocol.MembersAdded{By: "ann", Members: persons(members...)}))
	}
	release()
	for i, c := range answers {
		if got := <-c; got.err != nil {
			t.Errorf("commit %d: %v", i, got.err)
		}
	}
	view, _, err := s.Conversation("c")
	if err != nil || len(view.Members) != 1+4*3000 {
		t.Errorf("%d members, %v", len(view.Members), err)
	}
	wantSound(t, s)
}

func TestAGroupOfTenThousandIsOneCommit(t *testing.T) {
	t.Parallel()
	o := options(t.TempDir())
	o.Memtable = 0 // the default
	s := open(t, o)
	others := make([]protocol.UserID, protocol.MaxMembers-1)
	for i := range others {
		others[i] = protocol.UserID(fmt.Sprintf("34020000001320%06d-%s", i, strings.Repeat("x", 80)))
	}
	id := protocol.ConversationID(strings.Repeat("c", 100))
	created := group("owner", others...)
	commit(t, s, protocol.ConversationKey(id), 1, created)
	view, _, err := s.Conversation(id)
	if err != nil || len(view.Members) != protocol.MaxMembers {
		t.Fatalf("%d members, %v", len(view.Members), err)
	}
	for i, m := range view.Members {
		if m.User != created.Members[i].User {
			t.Fatalf("member %d is %s, want %s: the order of joining is lost", i, m.User, created.Members[i].User)
		}
	}
	commit(t, s, protocol.ConversationKey(id), 2, protocol.ConversationDissolved{By: "owner", Members: created.Members})
	if view, _, err = s.Conversation(id); err != nil || len(view.Members) != 0 || view.Ended == 0 {
		t.Errorf("after dissolution: %d members, ended %s, %v", len(view.Members), view.Ended, err)
	}
}

func TestAFullQueueRefusesInOrder(t *testing.T) {
	t.Parallel()
	o := options(t.TempDir())
	o.QueueLimit = 4
	s := open(t, o)
	release := stall(s)
	var mu sync.Mutex
	var got []string
	var pending sync.WaitGroup
	for i := range 10 {
		pending.Add(1)
		s.Commit(protocol.Commit{Key: protocol.SiteKey(), Events: []protocol.Event{protocol.WaterMarkChanged{}}, Done: func(_ []protocol.Record, err error) {
			defer pending.Done()
			mu.Lock()
			defer mu.Unlock()
			got = append(got, fmt.Sprint(i, " ", err == nil))
			if err != nil && protocol.CodeOf(err) != protocol.Unavailable {
				t.Errorf("commit %d: %v", i, err)
			}
		}})
	}
	release()
	pending.Wait()
	want := []string{"0 true", "1 true", "2 true", "3 true", "4 false", "5 false", "6 false", "7 false", "8 false", "9 false"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestAClosingStoreRefusesInOrder(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	release := stall(s)
	order := make(chan string, 2)
	say := func(what string) func([]protocol.Record, error) {
		return func(_ []protocol.Record, err error) { order <- fmt.Sprint(what, " ", err == nil) }
	}
	events := []protocol.Event{protocol.WaterMarkChanged{}}
	s.Commit(protocol.Commit{Key: protocol.SiteKey(), Events: events, Done: say("before")})
	closed := make(chan error)
	go func() { closed <- s.Close() }()
	for !s.queue.isClosed() {
		runtime.Gosched()
	}
	s.Commit(protocol.Commit{Key: protocol.SiteKey(), Events: events, Done: say("after")})
	release()
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	if first, second := <-order, <-order; first != "before true" || second != "after false" {
		t.Errorf("answers are %q, %q", first, second)
	}
}

func TestADissolvedDirectConversationFreesItsPair(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	created := protocol.ConversationCreated{Kind: protocol.Direct, Creator: "ann", Line: 3, Members: persons("ann", "bob")}
	commit(t, s, protocol.ConversationKey("1"), 1, created)
	commit(t, s, protocol.ConversationKey("1"), 2, protocol.ConversationDissolved{By: "ann", Members: persons("bob", "ann")})
	if id, found, err := s.Direct("ann", "bob", 3); found || err != nil {
		t.Errorf("after dissolution the pair leads to %s, %v", id, err)
	}
	commit(t, s, protocol.ConversationKey("2"), 1, created)
	if id, _, err := s.Direct("ann", "bob", 3); id != "2" || err != nil {
		t.Errorf("the pair leads to %q, %v, want 2", id, err)
	}
	wantSound(t, s)
}

func TestOneDirectConversationPerPairAndLine(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, options(dir))
	direct := func(a, b protocol.UserID, line int) protocol.ConversationCreated {
		return protocol.ConversationCreated{Kind: protocol.Direct, Creator: a, Line: line, Members: persons(a, b)}
	}
	release := stall(s) // both in one batch: the second sees the first
	first := hand(s, protocol.ConversationKey("1"), 1, direct("ann", "bob", 0))
	second := hand(s, protocol.ConversationKey("2"), 1, direct("bob", "ann", 0))
	release()
	if got := <-first; got.err != nil {
		t.Fatal(got.err)
	}
	wantCode(t, <-second, protocol.Conflict)
	commit(t, s, protocol.ConversationKey("3"), 1, direct("bob", "ann", 1))
	closeStore(t, s)

	s = open(t, options(dir))
	wantCode(t, <-hand(s, protocol.ConversationKey("4"), 1, direct("ann", "bob", 1)), protocol.Conflict)
	for _, c := range []struct {
		a, b protocol.UserID
		line int
		want protocol.ConversationID
	}{{"ann", "bob", 0, "1"}, {"bob", "ann", 0, "1"}, {"ann", "bob", 1, "3"}, {"ann", "bob", 2, ""}, {"ann", "eve", 0, ""}} {
		if got, found, err := s.Direct(c.a, c.b, c.line); got != c.want || found != (c.want != "") || err != nil {
			t.Errorf("Direct(%s, %s, %d) is %q, %v, %v, want %q", c.a, c.b, c.line, got, found, err, c.want)
		}
	}
	if _, found, _ := s.Conversation("2"); found {
		t.Error("the refused conversation exists")
	}
	wantSound(t, s)
}

func BenchmarkCommit(b *testing.B) {
	for _, committers := range []int{1, 256} {
		b.Run(fmt.Sprintf("committers=%d", committers), func(b *testing.B) {
			o := options(b.TempDir())
			o.Memtable = 0
			s := open(b, o)
			var all sync.WaitGroup
			n := b.N / committers
			b.ResetTimer()
			for c := range committers {
				all.Go(func() {
					key := protocol.ConversationKey(protocol.ConversationID(fmt.Sprintf("conversation-%d", c)))
					commit(b, s, key, 1, group("ann", "bob"))
					for i := range n {
						m := text1("34020000001320000001", "a message of common length, as people send them all day long")
						m.ClientID = fmt.Sprintf("%d-%d", rand.Uint64(), i)
						commit(b, s, key, protocol.Seq(i+2), m)
					}
				})
			}
			all.Wait()
			b.ReportMetric(float64(n*committers)/b.Elapsed().Seconds(), "commits/s")
		})
	}
}
