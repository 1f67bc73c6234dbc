package persistence

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"instantd/protocol"
)

func names(list []protocol.Member) []protocol.UserID {
	var ids []protocol.UserID
	for _, m := range list {
		ids = append(ids, m.User)
	}
	return ids
}

func TestConversationIsAsItsEventsLeftIt(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	key := protocol.ConversationKey("c")
	created := protocol.ConversationCreated{Kind: protocol.Group, Name: "old", Owner: "zoe", Creator: "zoe", Type: 7, Members: []protocol.Person{{User: "zoe", Number: 3}, {User: "ann", Number: 1}}}
	first := commit(t, s, key, 1, created)[0]
	added := commit(t, s, key, 2, protocol.MembersAdded{By: "zoe", Members: persons("max", "bob")})[0]
	commit(t, s, key, 3, protocol.ConversationRenamed{By: "ann", Name: "new"}, protocol.OwnerChanged{By: "zoe", Owner: "ann"})
	commit(t, s, key, 5, protocol.MemberLeft{Member: protocol.Person{User: "max"}}, text1("ann", "hi"))

	got, found, err := s.Conversation("c")
	if err != nil || !found {
		t.Fatal(found, err)
	}
	want := protocol.ConversationView{
		Conversation: protocol.Conversation{ID: "c", Kind: protocol.Group, Name: "new", Owner: "ann", Creator: "zoe", Type: 7, Created: first.ID},
		Head:         6,
		Members: []protocol.Member{
			{User: "zoe", Number: 3, Since: 1, JoinedID: first.ID},
			{User: "ann", Number: 1, Since: 1, JoinedID: first.ID},
			{User: "bob", Since: 2, JoinedID: added.ID},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}

	ended := commit(t, s, key, 7, protocol.ConversationDissolved{By: "ann", Members: persons("zoe", "ann", "bob")})[0]
	if got, _, _ = s.Conversation("c"); got.Ended != ended.ID || len(got.Members) != 0 || got.Head != 7 {
		t.Errorf("dissolved: %+v", got)
	}
	for _, user := range []protocol.UserID{"zoe", "ann", "bob"} {
		if standing, found, err := s.Standing(user, "c"); !found || err != nil || standing.Until != 7 || standing.LeftID != ended.ID {
			t.Errorf("standing of %s after dissolution: %+v %v %v", user, standing, found, err)
		}
		if in, later, err := s.ConversationsAt(user, ended.ID); len(in)+len(later) != 0 || err != nil {
			t.Errorf("%s is still in %v, later in %v, %v", user, in, later, err)
		}
	}
	if _, found, err := s.Conversation("none"); found || err != nil {
		t.Errorf("an unknown conversation: %v %v", found, err)
	}
	wantSound(t, s)
}

func TestStandingsAndMembersAgree(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, options(dir))
	commit(t, s, protocol.ConversationKey("z-first"), 1, group("ann", "bob"))
	commit(t, s, protocol.ConversationKey("a-second"), 1, group("bob", "ann", "eve"))
	removed := protocol.ConversationKey("a-second")
	left := commit(t, s, removed, 2, protocol.MembersRemoved{By: "bob", Members: persons("ann", "nobody")})[0]
	closeStore(t, s)

	s = open(t, options(dir))
	standings, err := s.Standings("ann")
	if err != nil || len(standings) != 2 {
		t.Fatalf("standings of ann: %+v %v", standings, err)
	}
	if standings[0].Conversation != "z-first" || standings[0].Until != 0 || standings[0].User != "ann" {
		t.Errorf("the oldest is %+v, want z-first, open", standings[0])
	}
	if standings[1].Conversation != "a-second" || standings[1].Until != 2 || standings[1].Since != 1 || standings[1].LeftID != left.ID {
		t.Errorf("the newest is %+v, want a-second from 1 until 2", standings[1])
	}
	if users, err := s.Neighbours("bob", protocol.MaxMessageID); !cmp.Equal(users, []protocol.UserID{"ann", "eve"}) || err != nil {
		t.Errorf("neighbours of bob are %v, %v", users, err)
	}
	if users, err := s.Neighbours("bob", standings[0].JoinedID); !cmp.Equal(users, []protocol.UserID{"ann"}) || err != nil {
		t.Errorf("before the second conversation the neighbours of bob are %v, %v", users, err)
	}
	if users, err := s.Neighbours("nobody", protocol.MaxMessageID); len(users) != 0 || err != nil {
		t.Errorf("neighbours of nobody are %v, %v", users, err)
	}
	if _, found, err := s.Standing("ann", "none"); found || err != nil {
		t.Errorf("standing in an unknown conversation: %v %v", found, err)
	}
	commit(t, s, removed, 3, protocol.ConversationDissolved{Members: persons("bob", "eve")})
	var open []protocol.ConversationID
	err = s.EachConversation(func(id protocol.ConversationID) error { open = append(open, id); return nil })
	if !slices.Equal(open, []protocol.ConversationID{"z-first"}) || err != nil {
		t.Errorf("open are %v, %v", open, err)
	}
	wantSound(t, s)
}

