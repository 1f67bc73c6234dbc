package actors_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"instantd/actors"
	"instantd/protocol"
)

// seqs are the numbers of one conversation's events in the order of arrival.
func (p *phone) seqs(id protocol.ConversationID) []int {
	var all []int
	for _, frame := range p.got() {
		var seq int
		if n, _ := fmt.Sscanf(frame, string(id)+"/%d", &seq); n == 1 {
			all = append(all, seq)
		}
	}
	return all
}

func dense(seqs []int) bool {
	for i, seq := range seqs {
		if i > 0 && seq != seqs[i-1]+1 {
			return false
		}
	}
	return true
}

func TestAReturningSessionMissesNothingAndGetsNothingTwice(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.login("b", protocol.ClassApp, "tb")
	id := s.group("a", "b")
	const messages = 3_000
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := range messages {
			s.say(id, "a", fmt.Sprint(n))
		}
	})
	acked, next := 0, 1
	for next <= messages {
		p := s.connect("b", protocol.ClassApp, "tb").resume()
		more := rand.IntN(200)
		p.until("more messages", func() bool { return len(p.frames) > more || next+len(p.frames) > messages })
		p.disconnect()
		seqs := p.seqs(id)
		if len(seqs) == 0 {
			continue
		}
		if seqs[0] != acked+1 || !dense(seqs) {
			t.Fatalf("after %d came %v", acked, seqs)
		}
		acked = seqs[rand.IntN(len(seqs))]
		p.ack(id, protocol.Seq(acked))
		next = seqs[len(seqs)-1]
	}
	wg.Wait()
}

func TestMembershipDecidesWhoIsSentWhat(t *testing.T) {
	t.Parallel()
	s := start(t)
	id := s.group("a")
	const rounds = 60
	by := protocol.AsUser("a")
	phones := make(chan *phone, rounds)
	s.login("b", protocol.ClassApp, "tb")
	var wg sync.WaitGroup
	wg.Go(func() { // b connects again and again while he is let in and expelled
		defer close(phones)
		for range rounds {
			phones <- s.connect("b", protocol.ClassApp, "tb").resume()
		}
	})
	member := map[int]bool{} // by seq: whether b is to be sent it
	in := false
	for seq := 2; seq < 2+rounds*4; seq++ {
		switch rand.IntN(4) {
		case 0:
			member[seq] = true
			if in {
				ask(s, protocol.RemoveMembers{Conversation: id, By: by, Persons: []protocol.UserID{"b"}})
			} else {
				ask(s, protocol.AddMembers{Conversation: id, By: by, Persons: []protocol.UserID{"b"}})
			}
			in = !in
		default:
			member[seq] = in
			s.say(id, "a", "x")
		}
	}
	wg.Wait()
	if !in {
		ask(s, protocol.AddMembers{Conversation: id, By: by, Persons: []protocol.UserID{"b"}})
	}
	s.say(id, "a", "last")
	for p := range phones {
		p.wants("last")
		before := 0
		for _, seq := range p.seqs(id) {
			if allowed, known := member[seq]; known && !allowed {
				t.Errorf("b was sent %d, which was not for him", seq)
			}
			if seq <= before {
				t.Errorf("b was sent %d after %d", seq, before)
			}
			before = seq
		}
		p.disconnect()
	}
}

func TestWhoIsExpelledWhileAwayIsToldOnHisReturn(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.login("b", protocol.ClassApp, "tb")
	id := s.group("a", "b")
	ask(s, protocol.RemoveMembers{Conversation: id, By: protocol.AsUser("a"), Persons: []protocol.UserID{"b"}})
	s.say(id, "a", "behind his back")
	p := s.connect("b", protocol.ClassApp, "tb").resume()
	if got := p.seqs(id); !slices.Equal(got, []int{1, 2}) {
		t.Errorf("got %v", p.got())
	}
	p.ack(id, 2)
	p.disconnect()
	if got := s.connect("b", protocol.ClassApp, "tb").resume().seqs(id); len(got) != 0 {
		t.Errorf("what was acknowledged came again: %v", got)
	}
}

