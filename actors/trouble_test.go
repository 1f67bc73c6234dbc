package actors_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"instantd/actors"
	"instantd/protocol"
)

// suspend keeps commits waiting until release.
func (f *faulty) suspend() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hold = true
}

// retiring returns when a core that is shutting down refuses commands, and has
// told its actors to retire.
func (s *server) retiring() {
	for {
		if _, err := try(s, protocol.UserOf{User: "nobody"}); protocol.CodeOf(err) == protocol.Unavailable {
			return
		}
	}
}

func TestCommandsBehindAPanicGoOn(t *testing.T) {
	t.Parallel()
	s, f := startFaulty(t)
	id := s.group("a", "b")
	f.suspend()
	by, ctx := protocol.AsUser("a"), t.Context()
	rename := protocol.Begin(ctx, s.core, protocol.RenameConversation{Conversation: id, By: by, Name: "n"})
	f.panics.Store(true)
	first := protocol.Begin(ctx, s.core, protocol.SendMessage{Conversation: id, By: by, ClientID: "1", Content: protocol.Text("x")})
	second := protocol.Begin(ctx, s.core, protocol.SendMessage{Conversation: id, By: by, Content: protocol.Text("y")})
	done := make(chan error, 1)
	f.release()
	if _, err := rename(ctx); err != nil {
		t.Error(err)
	}
	if _, err := first(ctx); protocol.CodeOf(err) != protocol.Internal {
		t.Errorf("the command that panics: %v", err)
	}
	if _, err := second(ctx); err != nil {
		t.Errorf("the command behind it: %v", err)
	}
	go func() { done <- s.core.Shutdown(ctx) }()
	if err := <-done; err != nil {
		t.Errorf("shutdown: %v", err)
	}
}