func TestMembersAtKnowsFormerStays(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	key := protocol.ConversationKey("c")
	commit(t, s, key, 1, group("ann", "bob"))                                 // 1
	commit(t, s, key, 2, text1("ann", "bob sees"))                            // 2
	commit(t, s, key, 3, protocol.MembersRemoved{Members: persons("bob")})    // 3
	commit(t, s, key, 4, text1("ann", "bob does not see"))                    // 4
	commit(t, s, key, 5, protocol.MembersAdded{Members: persons("bob")})      // 5
	commit(t, s, key, 6, protocol.MemberLeft{Member: persons("bob")[0]})      // 6
	commit(t, s, key, 7, protocol.MembersAdded{Members: persons("bob")})      // 7
	commit(t, s, key, 8, protocol.MembersAdded{Members: persons("bob", "x")}) // 8: bob is in already
	for _, c := range []struct {
		seq  protocol.Seq
		want []protocol.UserID
	}{
		{0, nil}, {1, []protocol.UserID{"ann", "bob"}}, {2, []protocol.UserID{"ann", "bob"}}, {3, []protocol.UserID{"ann", "bob"}},
		{4, []protocol.UserID{"ann"}}, {5, []protocol.UserID{"ann", "bob"}}, {6, []protocol.UserID{"ann", "bob"}},
		{7, []protocol.UserID{"ann", "bob"}}, {8, []protocol.UserID{"ann", "bob", "x"}}, {99, []protocol.UserID{"ann", "bob", "x"}},
	} {
		list, err := s.MembersAt("c", c.seq)
		if got := names(list); !cmp.Equal(got, c.want) || err != nil {
			t.Errorf("members at %d are %v, %v, want %v", c.seq, got, err, c.want)
		}
	}
	if list, err := s.MembersAt(protocol.BroadcastFeed, 1); len(list) != 0 || err != nil {
		t.Errorf("members of a feed are %v, %v", list, err)
	}
	wantSound(t, s)
}

// TestMembersEqualReplay states that the rows say what replaying the log says.
func TestMembersEqualReplay(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	conversation := 0
	users := []protocol.UserID{"a", "ab", "b", "ba", "c"}
	rapid.Check(t, func(rt *rapid.T) {
		conversation++
		id := protocol.ConversationID(fmt.Sprintf("c%d", conversation))
		var stays []protocol.Member
		apply := func(r protocol.Record) {
			for _, joined := range r.Joined() {
				if !slices.ContainsFunc(stays, func(m protocol.Member) bool { return m.User == joined.User && m.Until == 0 }) {
					stays = append(stays, joined)
				}
			}
			for _, p := range r.Departed() {
				for i := range stays {
					if stays[i].User == p.User && stays[i].Until == 0 {
						stays[i].Until, stays[i].LeftID = r.Seq, r.ID
					}
				}
			}
		}
		apply(commit(t, s, protocol.ConversationKey(id), 1, group("owner"))[0])
		steps := rapid.IntRange(1, 8).Draw(rt, "steps")
		for seq := protocol.Seq(2); seq < protocol.Seq(2+steps); seq++ {
			some := persons(rapid.SliceOfNDistinct(rapid.SampledFrom(users), 1, 3, rapid.ID[protocol.UserID]).Draw(rt, "some")...)
			var event protocol.Event = protocol.MembersAdded{Members: some}
			if rapid.Bool().Draw(rt, "out") {
				event = protocol.MembersRemoved{Members: some}
			}
			apply(commit(t, s, protocol.ConversationKey(id), seq, event)[0])
		}
		for seq := protocol.Seq(1); seq < protocol.Seq(2+steps); seq++ {
			want := []protocol.Member{}
			for _, m := range stays {
				if m.At(seq) {
					want = append(want, m)
				}
			}
			got, err := s.MembersAt(id, seq)
			if err != nil {
				rt.Fatal(err)
			}
			if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
				rt.Fatalf("at %d, replay (-), rows (+):\n%s", seq, diff)
			}
		}
	})
	wantSound(t, s)
}
