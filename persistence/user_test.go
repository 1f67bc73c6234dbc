package persistence

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"instantd/protocol"
)

func TestNewUsersAreNumberedInOrder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, options(dir))
	number := func(id protocol.UserID) int64 {
		t.Helper()
		return commit(t, s, protocol.UserKey(id), 0, protocol.UserImported{Profile: protocol.Profile{Name: string(id)}})[0].Event.(protocol.UserImported).Number
	}
	wantNumber := func(id protocol.UserID, want int64) {
		t.Helper()
		if got := number(id); got != want {
			t.Errorf("%s has number %d, want %d", id, got, want)
		}
	}
	wantNumber("zoe", 1)
	wantNumber("ann", 2)
	wantNumber("zoe", 1) // he keeps it
	// A refused commit uses up no number.
	wantCode(t, <-hand(s, protocol.UserKey("bad"), 0, protocol.UserImported{}, nil), protocol.Internal)
	wantNumber("bob", 3)
	closeStore(t, s)
	s = open(t, options(dir))
	wantNumber("ann", 2)
	wantNumber("eve", 4)

	var got []protocol.UserID
	if err := s.Users(func(u protocol.User) error { got = append(got, u.ID); return nil }); err != nil {
		t.Fatal(err)
	}
	if want := []protocol.UserID{"ann", "bob", "eve", "zoe"}; !cmp.Equal(got, want) {
		t.Errorf("users are %v, want %v", got, want)
	}
	stop := errors.New("enough")
	if err := s.Users(func(protocol.User) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("Users gives %v, want the error of visit", err)
	}
	wantSound(t, s)
}

func TestUserIsAsHisEventsLeftHim(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, options(dir))
	key := protocol.UserKey("ann")
	var want protocol.User
	for _, e := range []protocol.Event{
		protocol.UserImported{Stub: true}, protocol.UserImported{Profile: protocol.Profile{Name: "Ann", Sex: protocol.SexFemale, Platform: "p"}},
		protocol.LoggedIn{Class: protocol.ClassPC, Token: "t1", Platform: "p"}, protocol.CameOnline{},
		protocol.QueueBound{Queue: protocol.Queue{Name: "q1", Class: protocol.ClassPC}}, protocol.QueueBound{Queue: protocol.Queue{Name: "q2"}},
		protocol.QueueReleased{Queue: protocol.Queue{Name: "q1"}}, protocol.WentOffline{}, protocol.CameOnline{}, protocol.OfflineCaught{},
	} {
		want = want.Apply(commit(t, s, key, 0, e)[0])
	}
	closeStore(t, s)
	s = open(t, options(dir))
	got, found, err := s.User("ann")
	if err != nil || !found {
		t.Fatal(found, err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
	if _, found, err := s.User("none"); found || err != nil {
		t.Errorf("an unknown user: %v %v", found, err)
	}
	wantSound(t, s)
}

func TestQueuesAndPresenceAreListed(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	queue := func(name string) protocol.Queue { return protocol.Queue{Name: name} }
	commit(t, s, protocol.UserKey("zoe"), 0, protocol.UserImported{}, protocol.CameOnline{}, protocol.QueueBound{Queue: queue("z")})
	commit(t, s, protocol.UserKey("ann"), 0, protocol.UserImported{}, protocol.QueueBound{Queue: queue("a1")}, protocol.QueueBound{Queue: queue("a2")})
	commit(t, s, protocol.UserKey("bob"), 0, protocol.UserImported{}, protocol.CameOnline{}, protocol.WentOffline{},
		protocol.QueueBound{Queue: queue("b")}, protocol.QueueReleased{Queue: queue("b")})

	type line struct {
		User   protocol.UserID
		Queues []protocol.Queue
	}
	var queues []line
	err := s.EachQueue(func(id protocol.UserID, q []protocol.Queue) error { queues = append(queues, line{id, q}); return nil })
	want := []line{{"ann", []protocol.Queue{queue("a1"), queue("a2")}}, {"zoe", []protocol.Queue{queue("z")}}}
	if diff := cmp.Diff(want, queues); diff != "" || err != nil {
		t.Errorf("queues: %v\n%s", err, diff)
	}
	var online []protocol.UserID
	err = s.EachOnline(func(id protocol.UserID) error { online = append(online, id); return nil })
	if !cmp.Equal(online, []protocol.UserID{"zoe"}) || err != nil {
		t.Errorf("online are %v, %v", online, err)
	}
	wantSound(t, s)
}

func TestTokensFollowLogins(t *testing.T) {
	t.Parallel()
	pc, app := protocol.ClassPC, protocol.ClassApp
	in := func(class protocol.DeviceClass, token, replaced protocol.TokenDigest) protocol.Event {
		return protocol.LoggedIn{Class: class, Token: token, Replaced: replaced}
	}
	type step struct {
		user  protocol.UserID
		event protocol.Event
	}
	for _, c := range []struct {
		name  string
		steps []step
		want  map[protocol.TokenDigest]string // token → user and class
	}{
		{"a login has its token", []step{{"ann", in(pc, "t", "")}}, map[protocol.TokenDigest]string{"t": "ann pc"}},
		{"a login without a token has none", []step{{"ann", in(pc, "", "")}}, nil},
		{"a new token replaces the old", []step{{"ann", in(pc, "t", "")}, {"ann", in(pc, "u", "t")}}, map[protocol.TokenDigest]string{"u": "ann pc"}},
		{"also when the event does not say so", []step{{"ann", in(pc, "t", "")}, {"ann", in(pc, "u", "")}}, map[protocol.TokenDigest]string{"u": "ann pc"}},
		{"the same token again stays", []step{{"ann", in(pc, "t", "")}, {"ann", in(pc, "t", "t")}}, map[protocol.TokenDigest]string{"t": "ann pc"}},
		{"another class keeps its own", []step{{"ann", in(pc, "t", "")}, {"ann", in(app, "u", "")}}, map[protocol.TokenDigest]string{"t": "ann pc", "u": "ann app"}},
		{"a logout revokes", []step{{"ann", in(pc, "t", "")}, {"ann", protocol.LoggedOut{Class: pc, Revoked: "t"}}}, nil},
		{"a token that went to another class is not revoked", []step{{"ann", in(pc, "t", "")}, {"ann", in(app, "t", "")}, {"ann", protocol.LoggedOut{Class: pc, Revoked: "t"}}},
			map[protocol.TokenDigest]string{"t": "ann app"}},
		{"a deleted user has none", []step{{"ann", in(pc, "t", "")}, {"ann", in(app, "u", "")}, {"ann", protocol.UserDeleted{}}}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s := open(t, options(dir))
			for _, user := range []protocol.UserID{"ann", "bob"} {
				commit(t, s, protocol.UserKey(user), 0, protocol.UserImported{})
			}
			for _, step := range c.steps {
				commit(t, s, protocol.UserKey(step.user), 0, step.event)
			}
			wantSound(t, s)
			closeStore(t, s)
			s = open(t, options(dir))
			for _, token := range []protocol.TokenDigest{"t", "u", "v"} {
				user, class, found, err := s.TokenOwner(token)
				got := ""
				if found {
					got = string(user) + " " + string(class)
				}
				if got != c.want[token] || err != nil {
					t.Errorf("token %s is %q's, %v, want %q", token, got, err, c.want[token])
				}
			}
		})
	}
}

