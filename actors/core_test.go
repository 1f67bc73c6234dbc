package actors_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"instantd/actors"
	"instantd/persistence"
	"instantd/protocol"
)

// server is a core on a real store.
type server struct {
	*testing.T
	core  *actors.Core
	store *persistence.Store
}

func start(t *testing.T, change ...func(*actors.Options)) *server {
	t.Helper()
	store, err := persistence.Open(persistence.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	options := actors.Options{Store: store}
	for _, c := range change {
		c(&options)
	}
	s := &server{t, actors.New(options), store}
	t.Cleanup(func() {
		s.shutdown()
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *server) shutdown() {
	s.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := s.core.Shutdown(ctx); err != nil {
		s.Errorf("shutdown: %v", err)
	}
}

// ask gives a command and wants its answer.
func ask[R any](s *server, command protocol.Command[R]) R {
	s.Helper()
	answer, err := try(s, command)
	if err != nil {
		s.Fatalf("%+v: %v", command, err)
	}
	return answer
}

func try[R any](s *server, command protocol.Command[R]) (R, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return protocol.Do(ctx, s.core, command)
}

// refused gives a command and wants it refused with a code.
func refused[R any](s *server, want protocol.Code, command protocol.Command[R]) {
	s.Helper()
	if answer, err := try(s, command); err == nil || protocol.CodeOf(err) != want {
		s.Errorf("%+v: got %+v, %v; want %v", command, answer, err, want)
	}
}

func (s *server) login(user protocol.UserID, class protocol.DeviceClass, token protocol.Token) {
	s.Helper()
	ask(s, protocol.LogIn{User: user, Class: class, Token: token})
}

func (s *server) group(users ...protocol.UserID) protocol.ConversationID {
	s.Helper()
	return ask(s, protocol.CreateConversation{By: protocol.AsUser(users[0]), Kind: protocol.Group, Persons: users}).ID
}

func (s *server) say(id protocol.ConversationID, by protocol.UserID, text string) protocol.Sent {
	s.Helper()
	return ask(s, protocol.SendMessage{Conversation: id, By: protocol.AsUser(by), Content: protocol.Text(text)})
}

// history is a whole conversation, oldest first.
func (s *server) history(id protocol.ConversationID) []protocol.Message {
	s.Helper()
	var all []protocol.Message
	err := s.store.After(id, 0, func(r protocol.Record) bool {
		if m, ok := r.Message(); ok {
			all = append(all, m)
		}
		return true
	})
	if err != nil {
		s.Fatal(err)
	}
	return all
}

// plain renders an event as "conversation/seq kind text".
type plain struct{}

func (plain) Encode(r protocol.Record) []byte {
	text := ""
	if m, ok := r.Message(); ok && len(m.Content.Parts) > 0 {
		text = m.Content.Parts[0].Text
	}
	kind := strings.TrimPrefix(fmt.Sprintf("%T", r.Event), "protocol.")
	return fmt.Appendf(nil, "%s/%d %s %s", r.Key.ID, r.Seq, kind, text)
}

// phone is a connected device.
type phone struct {
	*server
	by      protocol.Principal
	session protocol.Session

	mu     sync.Mutex
	change *sync.Cond
	frames []string
	room   int // frames that fit before Push is refused; -1 means any number
	closed protocol.CloseReason
}

func (p *phone) Push(frame []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.room == 0 {
		return false
	}
	p.room--
	p.frames = append(p.frames, string(frame))
	p.change.Broadcast()
	return true
}

func (p *phone) Send(_ context.Context, frame []byte) error {
	p.Push(frame)
	return nil
}

func (p *phone) Close(reason protocol.CloseReason) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed == 0 {
		p.closed = reason
	}
	p.change.Broadcast()
}

// until waits until ok holds for the phone.
func (p *phone) until(what string, ok func() bool) {
	p.Helper()
	late := time.AfterFunc(20*time.Second, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		what, ok = what+" (too late)", func() bool { return true }
		p.change.Broadcast()
	})
	defer late.Stop()
	p.mu.Lock()
	defer p.mu.Unlock()
	for !ok() {
		p.change.Wait()
	}
	if strings.HasSuffix(what, "(too late)") {
		p.Fatalf("%s: got %v", what, p.frames)
	}
}

func (p *phone) wants(frame string) {
	p.Helper()
	p.until("want "+frame, func() bool {
		return slices.ContainsFunc(p.frames, func(f string) bool { return strings.Contains(f, frame) })
	})
}

func (p *phone) got() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.frames)
}

