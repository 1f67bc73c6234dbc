package protocol

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestUserIsTheFoldOfHisEvents(t *testing.T) {
	queue := Queue{Name: "queue_u_1_x", Class: ClassPC}
	u := User{}
	for i, e := range []Event{
		UserImported{Stub: true, Number: 7},
		UserImported{Profile: Profile{Name: "Li"}, Number: 7},
		LoggedIn{Class: ClassPC, Token: "old"},
		LoggedIn{Class: ClassApp, Token: "app"},
		LoggedIn{Class: ClassPC, Token: "new", Replaced: "old"},
		QueueBound{Queue: queue},
		CameOnline{},
		LoggedOut{Class: ClassApp, Revoked: "app"},
		OfflineCaught{},
	} {
		u = u.Apply(Record{ID: MessageID(i + 1), Key: UserKey("1"), Event: e})
	}
	want := User{
		ID: "1", Number: 7, Profile: Profile{Name: "Li"}, Created: 1, OfflineAt: 1, Online: true, Caught: 9,
		Logins: []Login{{Class: ClassPC, Token: "new", At: 5}}, Queues: []Queue{queue},
	}
	if diff := cmp.Diff(want, u); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	before := u
	u = u.Apply(Record{ID: 10, Key: UserKey("1"), Event: QueueReleased{Queue: queue}})
	u = u.Apply(Record{ID: 11, Key: UserKey("1"), Event: WentOffline{}})
	if len(u.Queues) != 0 || u.Online || u.OfflineAt != 11 || u.Caught != 0 {
		t.Errorf("got %+v", u)
	}
	if diff := cmp.Diff(want, before); diff != "" {
		t.Errorf("a later event changed an earlier state:\n%s", diff)
	}
}
