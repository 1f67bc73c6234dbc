package actors

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"instantd/protocol"
)

// ledger commits what the rules of one conversation decide, without a store.
type ledger struct {
	rules   *conversation
	records []protocol.Record
	names   map[clientName]protocol.Sent
}

const cid = protocol.ConversationID("c")

func newLedger() *ledger {
	return &ledger{rules: emptyConversation(), names: map[clientName]protocol.Sent{}}
}

func emptyConversation() *conversation {
	return &conversation{id: cid, members: map[protocol.UserID]protocol.Member{}}
}

func (l *ledger) do(command any) (any, error) {
	if err := check(command); err != nil {
		return nil, err
	}
	f := facts{}
	if send, ok := command.(protocol.SendMessage); ok && send.ClientID != "" {
		if prior, sent := l.names[nameOf(send)]; sent {
			f.prior = &prior
		}
	}
	for _, r := range l.records {
		if m, ok := r.Message(); ok && m.ID == targetOf(command) {
			f.msg = &m
		}
	}
	d, err := l.rules.decide(command, f)
	if err != nil {
		return nil, err
	}
	var records []protocol.Record
	for _, e := range d.events {
		seq := l.rules.head() + 1
		r := protocol.Record{ID: protocol.MessageID(100 * seq), Key: protocol.ConversationKey(cid), Seq: seq, Event: e}
		if sent, ok := e.(protocol.MessageSent); ok && sent.ClientID != "" {
			l.names[clientName{sent.Sender, sent.ClientID}] = protocol.Sent{ID: r.ID, Seq: r.Seq}
		}
		records = append(records, r)
		l.rules.apply(r)
	}
	l.records = append(l.records, records...)
	if d.answer == nil {
		return protocol.Done{}, nil
	}
	return d.answer(records)
}

func targetOf(command any) protocol.MessageID {
	switch c := command.(type) {
	case protocol.RecallMessage:
		return c.Message
	case protocol.UpdateMessage:
		return c.Message
	case protocol.DeleteMessage:
		return c.Message
	}
	return -1
}

func persons(ids ...protocol.UserID) []protocol.Person {
	var all []protocol.Person
	for _, id := range ids {
		all = append(all, protocol.Person{User: id, Number: int64(id[0])})
	}
	return all
}

func group(ids ...protocol.UserID) protocol.CreateConversation {
	return protocol.CreateConversation{
		ID: cid, By: protocol.AsUser(ids[0]), Kind: protocol.Group, Persons: ids, Members: persons(ids...),
	}
}

func say(by protocol.UserID, text string) protocol.SendMessage {
	return protocol.SendMessage{Conversation: cid, By: protocol.AsUser(by), Content: protocol.Text(text)}
}