// connect opens a session that is not resumed yet.
func (s *server) connect(user protocol.UserID, class protocol.DeviceClass, token protocol.Token) *phone {
	s.Helper()
	p := &phone{server: s, by: protocol.Principal{User: user, Class: class}, room: -1}
	p.change = sync.NewCond(&p.mu)
	p.session = ask(s, protocol.OpenSession{By: p.by, Token: token, Encoder: plain{}, Sink: p, Transport: "test"})
	return p
}

func (p *phone) resume() *phone {
	p.Helper()
	err := p.session.Resume(context.Background(), []byte("ready"), func(t protocol.Trimmed) []byte {
		return fmt.Appendf(nil, "%s trimmed %d-%d", t.Conversation, t.From, t.To)
	})
	if err != nil {
		p.Fatal(err)
	}
	p.wants("ready")
	return p
}

func (p *phone) disconnect() {
	p.Helper()
	ask(p.server, protocol.CloseSession{By: p.by, Session: p.session.ID})
}

func (p *phone) ack(id protocol.ConversationID, seq protocol.Seq) {
	p.Helper()
	ask(p.server, protocol.Acknowledge{By: p.by, Conversation: id, Seq: seq})
}

func TestEveryAnsweredMessageStandsOnceInOrder(t *testing.T) {
	t.Parallel()
	s := start(t, func(o *actors.Options) { o.Idle = time.Nanosecond }) // actors retire all the time
	id := s.group("a", "b")
	const senders, each = 16, 50
	answers := make([][]protocol.Sent, senders)
	var wg sync.WaitGroup
	for i := range senders {
		wg.Go(func() {
			for n := range each {
				answers[i] = append(answers[i], s.say(id, "a", fmt.Sprintf("%d-%d", i, n)))
			}
		})
	}
	wg.Wait()
	texts := map[protocol.MessageID]string{}
	for i, m := range s.history(id) {
		if want := protocol.Seq(i + 2); m.Seq != want {
			t.Fatalf("message %d has seq %d, want %d", i, m.Seq, want)
		}
		texts[m.ID] = m.Content.Parts[0].Text
	}
	if len(texts) != senders*each {
		t.Errorf("%d messages stand, %d were answered", len(texts), senders*each)
	}
	for i, sent := range answers {
		for n, a := range sent {
			if want := fmt.Sprintf("%d-%d", i, n); texts[a.ID] != want {
				t.Errorf("%d says %q, want %q", a.ID, texts[a.ID], want)
			}
			if n > 0 && a.Seq <= sent[n-1].Seq {
				t.Errorf("sender %d: seq %d after %d", i, a.Seq, sent[n-1].Seq)
			}
		}
	}
}

func TestCommandsThatDoNotWaitKeepTheirOrder(t *testing.T) {
	t.Parallel()
	s := start(t)
	id := s.group("a", "b")
	var pending []func(context.Context) (protocol.Sent, error)
	for n := range 500 {
		pending = append(pending, protocol.Begin(t.Context(), s.core, protocol.SendMessage{
			Conversation: id, By: protocol.AsUser("a"), Content: protocol.Text(fmt.Sprint(n)),
		}))
	}
	for n, wait := range pending {
		if sent, err := wait(t.Context()); err != nil || sent.Seq != protocol.Seq(n+2) {
			t.Fatalf("message %d: got %+v, %v", n, sent, err)
		}
	}
}