func TestASessionThatEndsUnderOverloadIsGone(t *testing.T) {
	t.Parallel()
	s, f := startFaulty(t, func(o *actors.Options) { o.MaxPendingTotal = 4 })
	s.login("b", protocol.ClassApp, "tb")
	id := s.group("a", "b")
	p := s.connect("b", protocol.ClassApp, "tb").resume()
	f.suspend()
	var sends []func(context.Context) (protocol.Sent, error)
	for range 4 {
		sends = append(sends, protocol.Begin(t.Context(), s.core,
			protocol.SendMessage{Conversation: id, By: protocol.AsUser("a"), Content: protocol.Text("y")}))
	}
	refused(s, protocol.Unavailable, protocol.UserOf{User: "b"})
	p.disconnect()
	f.release()
	for _, wait := range sends {
		if _, err := wait(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func TestOneSessionTooManyReplacesTheOldest(t *testing.T) {
	t.Parallel()
	s := start(t, func(o *actors.Options) { o.MaxSessions = 2 })
	s.login("b", protocol.ClassApp, "tb")
	var phones []*phone
	for range 3 {
		phones = append(phones, s.connect("b", protocol.ClassApp, "tb").resume())
	}
	phones[0].until("closed", func() bool { return phones[0].closed == protocol.CloseReplaced })
	id := s.group("a", "b")
	for _, p := range phones[1:] {
		p.wants(string(id) + "/1 ConversationCreated")
	}
}

func TestASessionThatNobodyWaitsForIsClosed(t *testing.T) {
	t.Parallel()
	s, f := startFaulty(t)
	s.login("b", protocol.ClassApp, "tb")
	f.suspend()
	p := &phone{server: s, by: protocol.Principal{User: "b", Class: protocol.ClassApp}, room: -1}
	p.change = sync.NewCond(&p.mu)
	ctx, giveUp := context.WithCancel(t.Context())
	opening := protocol.Begin(ctx, s.core, protocol.OpenSession{
		By: p.by, Token: "tb", Queue: "q", Encoder: plain{}, Sink: p, Transport: "test",
	})
	giveUp()
	if _, err := opening(ctx); protocol.CodeOf(err) != protocol.Unavailable {
		t.Errorf("got %v", err)
	}
	f.release()
	p.until("closed", func() bool { return p.closed != 0 })
}

func TestEveryStayIsReplayed(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.login("b", protocol.ClassApp, "tb")
	id := s.group("a", "b")
	by, b := protocol.AsUser("a"), []protocol.UserID{"b"}
	s.say(id, "a", "for b")
	for range 2 {
		ask(s, protocol.RemoveMembers{Conversation: id, By: by, Persons: b})
		s.say(id, "a", "behind his back")
		ask(s, protocol.AddMembers{Conversation: id, By: by, Persons: b})
	}
	p := s.connect("b", protocol.ClassApp, "tb").resume()
	if got := p.seqs(id); !slices.Equal(got, []int{1, 2, 3, 5, 6, 8}) {
		t.Errorf("got %v: %q", got, p.got())
	}
}

func TestOnlyTheFeedsOfTheServerExist(t *testing.T) {
	t.Parallel()
	s := start(t)
	refused(s, protocol.NotFound, protocol.SendMessage{Conversation: "feed:x", By: protocol.AsUser("a"), Content: protocol.Text("spam")})
	refused(s, protocol.NotFound, protocol.History{Conversation: "feed:x", By: protocol.AsUser("a")})
	refused(s, protocol.Invalid, protocol.CreateConversation{ID: "feed:x", By: protocol.AsUser("a"), Kind: protocol.Group})
}

func TestAMessageHasASenderAndBoundedReceivers(t *testing.T) {
	t.Parallel()
	s := start(t)
	send := protocol.SendMessage{Conversation: s.group("a", "b"), By: protocol.AsSystem(), Content: protocol.Text("x")}
	refused(s, protocol.Invalid, send)
	send.Sender = "x\x00y"
	refused(s, protocol.Invalid, send)
	send.Sender, send.To = "a", make([]protocol.UserID, protocol.MaxMembers+1)
	refused(s, protocol.TooLarge, send)
}

// unreadable is a store whose watermarks cannot be read any more.
type unreadable struct {
	*faulty
	broken atomic.Bool
}

func (u *unreadable) Watermarks(id protocol.UserID) ([]protocol.Watermark, error) {
	if u.broken.Load() {
		return nil, protocol.Errorf(protocol.Unavailable, "the store is closed")
	}
	return u.faulty.Watermarks(id)
}

func TestShutdownEndsThoughReceiptsCannotBeSaved(t *testing.T) {
	t.Parallel()
	u := &unreadable{faulty: &faulty{}}
	s := start(t, func(o *actors.Options) { u.Store, o.Store = o.Store, u })
	s.login("b", protocol.ClassApp, "tb")
	id := s.group("a", "b")
	u.broken.Store(true)
	u.refuse.Store(1)
	refused(s, protocol.Unavailable, protocol.LogOut{User: "b", Class: protocol.ClassApp}) // the state is to be loaded again
	_, _ = try(s, protocol.Acknowledge{By: protocol.Principal{User: "b", Class: protocol.ClassApp}, Conversation: id, Seq: 1})
	s.shutdown()
}

func TestReceiptsOutliveARefusalOfSomethingElse(t *testing.T) {
	t.Parallel()
	s, f := startFaulty(t)
	s.login("b", protocol.ClassApp, "tb")
	id := s.group("a", "b")
	f.suspend()
	by, ctx := protocol.Principal{User: "b", Class: protocol.ClassApp}, t.Context()
	login := protocol.Begin(ctx, s.core, protocol.LogIn{User: "b", Class: "web", Token: "tw"})
	ack := protocol.Begin(ctx, s.core, protocol.Acknowledge{By: by, Conversation: id, Seq: 1})
	logout := protocol.Begin(ctx, s.core, protocol.LogOut{User: "b", Class: protocol.ClassApp})
	done := make(chan error, 1)
	go func() { done <- s.core.Shutdown(ctx) }()
	s.retiring()
	f.refuseAfterRelease(1)
	if _, err := login(ctx); err != nil {
		t.Error(err)
	}
	if _, err := ack(ctx); err != nil {
		t.Error(err)
	}
	if _, err := logout(ctx); protocol.CodeOf(err) != protocol.Unavailable {
		t.Errorf("got %v", err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if marks, err := s.store.Watermarks("b"); err != nil || len(marks) != 1 {
		t.Errorf("what was acknowledged is not saved: %v, %v", marks, err)
	}
}

// refuseAfterRelease lets the held commits through and refuses the next ones.
func (f *faulty) refuseAfterRelease(n int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hold = false
	f.refuse.Store(n)
	for _, c := range f.held {
		f.Store.Commit(c)
	}
	f.held = nil
}

func TestWhatNoStoreKeepsOutlivesAnOverflow(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.login("b", protocol.ClassApp, "tb")
	id := s.group("a", "b")
	p := s.connect("b", protocol.ClassApp, "tb")
	ask(s, protocol.SetWaterMark{Raw: []byte("{}")})
	var pending []func(context.Context) (protocol.Sent, error)
	for n := range 1_100 {
		pending = append(pending, protocol.Begin(t.Context(), s.core, protocol.SendMessage{
			Conversation: id, By: protocol.AsUser("a"), Content: protocol.Text(fmt.Sprint(n)),
		}))
	}
	for _, wait := range pending {
		if _, err := wait(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	p.resume().wants("WaterMark")
}

// stale finds a member a stranger once, as one who looks too early does.
type stale struct {
	actors.Store
	once atomic.Bool
}

func (s *stale) Standing(user protocol.UserID, id protocol.ConversationID) (protocol.Standing, bool, error) {
	if s.once.Swap(false) {
		return protocol.Standing{}, false, nil
	}
	return s.Store.Standing(user, id)
}

func TestAnAddingThatAnswersSuccessAdds(t *testing.T) {
	t.Parallel()
	st := &stale{}
	s := start(t, func(o *actors.Options) { st.Store, o.Store = o.Store, st })
	add := protocol.AddMembers{Conversation: s.group("a", "b"), By: protocol.AsUser("b"), Persons: []protocol.UserID{"c"}}
	st.once.Store(true)
	refused(s, protocol.Unavailable, add)
	ask(s, add)
	if view := ask(s, protocol.ConversationOf{Conversation: add.Conversation, By: add.By}); len(view.Members) != 3 {
		t.Errorf("got %+v", view.Members)
	}
}

func TestOneTokenIsOneLogin(t *testing.T) {
	t.Parallel()
	s, f := startFaulty(t)
	ask(s, protocol.NameUser{User: "a"})
	ask(s, protocol.NameUser{User: "b"})
	f.suspend()
	one := protocol.Begin(t.Context(), s.core, protocol.LogIn{User: "a", Class: "pc", Token: "same"})
	two := protocol.Begin(t.Context(), s.core, protocol.LogIn{User: "b", Class: "pc", Token: "same"})
	for f.waiting() < 2 {
		s.core.Authenticate(t.Context(), "none")
	}
	f.release()
	_, err1 := one(t.Context())
	_, err2 := two(t.Context())
	if (err1 == nil) == (err2 == nil) {
		t.Errorf("got %v and %v, want one Conflict", err1, err2)
	}
}

func TestTheTrimmingOfAFeedBeginsWithTheUser(t *testing.T) {
	t.Parallel()
	s := start(t, func(o *actors.Options) { o.ReplayLimit = 5 })
	for range 10 {
		s.say(protocol.BroadcastFeed, "a", "before")
	}
	s.login("b", protocol.ClassApp, "tb")
	for range 10 {
		s.say(protocol.BroadcastFeed, "a", "after")
	}
	p := s.connect("b", protocol.ClassApp, "tb").resume()
	if got := p.got()[0]; got != "feed:broadcast trimmed 11-15" {
		t.Errorf("got %q", got)
	}
}

func TestWhatIsNotThereIsNotKeptInMemory(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	s := start(t, func(o *actors.Options) { o.Registerer = registry })
	for n := range 1_000 {
		refused(s, protocol.NotFound, protocol.SendMessage{
			Conversation: protocol.ConversationID(fmt.Sprint("ghost", n)), By: protocol.AsUser("a"), Content: protocol.Text("x"),
		})
		refused(s, protocol.NotFound, protocol.UserOf{User: protocol.UserID(fmt.Sprint("ghost", n))})
	}
	if alive := alive(t, registry); alive > 10 {
		t.Errorf("%v actors of nothing are kept", alive)
	}
}

// alive is how many actors are in memory, as an operator sees it.
func alive(t *testing.T, registry *prometheus.Registry) (n float64) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, family := range families {
		if family.GetName() != "instantd_actors" {
			continue
		}
		found = true
		for _, m := range family.GetMetric() {
			n += m.GetGauge().GetValue()
		}
	}
	if !found {
		t.Fatal("instantd_actors is not measured")
	}
	return n
}

func TestAnAnswerIsBoundedInBytes(t *testing.T) {
	t.Parallel()
	s := start(t)
	id := s.group("a", "b")
	text := protocol.Text(strings.Repeat("x", 60<<10))
	for range protocol.MaxCatchUpSize/(60<<10) + 10 {
		ask(s, protocol.SendMessage{Conversation: id, By: protocol.AsUser("a"), Content: text})
	}
	got := ask(s, protocol.Unread{By: protocol.AsUser("b"), After: 1})
	if n := len(got.Runs[0].Messages); !got.More || n*(60<<10) > protocol.MaxCatchUpSize {
		t.Errorf("got %d messages, more %v", n, got.More)
	}
}

// bursting is an encoder with a defect.
type bursting struct{}

func (bursting) Encode(r protocol.Record) []byte {
	if m, is := r.Message(); is && m.Content.Parts[0].Text == "burst" {
		panic("encoder")
	}
	return plain{}.Encode(r)
}

func TestAnEventThatCannotBeEncodedHarmsNothingElse(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.login("b", protocol.ClassApp, "tb")
	id := s.group("a", "b")
	open := func() *phone {
		p := &phone{server: s, by: protocol.Principal{User: "b", Class: protocol.ClassApp}, room: -1}
		p.change = sync.NewCond(&p.mu)
		p.session = ask(s, protocol.OpenSession{By: p.by, Token: "tb", Encoder: bursting{}, Sink: p, Transport: "test"})
		return p.resume()
	}
	live := open()
	s.say(id, "a", "burst")
	s.say(id, "a", "after")
	live.wants("after")
	if got := open().seqs(id); !slices.Equal(got, []int{1, 3}) {
		t.Errorf("replayed %v", got)
	}
}
