package protocol

import "testing"

func TestAStayReachesFromOneEventToAnother(t *testing.T) {
	ended := Member{Since: 1, JoinedID: 10, Until: 2, LeftID: 20}
	unknown := Member{Since: 1, JoinedID: 10, Until: 2} // as older servers stored it
	for _, c := range []struct {
		name string
		stay Member
		at   MessageID
		want bool
	}{
		{"before it began", ended, 9, false},
		{"from the event that let him in", ended, 10, true},
		{"until the event that took him out", ended, 19, true},
		{"not any more after it", ended, 20, false},
		{"for ever while he is in", Member{Since: 1, JoinedID: 10}, MaxMessageID, true},
		{"not at all when nobody knows the end", unknown, 10, false},
	} {
		if got := c.stay.In(c.at); got != c.want {
			t.Errorf("%s: In(%s) of %+v is %v", c.name, c.at, c.stay, got)
		}
	}
}