func TestARetryGetsTheFirstAnswer(t *testing.T) {
	t.Parallel()
	s := start(t)
	id := s.group("a", "b")
	answers := make([]protocol.Sent, 32)
	var wg sync.WaitGroup
	for i := range answers {
		wg.Go(func() {
			answers[i] = ask(s, protocol.SendMessage{
				Conversation: id, By: protocol.AsUser("a"), ClientID: "same", Content: protocol.Text("once"),
			})
		})
	}
	wg.Wait()
	first := 0
	for _, a := range answers {
		if a.ID != answers[0].ID || a.Seq != answers[0].Seq {
			t.Errorf("got %+v and %+v", answers[0], a)
		}
		if !a.Repeated {
			first++
		}
	}
	if stand := len(s.history(id)); stand != 1 || first != 1 {
		t.Errorf("%d messages stand, %d answers call themselves the first", stand, first)
	}
	other := ask(s, protocol.SendMessage{
		Conversation: id, By: protocol.AsUser("b"), ClientID: "same", Content: protocol.Text("mine"),
	})
	if other.Repeated || other.ID == answers[0].ID {
		t.Errorf("another sender's id is another message: got %+v", other)
	}
}

func TestAPairHasOneDirectConversation(t *testing.T) {
	t.Parallel()
	s := start(t)
	ids := make([]protocol.ConversationID, 16)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			pair := []protocol.UserID{"a", "b"}
			ids[i] = ask(s, protocol.CreateConversation{
				By: protocol.AsUser(pair[i%2]), Kind: protocol.Direct, Persons: []protocol.UserID{pair[1-i%2]},
			}).ID
		})
	}
	wg.Wait()
	if slices.ContainsFunc(ids, func(id protocol.ConversationID) bool { return id != ids[0] }) {
		t.Errorf("got %v", ids)
	}
	direct := protocol.CreateConversation{By: protocol.AsUser("a"), Kind: protocol.Direct, Persons: []protocol.UserID{"b"}}
	other := direct
	other.ID = "other"
	refused(s, protocol.Conflict, other)
	line := direct
	line.Line = 1
	if got := ask(s, line); got.ID == ids[0] || got.Existed {
		t.Errorf("another line is another conversation: got %+v", got)
	}
	ask(s, protocol.DissolveConversation{Conversation: ids[0], By: protocol.AsSystem()})
	if got := ask(s, direct); got.ID == ids[0] || got.Existed {
		t.Errorf("after its end the pair may have a new one: got %+v", got)
	}
}

func TestUnknownPersonsBecomeKnownOnlyWhenLetIn(t *testing.T) {
	t.Parallel()
	s := start(t)
	id := s.group("a", "b")
	refused(s, protocol.Forbidden, protocol.AddMembers{Conversation: id, By: protocol.AsUser("z"), Persons: []protocol.UserID{"new"}})
	refused(s, protocol.NotFound, protocol.UserOf{User: "new"})
	ask(s, protocol.AddMembers{Conversation: id, By: protocol.AsUser("b"), Persons: []protocol.UserID{"new", "a"}})
	if u := ask(s, protocol.UserOf{User: "new"}); !u.Stub || u.Number == 0 {
		t.Errorf("got %+v", u)
	}
	view := ask(s, protocol.ConversationOf{Conversation: id, By: protocol.AsUser("new")})
	if len(view.Members) != 3 {
		t.Errorf("got %+v", view.Members)
	}
	ask(s, protocol.DeleteUser{User: "new"})
	refused(s, protocol.Gone, protocol.AddMembers{Conversation: s.group("a"), By: protocol.AsUser("a"), Persons: []protocol.UserID{"new"}})
	list := ask(s, protocol.Conversations{By: protocol.AsUser("b")})
	if len(list) != 1 || !list[0].Deleted["new"] || list[0].Deleted["a"] {
		t.Errorf("got %+v", list)
	}
}