func TestConversationRules(t *testing.T) {
	a, b, c, z := protocol.AsUser("a"), protocol.AsUser("b"), protocol.AsUser("c"), protocol.AsUser("z")
	direct := group("a", "b")
	direct.Kind = protocol.Direct
	const ok = protocol.Code(255)
	for _, test := range []struct {
		name    string
		history []any
		command any
		want    protocol.Code
	}{
		{"a stranger cannot send", []any{group("a", "b")}, say("z", "hi"), protocol.Forbidden},
		{"a member can send", []any{group("a", "b")}, say("b", "hi"), ok},
		{"nobody sends to what is not there", nil, say("a", "hi"), protocol.NotFound},
		{"nobody speaks for another", []any{group("a", "b")},
			protocol.SendMessage{Conversation: cid, By: a, Sender: "b", Content: protocol.Text("x")}, protocol.Forbidden},
		{"the system speaks for anybody", []any{group("a", "b")},
			protocol.SendMessage{Conversation: cid, By: protocol.AsSystem(), Sender: "q", Content: protocol.Text("x")}, ok},
		{"a message must say something", []any{group("a", "b")},
			protocol.SendMessage{Conversation: cid, By: a}, protocol.Invalid},
		{"a removed member cannot send",
			[]any{group("a", "b"), protocol.RemoveMembers{Conversation: cid, By: a, Persons: []protocol.UserID{"b"}}},
			say("b", "hi"), protocol.Forbidden},
		{"a removed member cannot read",
			[]any{group("a", "b"), protocol.RemoveMembers{Conversation: cid, By: a, Persons: []protocol.UserID{"b"}}},
			protocol.History{Conversation: cid, By: b}, protocol.Forbidden},
		{"only the owner expels", []any{group("a", "b", "c")},
			protocol.RemoveMembers{Conversation: cid, By: b, Persons: []protocol.UserID{"c"}}, protocol.Forbidden},
		{"the owner does not expel himself", []any{group("a", "b")},
			protocol.RemoveMembers{Conversation: cid, By: a, Persons: []protocol.UserID{"a"}}, protocol.Invalid},
		{"any member adds", []any{group("a", "b")},
			protocol.AddMembers{Conversation: cid, By: b, Persons: []protocol.UserID{"d"}, Members: persons("d")}, ok},
		{"a stranger adds nobody", []any{group("a", "b")},
			protocol.AddMembers{Conversation: cid, By: z, Persons: []protocol.UserID{"z"}}, protocol.Forbidden},
		{"a direct conversation takes nobody in", []any{direct},
			protocol.AddMembers{Conversation: cid, By: a, Persons: []protocol.UserID{"d"}, Members: persons("d")}, protocol.Forbidden},
		{"a direct conversation is not left", []any{direct}, protocol.LeaveConversation{Conversation: cid, By: b}, protocol.Forbidden},
		{"a direct conversation is not handed over", []any{direct},
			protocol.TransferOwnership{Conversation: cid, By: a, To: "b"}, protocol.Forbidden},
		{"nobody leaves for another", []any{group("a", "b")},
			protocol.LeaveConversation{Conversation: cid, By: b, User: "a"}, protocol.Forbidden},
		{"any member renames", []any{group("a", "b")}, protocol.RenameConversation{Conversation: cid, By: b, Name: "n"}, ok},
		{"only the owner hands over", []any{group("a", "b")},
			protocol.TransferOwnership{Conversation: cid, By: b, To: "b"}, protocol.Forbidden},
		{"a stranger does not become owner", []any{group("a", "b")},
			protocol.TransferOwnership{Conversation: cid, By: a, To: "z"}, protocol.Invalid},
		{"only the owner dissolves", []any{group("a", "b")},
			protocol.DissolveConversation{Conversation: cid, By: b}, protocol.Forbidden},
		{"nothing happens after the end", []any{group("a", "b"), protocol.DissolveConversation{Conversation: cid, By: a}},
			say("a", "hi"), protocol.Gone},
		{"a dissolved id is not used again", []any{group("a", "b"), protocol.DissolveConversation{Conversation: cid, By: a}},
			group("a", "b"), protocol.Conflict},
		{"another creator conflicts", []any{group("a", "b")}, group("b", "a"), protocol.Conflict},
		{"the same creator gets the first answer", []any{group("a", "b")}, group("a", "b"), ok},
		{"the other of a pair gets the same conversation", []any{direct},
			protocol.CreateConversation{ID: cid, By: b, Kind: protocol.Direct, Persons: []protocol.UserID{"a"}}, ok},
		{"a sender recalls his message", []any{group("a", "b"), say("b", "x")},
			protocol.RecallMessage{Conversation: cid, By: b, Message: 200}, ok},
		{"the owner recalls everybody's", []any{group("a", "b"), say("b", "x")},
			protocol.RecallMessage{Conversation: cid, By: a, Message: 200}, ok},
		{"nobody else recalls it", []any{group("a", "b", "c"), say("b", "x")},
			protocol.RecallMessage{Conversation: cid, By: c, Message: 200}, protocol.Forbidden},
		{"what is not there is not recalled", []any{group("a", "b")},
			protocol.RecallMessage{Conversation: cid, By: a, Message: 700}, protocol.NotFound},
		{"only its sender changes a message", []any{group("a", "b"), say("b", "x")},
			protocol.UpdateMessage{Conversation: cid, By: a, Message: 200, Content: protocol.Text("y")}, protocol.Forbidden},
		{"a stranger deletes nothing", []any{group("a", "b"), say("b", "x")},
			protocol.DeleteMessage{Conversation: cid, By: z, Message: 200}, protocol.Forbidden},
		{"a message for others is not there for me",
			[]any{group("a", "b", "c"), protocol.SendMessage{Conversation: cid, By: b, Content: protocol.Text("x"), To: []protocol.UserID{"a"}}},
			protocol.RecallMessage{Conversation: cid, By: c, Message: 200}, protocol.NotFound},
		{"a direct conversation has two", nil,
			protocol.CreateConversation{ID: cid, By: a, Kind: protocol.Direct, Persons: []protocol.UserID{"b", "c"}}, protocol.Invalid},
		{"a feed's name is reserved", nil,
			protocol.CreateConversation{ID: "feed:x", By: a, Kind: protocol.Group}, protocol.Invalid},
		{"a control character is no id", nil,
			protocol.CreateConversation{ID: "a\x00b", By: a, Kind: protocol.Group}, protocol.Invalid},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := newLedger()
			for _, command := range test.history {
				if _, err := l.do(command); err != nil {
					t.Fatalf("%T: %v", command, err)
				}
			}
			_, err := l.do(test.command)
			got := ok
			if err != nil {
				got = protocol.CodeOf(err)
			}
			if got != test.want {
				t.Errorf("%+v: got %v (%v), want %v", test.command, got, err, test.want)
			}
		})
	}
}