func TestALongAbsenceIsTrimmedAndSaidSo(t *testing.T) {
	t.Parallel()
	s := start(t, func(o *actors.Options) { o.ReplayLimit = 10 })
	s.login("b", protocol.ClassApp, "tb")
	id := s.group("a", "b")
	for range 25 {
		s.say(id, "a", "x")
	}
	p := s.connect("b", protocol.ClassApp, "tb").resume()
	if got := p.seqs(id); len(got) != 10 || got[9] != 26 || !dense(got) {
		t.Errorf("got %v", got)
	}
	if want := string(id) + " trimmed 1-16"; p.got()[0] != want {
		t.Errorf("got %q first, want %q", p.got()[0], want)
	}
}

func TestASlowSessionIsClosedAndResumes(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.login("b", protocol.ClassApp, "tb")
	s.login("c", protocol.ClassApp, "tc")
	id := s.group("a", "b", "c")
	slow, quick := s.connect("b", protocol.ClassApp, "tb").resume(), s.connect("c", protocol.ClassApp, "tc").resume()
	slow.mu.Lock()
	slow.room = 3
	slow.mu.Unlock()
	for n := range 10 {
		s.say(id, "a", fmt.Sprint("n", n))
	}
	quick.wants("n9")
	slow.until("closed", func() bool { return slow.closed == protocol.CloseSlow })
	seqs := slow.seqs(id)
	slow.ack(id, protocol.Seq(seqs[len(seqs)-1]))
	slow.disconnect()
	again := s.connect("b", protocol.ClassApp, "tb").resume()
	if got := append(seqs, again.seqs(id)...); len(got) != 11 || !dense(got) {
		t.Errorf("got %v", got)
	}
}

func TestANewTokenEndsTheSessionsOfTheOld(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.login("b", protocol.ClassApp, "old")
	s.login("b", protocol.ClassPC, "pc")
	app, pc := s.connect("b", protocol.ClassApp, "old").resume(), s.connect("b", protocol.ClassPC, "pc").resume()
	s.login("b", protocol.ClassApp, "new")
	app.until("closed", func() bool { return app.closed == protocol.CloseRevoked })
	refused(s, protocol.Unauthenticated, protocol.OpenSession{By: app.by, Token: "old", Encoder: plain{}, Sink: app})
	if _, err := s.core.Authenticate(context.Background(), "old"); protocol.CodeOf(err) != protocol.Unauthenticated {
		t.Errorf("got %v", err)
	}
	if by, err := s.core.Authenticate(context.Background(), "new"); err != nil || by != app.by {
		t.Errorf("got %+v, %v", by, err)
	}
	refused(s, protocol.Conflict, protocol.LogIn{User: "thief", Class: protocol.ClassApp, Token: "new"})
	id := s.group("a", "b")
	pc.wants(string(id) + "/1 ConversationCreated")
	ask(s, protocol.LogOut{User: "b", Class: protocol.ClassPC})
	pc.until("closed", func() bool { return pc.closed == protocol.CloseRevoked })
}

func TestPresenceIsToldOnceAndOnlyWhenItChanges(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.login("watcher", protocol.ClassApp, "w")
	s.group("watcher", "b")
	s.group("watcher", "b")
	id := s.group("watcher")
	w := s.connect("watcher", protocol.ClassApp, "w").resume()
	s.login("b", protocol.ClassApp, "t1")
	first := s.connect("b", protocol.ClassApp, "t1").resume()
	second := s.connect("b", protocol.ClassApp, "t1").resume()
	s.login("b", protocol.ClassPC, "pc")
	first.disconnect() // late: the second stays
	ask(s, protocol.LogOut{User: "b", Class: protocol.ClassPC})
	s.say(id, "watcher", "barrier 1")
	w.wants("barrier 1")
	ask(s, protocol.LogOut{User: "b", Class: protocol.ClassApp, Token: "stale"}) // late: another token is in force
	ask(s, protocol.LogOut{User: "b", Class: protocol.ClassApp})
	second.disconnect() // its session is closed already
	s.say(id, "watcher", "barrier 2")
	w.wants("barrier 2")
	var seen []string
	for _, frame := range w.got() {
		if strings.HasPrefix(frame, "b/0 ") || strings.Contains(frame, "barrier") {
			seen = append(seen, strings.Fields(frame)[1])
		}
	}
	if want := []string{"CameOnline", "MessageSent", "WentOffline", "MessageSent"}; !slices.Equal(seen, want) {
		t.Errorf("got %v, want %v", seen, want)
	}
	for _, frame := range append(first.got(), second.got()...) {
		if strings.HasPrefix(frame, "b/0 CameOnline") {
			t.Error("b was told of himself")
		}
	}
}