func TestCatchingUp(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.login("b", protocol.ClassPC, "tb")
	id := s.group("a", "b")
	s.say(id, "a", "while online")
	ask(s, protocol.LogOut{User: "b", Class: protocol.ClassPC})
	s.say(id, "a", "while away")
	s.say(id, "b", "own")
	ask(s, protocol.SendMessage{Conversation: protocol.BroadcastFeed, By: protocol.AsUser("a"), Content: protocol.Text("to all")})
	s.login("b", protocol.ClassPC, "tb2")
	by := protocol.Principal{User: "b", Class: protocol.ClassPC}
	texts := func(got protocol.CaughtUp) (all []string) {
		for _, run := range got.Runs {
			for _, m := range run.Messages {
				all = append(all, m.Content.Parts[0].Text)
			}
		}
		return all
	}
	for range 2 { // the second answer is the first, whatever came between
		if got := texts(ask(s, protocol.Offline{By: by})); !slices.Equal(got, []string{"while away"}) {
			t.Errorf("offline: got %q", got)
		}
		if got := texts(ask(s, protocol.Offline{By: by, Feed: protocol.BroadcastFeed})); !slices.Equal(got, []string{"to all"}) {
			t.Errorf("offline broadcasts: got %q", got)
		}
		s.say(id, "a", "later")
	}
	if got := texts(ask(s, protocol.Unread{By: by})); !slices.Equal(got, []string{"while away", "own", "later", "later"}) {
		t.Errorf("unread: got %q", got)
	}
	refused(s, protocol.Forbidden, protocol.Unread{By: protocol.AsUser("a"), Conversation: s.group("b")})
	refused(s, protocol.NotFound, protocol.Unread{By: by, Conversation: "nowhere"})
	ask(s, protocol.AddMembers{Conversation: id, By: by, Persons: []protocol.UserID{"late"}})
	if got := texts(ask(s, protocol.Unread{By: protocol.AsUser("late"), After: 1})); len(got) != 0 {
		t.Errorf("who joined late was sent %q", got)
	}
	page := ask(s, protocol.History{Conversation: id, By: protocol.AsUser("late"), Limit: 2})
	if len(page) != 2 || page[0].ID < page[1].ID {
		t.Errorf("history: got %+v", page)
	}
}

func TestARecalledMessageKeepsItsPlaceAndLosesItsContent(t *testing.T) {
	t.Parallel()
	s := start(t)
	id := s.group("a", "b")
	said, other := s.say(id, "a", "secret"), s.say(id, "a", "old")
	by := protocol.AsUser("a")
	for range 2 {
		ask(s, protocol.RecallMessage{Conversation: id, By: by, Message: said.ID})
	}
	ask(s, protocol.UpdateMessage{Conversation: id, By: by, Message: other.ID, Content: protocol.Text("new")})
	refused(s, protocol.Gone, protocol.UpdateMessage{Conversation: id, By: by, Message: said.ID, Content: protocol.Text("x")})
	page := ask(s, protocol.History{Conversation: id, By: by})
	if len(page) != 2 || page[0].Content.Parts[0].Text != "new" || page[0].State != protocol.MessageEdited ||
		page[1].ID != said.ID || len(page[1].Content.Parts) != 0 || page[1].State != protocol.MessageTakenBack {
		t.Errorf("got %+v", page)
	}
	ask(s, protocol.DeleteMessage{Conversation: id, By: by, Message: said.ID})
	if page := ask(s, protocol.History{Conversation: id, By: by}); len(page) != 1 {
		t.Errorf("a deleted message is in the history: %+v", page)
	}
	refused(s, protocol.NotFound, protocol.DeleteMessage{Conversation: id, By: by, Message: said.ID})
	refused(s, protocol.NotFound, protocol.RecallMessage{Conversation: s.group("a"), By: by, Message: other.ID})
}
