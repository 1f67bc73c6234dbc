package actors_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"instantd/actors"
	"instantd/protocol"
)

// faulty is a store that goes wrong on demand.
type faulty struct {
	actors.Store
	refuse atomic.Int64 // so many of the next commits are refused
	panics atomic.Bool  // the next look-up of a client id panics

	mu   sync.Mutex
	held []protocol.Commit // commits wait here while hold is set
	hold bool
}

func (f *faulty) Commit(c protocol.Commit) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.hold:
		f.held = append(f.held, c)
	case f.refuse.Load() > 0:
		f.refuse.Add(-1)
		done := c.Done
		go done(nil, protocol.Errorf(protocol.Unavailable, "disk full"))
	default:
		f.Store.Commit(c)
	}
}

func (f *faulty) release() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hold = false
	for _, c := range f.held {
		f.Store.Commit(c)
	}
	f.held = nil
}

func (f *faulty) Sent(id protocol.ConversationID, sender protocol.UserID, name string) (protocol.Sent, bool, error) {
	if f.panics.Swap(false) {
		panic("injected")
	}
	return f.Store.Sent(id, sender, name)
}

func startFaulty(t *testing.T, change ...func(*actors.Options)) (*server, *faulty) {
	f := &faulty{}
	s := start(t, append(change, func(o *actors.Options) { f.Store = o.Store; o.Store = f })...)
	return s, f
}

func TestARefusedCommitChangesNothing(t *testing.T) {
	t.Parallel()
	s, f := startFaulty(t)
	id := s.group("a", "b")
	s.say(id, "a", "1")
	f.refuse.Store(1)
	refused(s, protocol.Unavailable, protocol.RenameConversation{Conversation: id, By: protocol.AsUser("a"), Name: "never"})
	view := ask(s, protocol.ConversationOf{Conversation: id, By: protocol.AsUser("a")})
	if view.Name != "" || view.Head != 2 {
		t.Errorf("got %+v", view)
	}
	if sent := s.say(id, "a", "2"); sent.Seq != 3 {
		t.Errorf("got %+v", sent)
	}
}

func TestSendsBehindARefusedOneAreRefusedOrStand(t *testing.T) {
	t.Parallel()
	s, f := startFaulty(t)
	id := s.group("a", "b")
	for round := range 30 {
		f.refuse.Store(1)
		var wg sync.WaitGroup
		for n := range 20 {
			wg.Go(func() {
				text := fmt.Sprintf("%d-%d", round, n)
				_, err := try(s, protocol.SendMessage{
					Conversation: id, By: protocol.AsUser("a"), ClientID: text, Content: protocol.Text(text),
				})
				if err != nil && protocol.CodeOf(err) != protocol.Unavailable {
					t.Error(err)
				}
				if err != nil { // as a client would
					ask(s, protocol.SendMessage{
						Conversation: id, By: protocol.AsUser("a"), ClientID: text, Content: protocol.Text(text),
					})
				}
			})
		}
		wg.Wait()
	}
	once := map[string]int{}
	for i, m := range s.history(id) {
		once[m.Content.Parts[0].Text]++
		if m.Seq != protocol.Seq(i+2) {
			t.Fatalf("seq %d stands at place %d", m.Seq, i)
		}
	}
	for text, times := range once {
		if times != 1 {
			t.Errorf("%s stands %d times", text, times)
		}
	}
	if len(once) != 600 {
		t.Errorf("%d messages stand", len(once))
	}
}

func TestNothingIsAnsweredBeforeItsCommit(t *testing.T) {
	t.Parallel()
	s, f := startFaulty(t)
	s.login("b", protocol.ClassApp, "tb")
	id := s.group("a", "b")
	p := s.connect("b", protocol.ClassApp, "tb").resume()
	f.mu.Lock()
	f.hold = true
	f.mu.Unlock()
	answered := make(chan protocol.Sent, 1)
	var wg sync.WaitGroup
	wg.Go(func() { answered <- s.say(id, "a", "held") })
	// A look at the conversation passes the send that waits for its commit.
	for f.waiting() == 0 {
		ask(s, protocol.ConversationOf{Conversation: id, By: protocol.AsUser("a")})
	}
	if view := ask(s, protocol.ConversationOf{Conversation: id, By: protocol.AsUser("a")}); view.Head != 1 {
		t.Errorf("the head shows what is not committed: %+v", view)
	}
	select {
	case sent := <-answered:
		t.Errorf("answered before the commit: %+v", sent)
	default:
	}
	if got := p.seqs(id); len(got) != 1 {
		t.Errorf("announced before the commit: %v", p.got())
	}
	f.release()
	p.wants("held")
	wg.Wait()
}

func (f *faulty) waiting() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.held)
}

func TestAPanicHarmsOneCommand(t *testing.T) {
	t.Parallel()
	s, f := startFaulty(t)
	id := s.group("a", "b")
	send := protocol.SendMessage{Conversation: id, By: protocol.AsUser("a"), ClientID: "1", Content: protocol.Text("x")}
	for range 20 {
		f.panics.Store(true)
		refused(s, protocol.Internal, send)
	}
	if sent := ask(s, send); sent.Seq != 2 {
		t.Errorf("got %+v", sent)
	}
}

func TestAFullQueueRefuses(t *testing.T) {
	t.Parallel()
	s, f := startFaulty(t, func(o *actors.Options) { o.MaxPending = 8 })
	id, other := s.group("a", "b"), s.group("a")
	f.mu.Lock()
	f.hold = true
	f.mu.Unlock()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { s.say(id, "a", "x") })
	}
	for f.waiting() < 8 {
		s.core.Authenticate(context.Background(), "none")
	}
	refused(s, protocol.Unavailable, protocol.SendMessage{Conversation: id, By: protocol.AsUser("a"), Content: protocol.Text("x")})
	ask(s, protocol.ConversationOf{Conversation: other, By: protocol.AsUser("a")})
	f.release()
	wg.Wait()
	s.say(id, "a", "again")
}

func TestShutdownEndsEveryGoroutine(t *testing.T) {
	before := goleak.IgnoreCurrent()
	s := start(t)
	s.login("b", protocol.ClassApp, "tb")
	id := s.group("a", "b")
	p := s.connect("b", protocol.ClassApp, "tb").resume()
	s.say(id, "a", "x")
	p.disconnect()
	s.shutdown()
	if err := s.store.Close(); err != nil {
		t.Fatal(err)
	}
	if err := goleak.Find(before); err != nil {
		t.Error(err)
	}
	refused(s, protocol.Unavailable, protocol.UserOf{User: "b"})
	err := p.session.Resume(context.Background(), nil, nil)
	if err == nil {
		t.Error("a session resumed after the shutdown")
	}
}