func TestAcknowledgements(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.login("b", protocol.ClassApp, "tb")
	id := s.group("a", "b")
	for range 5 {
		s.say(id, "a", "x")
	}
	p := s.connect("b", protocol.ClassApp, "tb").resume()
	refused(s, protocol.Invalid, protocol.Acknowledge{By: p.by, Conversation: id, Seq: 7})
	refused(s, protocol.Forbidden, protocol.Acknowledge{By: p.by, Conversation: s.group("a"), Seq: 1})
	before := s.store.LastID()
	for seq := range 6 {
		p.ack(id, protocol.Seq(seq+1))
	}
	p.ack(id, 2) // never back
	ask(s, protocol.Acknowledge{By: p.by, Conversation: id, Seq: 4, Read: true})
	p.disconnect()
	got := ask(s, protocol.Watermarks{By: p.by})
	if len(got) != 1 || got[0].Delivered[protocol.ClassApp] != 6 || got[0].Read != 4 {
		t.Errorf("got %+v", got)
	}
	commits := 0
	err := each(s, before, func(r protocol.Record) {
		if _, is := r.Event.(protocol.ReceiptsAdvanced); is {
			commits++
		}
	})
	if err != nil || commits == 0 || commits > 2 {
		t.Errorf("eight acknowledgements became %d commits (%v)", commits, err)
	}
	stored, err := s.store.Watermarks("b")
	if err != nil || len(stored) != 1 || stored[0].Reached() != 6 {
		t.Errorf("stored: %+v, %v", stored, err)
	}
}

// each visits what was committed after an id.
func each(s *server, after protocol.MessageID, visit func(protocol.Record)) error {
	for {
		records, err := s.store.Read(after, 100)
		if err != nil || len(records) == 0 {
			return err
		}
		for _, r := range records {
			visit(r)
			after = r.ID
		}
	}
}

func TestUnsavedAcknowledgementsSurviveAShutdown(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.login("b", protocol.ClassApp, "tb")
	id := s.group("a", "b")
	ask(s, protocol.Acknowledge{By: protocol.Principal{User: "b", Class: protocol.ClassApp}, Conversation: id, Seq: 1})
	s.shutdown()
	if stored, err := s.store.Watermarks("b"); err != nil || len(stored) != 1 || stored[0].Reached() != 1 {
		t.Errorf("got %+v, %v", stored, err)
	}
}

func TestANarrowedMessageAndWhatFollowsItReachItsReceiversOnly(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, user := range []protocol.UserID{"a", "b", "c"} {
		s.login(user, protocol.ClassApp, protocol.Token("t"+user))
	}
	id := s.group("a", "b", "c")
	live := map[protocol.UserID]*phone{}
	for _, user := range []protocol.UserID{"a", "b", "c"} {
		live[user] = s.connect(user, protocol.ClassApp, protocol.Token("t"+user)).resume()
	}
	by := protocol.AsUser("a")
	sent := ask(s, protocol.SendMessage{
		Conversation: id, By: by, Content: protocol.Text("for b"), To: []protocol.UserID{"b", "stranger"},
	})
	ask(s, protocol.UpdateMessage{Conversation: id, By: by, Message: sent.ID, Content: protocol.Text("still for b")})
	ask(s, protocol.RecallMessage{Conversation: id, By: by, Message: sent.ID})
	s.say(id, "a", "for all")
	for user, want := range map[protocol.UserID][]int{"a": {1, 2, 3, 4, 5}, "b": {1, 2, 3, 4, 5}, "c": {1, 5}} {
		live[user].wants("for all")
		later := s.connect(user, protocol.ClassApp, protocol.Token("t"+user)).resume()
		for how, got := range map[string][]int{"live": live[user].seqs(id), "replayed": later.seqs(id)} {
			if !slices.Equal(got, want) {
				t.Errorf("%s to %s: got %v, want %v", how, user, got, want)
			}
		}
	}
	if page := ask(s, protocol.History{Conversation: id, By: protocol.AsUser("c")}); len(page) != 1 {
		t.Errorf("c reads %+v", page)
	}
}
