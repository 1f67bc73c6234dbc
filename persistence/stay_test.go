package persistence

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"instantd/protocol"
)

func TestEveryStayIsKept(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	key := protocol.ConversationKey("c")
	commit(t, s, key, 1, group("ann", "bob"))
	commit(t, s, key, 2, protocol.MembersRemoved{Members: persons("bob")})
	commit(t, s, key, 3, protocol.MembersAdded{Members: persons("bob")})
	commit(t, s, key, 4, protocol.MemberLeft{Member: persons("bob")[0]})
	commit(t, s, key, 5, protocol.MembersAdded{Members: persons("bob", "bobby")})
	for user, want := range map[protocol.UserID][][2]protocol.Seq{
		"bob": {{1, 2}, {3, 4}, {5, 0}}, "ann": {{1, 0}}, "bobby": {{5, 0}}, "nobody": nil,
	} {
		stays, err := s.Stays(user, "c")
		var got [][2]protocol.Seq
		for _, m := range stays {
			got = append(got, [2]protocol.Seq{m.Since, m.Until})
		}
		if err != nil || !cmp.Equal(got, want) {
			t.Errorf("%s: got %v, %v; want %v", user, got, err, want)
		}
	}
}
