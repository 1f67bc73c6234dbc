package persistence

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"instantd/protocol"
)

func TestTheRosterKnowsWhoWasIn(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	c, d := protocol.ConversationKey("c"), protocol.ConversationKey("d")
	// The ids of what happens, by what it is.
	var (
		start   = commit(t, s, protocol.ConversationKey("other"), 1, group("eve", "max"))[0].ID
		created = commit(t, s, c, 1, group("ann", "bob"))[0].ID
		opened  = commit(t, s, d, 1, group("ann", "dan"))[0].ID
		gone    = commit(t, s, c, 2, protocol.MembersRemoved{Members: persons("bob")})[0].ID
		apart   = commit(t, s, c, 3, text1("ann", "bob is not in"))[0].ID
		back    = commit(t, s, c, 4, protocol.MembersAdded{Members: persons("bob")})[0].ID
		added   = commit(t, s, d, 2, protocol.MembersAdded{Members: persons("bob", "eve")})[0].ID
		left    = commit(t, s, c, 5, protocol.MemberLeft{Member: persons("bob")[0]})[0].ID
		ended   = commit(t, s, d, 3, protocol.ConversationDissolved{Members: persons("ann", "dan", "bob", "eve")})[0].ID
	)
	type ids = []protocol.ConversationID
	for _, row := range []struct {
		name       string
		at         protocol.MessageID
		in, later  ids
		neighbours []protocol.UserID
	}{
		{"before everything all is to come", start, nil, ids{"c", "d"}, nil},
		{"from a creation he is in", created, ids{"c"}, ids{"d"}, []protocol.UserID{"ann"}},
		{"what happens elsewhere changes nothing", opened, ids{"c"}, ids{"d"}, []protocol.UserID{"ann"}},
		{"after an expulsion he is out, and may come back", gone, nil, ids{"c", "d"}, nil},
		{"between two stays he is out", apart, nil, ids{"c", "d"}, nil},
		{"from an addition he is in again", back, ids{"c"}, ids{"d"}, []protocol.UserID{"ann"}},
		{"those who have gone since are neighbours", added, ids{"c", "d"}, nil, []protocol.UserID{"ann", "dan", "eve"}},
		{"after leaving he is out", left, ids{"d"}, nil, []protocol.UserID{"ann", "dan", "eve"}},
		{"after a dissolution he is out", ended, nil, nil, nil},
		{"so it stays", protocol.MaxMessageID, nil, nil, nil},
	} {
		in, later, err := s.ConversationsAt("bob", row.at)
		if err != nil || !slices.Equal(in, row.in) || !slices.Equal(later, row.later) {
			t.Errorf("%s: in %v, later in %v, %v; want %v and %v", row.name, in, later, err, row.in, row.later)
		}
		neighbours, err := s.Neighbours("bob", row.at)
		if slices.Sort(neighbours); err != nil || !slices.Equal(neighbours, row.neighbours) {
			t.Errorf("%s: neighbours %v, %v; want %v", row.name, neighbours, err, row.neighbours)
		}
	}
	if in, later, err := s.ConversationsAt("nobody", ended); len(in)+len(later) != 0 || err != nil {
		t.Errorf("nobody is in %v, later in %v, %v", in, later, err)
	}
	wantSound(t, s)
}

// TestRosterEqualsReplay states that the rows say of every moment what
// replaying the order of the server up to it says.
func TestRosterEqualsReplay(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	round := 0
	rapid.Check(t, func(rt *rapid.T) {
		round++
		user := func(name string) protocol.UserID { return protocol.UserID(fmt.Sprintf("%s%d", name, round)) }
		users := []protocol.UserID{user("a"), user("b"), user("c")}
		conversations := []protocol.ConversationID{"x", "y"}
		for i, id := range conversations {
			conversations[i] = protocol.ConversationID(fmt.Sprintf("%s%d", id, round))
		}
		// Who is in which conversation, after each record.
		type moment struct {
			at protocol.MessageID
			in map[protocol.ConversationID]map[protocol.UserID]bool
		}
		now := make(map[protocol.ConversationID]map[protocol.UserID]bool)
		var history []moment
		seqs := make(map[protocol.ConversationID]protocol.Seq)
		apply := func(id protocol.ConversationID, event protocol.Event) {
			seqs[id]++
			r := commit(t, s, protocol.ConversationKey(id), seqs[id], event)[0]
			now = maps.Clone(now)
			now[id] = maps.Clone(now[id])
			if now[id] == nil {
				now[id] = make(map[protocol.UserID]bool)
			}
			for _, m := range r.Joined() {
				now[id][m.User] = true
			}
			for _, p := range r.Departed() {
				delete(now[id], p.User)
			}
			history = append(history, moment{r.ID, now})
		}
		for _, id := range conversations {
			apply(id, group(user("owner")))
		}
		for range rapid.IntRange(1, 8).Draw(rt, "steps") {
			id := rapid.SampledFrom(conversations).Draw(rt, "conversation")
			some := persons(rapid.SliceOfNDistinct(rapid.SampledFrom(users), 1, 3, rapid.ID[protocol.UserID]).Draw(rt, "some")...)
			var event protocol.Event = protocol.MembersAdded{Members: some}
			if rapid.Bool().Draw(rt, "out") {
				event = protocol.MembersRemoved{Members: some}
			}
			apply(id, event)
		}
		for i, m := range history {
			for _, u := range users {
				var wantIn, wantLater []protocol.ConversationID
				neighbours := make(map[protocol.UserID]bool)
				for _, id := range conversations {
					joinsLater := slices.ContainsFunc(history[i:], func(m moment) bool { return m.in[id][u] })
					switch {
					case m.in[id][u]:
						wantIn = append(wantIn, id)
						maps.Copy(neighbours, m.in[id])
					case joinsLater:
						wantLater = append(wantLater, id)
					}
				}
				delete(neighbours, u)
				in, later, err := s.ConversationsAt(u, m.at)
				slices.Sort(in)
				slices.Sort(later)
				if err != nil || !slices.Equal(in, wantIn) || !slices.Equal(later, wantLater) {
					rt.Fatalf("%s at %d: in %v, later in %v, %v; replay says %v and %v", u, i, in, later, err, wantIn, wantLater)
				}
				got, err := s.Neighbours(u, m.at)
				slices.Sort(got)
				if want := slices.Sorted(maps.Keys(neighbours)); err != nil || !slices.Equal(got, want) {
					rt.Fatalf("%s at %d: neighbours %v, %v; replay says %v", u, i, got, err, want)
				}
			}
		}
	})
	wantSound(t, s)
}