func TestDepartures(t *testing.T) {
	names := func(l *ledger) (owner protocol.UserID, members []protocol.UserID) {
		for _, m := range l.rules.inOrder() {
			members = append(members, m.User)
		}
		return l.rules.Owner, members
	}
	l := newLedger()
	for _, command := range []any{
		group("a", "b", "c"),
		protocol.LeaveConversation{Conversation: cid, By: protocol.AsUser("a")},
	} {
		if _, err := l.do(command); err != nil {
			t.Fatal(err)
		}
	}
	if owner, members := names(l); owner != "b" || len(members) != 2 {
		t.Errorf("the longest-standing member follows: got owner %s of %v", owner, members)
	}
	for _, user := range []protocol.UserID{"c", "b"} {
		if _, err := l.do(protocol.LeaveConversation{Conversation: cid, By: protocol.AsUser(user)}); err != nil {
			t.Fatal(err)
		}
	}
	if l.rules.Ended == 0 {
		t.Error("the last one out dissolves the conversation, but it is open")
	}
}

// anyCommand generates a command of few users about one conversation.
func anyCommand(t *rapid.T, messages []protocol.MessageID) any {
	user := rapid.SampledFrom([]protocol.UserID{"a", "b", "c", "d"})
	by := protocol.AsUser(user.Draw(t, "by"))
	some := rapid.SliceOfN(user, 1, 3).Draw(t, "some")
	message := protocol.MessageID(7)
	if len(messages) > 0 {
		message = rapid.SampledFrom(messages).Draw(t, "message")
	}
	switch rapid.IntRange(0, 10).Draw(t, "kind") {
	case 0:
		g := group(append([]protocol.UserID{by.User}, some...)...)
		g.Members = persons(personsOf(g)...)
		return g
	case 1:
		return protocol.AddMembers{Conversation: cid, By: by, Persons: some, Members: persons(unique(some)...)}
	case 2:
		return protocol.RemoveMembers{Conversation: cid, By: by, Persons: some}
	case 3:
		return protocol.LeaveConversation{Conversation: cid, By: by}
	case 4:
		return protocol.RenameConversation{Conversation: cid, By: by, Name: string(some[0])}
	case 5:
		return protocol.TransferOwnership{Conversation: cid, By: by, To: some[0]}
	case 6:
		return protocol.RecallMessage{Conversation: cid, By: by, Message: message}
	case 7:
		return protocol.UpdateMessage{Conversation: cid, By: by, Message: message, Content: protocol.Text("new")}
	default:
		cmd := say(by.User, "x")
		cmd.ClientID = rapid.SampledFrom([]string{"", "1", "2", "3"}).Draw(t, "client")
		return cmd
	}
}

func TestReplayEqualsState(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newLedger()
		var messages []protocol.MessageID
		answers := map[clientName]protocol.Sent{}
		for range rapid.IntRange(1, 60).Draw(t, "commands") {
			command := anyCommand(t, messages)
			answer, err := l.do(command)
			if code := protocol.CodeOf(err); err != nil && code == protocol.Internal {
				t.Fatalf("%+v: %v", command, err)
			}
			sent, ok := answer.(protocol.Sent)
			if !ok {
				continue
			}
			messages = append(messages, sent.ID)
			if name := nameOf(command.(protocol.SendMessage)); name.id != "" {
				first, repeated := answers[name]
				if repeated != sent.Repeated || (repeated && first.ID != sent.ID) {
					t.Fatalf("%v was answered with %+v, first with %+v", name, sent, first)
				}
				if !repeated {
					answers[name] = sent
				}
			}
		}
		again := emptyConversation()
		for i, r := range l.records {
			if r.Seq != protocol.Seq(i+1) {
				t.Fatalf("event %d has seq %d", i+1, r.Seq)
			}
			again.apply(r)
		}
		opts := cmp.Options{cmp.AllowUnexported(conversation{}), cmpopts.IgnoreFields(conversation{}, "history", "openRoles")}
		if diff := cmp.Diff(l.rules, again, opts); diff != "" {
			t.Fatalf("replay differs (-state +replay):\n%s", diff)
		}
		_, ownerIn := l.rules.members[l.rules.Owner]
		if open := l.rules.Kind != 0 && l.rules.Ended == 0; open && !ownerIn {
			t.Fatalf("the owner %q is not a member", l.rules.Owner)
		}
	})
}