func TestATokenIsTheLoginOfOneUser(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	login := protocol.LoggedIn{Class: protocol.ClassPC, Token: "t"}
	commit(t, s, protocol.UserKey("ann"), 0, protocol.UserImported{}, login)
	commit(t, s, protocol.UserKey("bob"), 0, protocol.UserImported{})
	wantCode(t, <-hand(s, protocol.UserKey("bob"), 0, login), protocol.Conflict)
	commit(t, s, protocol.UserKey("ann"), 0, protocol.LoggedOut{Class: protocol.ClassPC, Revoked: "t"})
	commit(t, s, protocol.UserKey("bob"), 0, login)
	wantSound(t, s)
}

func TestDeletedAccountsAreKnownAfterRestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, options(dir))
	commit(t, s, protocol.UserKey("ann"), 0, protocol.UserImported{}, protocol.UserDeleted{})
	commit(t, s, protocol.UserKey("bob"), 0, protocol.UserImported{}, protocol.UserDeleted{}, protocol.UserImported{})
	for range 2 {
		if !s.IsDeleted("ann") || s.IsDeleted("bob") || s.IsDeleted("eve") {
			t.Errorf("deleted are ann %v, bob %v, eve %v; want ann alone", s.IsDeleted("ann"), s.IsDeleted("bob"), s.IsDeleted("eve"))
		}
		wantSound(t, s)
		closeStore(t, s)
		s = open(t, options(dir))
	}
}

func TestWatermarksNeverGoBack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, options(dir))
	receipts := func(list ...protocol.Receipt) {
		t.Helper()
		commit(t, s, protocol.UserKey("ann"), 0, protocol.ReceiptsAdvanced{Receipts: list})
	}
	pc, app := protocol.ClassPC, protocol.ClassApp
	receipts(protocol.Receipt{Conversation: "b", Class: pc, Delivered: 5}, protocol.Receipt{Conversation: "a", Read: 3})
	receipts(protocol.Receipt{Conversation: "b", Class: pc, Delivered: 4, Read: 2}, protocol.Receipt{Conversation: "b", Class: app, Delivered: 7})
	receipts(protocol.Receipt{Conversation: "a", Read: 1}, protocol.Receipt{Conversation: "a", Class: pc, Delivered: 1}, protocol.Receipt{Conversation: "a", Class: pc, Delivered: 9})
	closeStore(t, s)
	s = open(t, options(dir))
	got, err := s.Watermarks("ann")
	want := []protocol.Watermark{
		{Conversation: "a", Delivered: map[protocol.DeviceClass]protocol.Seq{pc: 9}, Read: 3},
		{Conversation: "b", Delivered: map[protocol.DeviceClass]protocol.Seq{pc: 5, app: 7}, Read: 2},
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v; want (-), got (+):\n%s", err, diff)
	}
	if got, err := s.Watermarks("an"); len(got) != 0 || err != nil {
		t.Errorf("watermarks of a prefix of the id: %v, %v", got, err)
	}
}

func TestSiteKeepsItsSettings(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, options(dir))
	broker := protocol.PlatformBroker{Platform: "p", Host: "mq", Port: 5672, Password: "x"}
	commit(t, s, protocol.SiteKey(), 0, protocol.WaterMarkChanged{Raw: []byte(`{"a":1}`)}, protocol.PlatformBrokerChanged{Broker: broker})
	closeStore(t, s)
	s = open(t, options(dir))
	got, err := s.Site()
	want := protocol.Site{WaterMark: []byte(`{"a":1}`), Platforms: map[protocol.PlatformID]protocol.PlatformBroker{"p": broker}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v; want (-), got (+):\n%s", err, diff)
	}
}
