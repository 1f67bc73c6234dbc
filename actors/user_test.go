package actors_test

import (
	"fmt"
	"slices"
	"testing"

	"instantd/protocol"
)

func queueNames(u protocol.User) []string {
	var names []string
	for _, q := range u.Queues {
		names = append(names, q.Name)
	}
	return names
}

func TestQueuesComeAndGoWithTheirLogin(t *testing.T) {
	t.Parallel()
	s := start(t)
	login := func(class protocol.DeviceClass, token protocol.Token, queue string) protocol.User {
		return ask(s, protocol.LogIn{User: "b", Class: class, Token: token, Queue: queue})
	}
	bind := func(name string, declared bool) protocol.User {
		return ask(s, protocol.BindQueue{
			By: protocol.Principal{User: "b", Class: protocol.ClassApp}, Queue: protocol.Queue{Name: name, Declared: declared},
		})
	}
	for _, step := range []struct {
		name string
		do   func() protocol.User
		want []string
	}{
		{"a login has its queue", func() protocol.User { return login(protocol.ClassApp, "1", "q1") }, []string{"q1"}},
		{"the same login keeps it", func() protocol.User { return login(protocol.ClassApp, "1", "q2") }, []string{"q1"}},
		{"another class has its own", func() protocol.User { return login(protocol.ClassPC, "2", "q3") }, []string{"q1", "q3"}},
		{"a client's queue stands beside", func() protocol.User { return bind("own", true) }, []string{"q1", "q3", "own"}},
		{"once", func() protocol.User { return bind("own", true) }, []string{"q1", "q3", "own"}},
		{"one of the server's replaces the class's", func() protocol.User { return bind("q4", false) }, []string{"q3", "own", "q4"}},
		{"a new token brings a new queue", func() protocol.User { return login(protocol.ClassApp, "3", "q5") }, []string{"q3", "own", "q5"}},
		{"they go with the login", func() protocol.User {
			ask(s, protocol.LogOut{User: "b", Class: protocol.ClassApp})
			return ask(s, protocol.UserOf{User: "b"})
		}, []string{"q3"}},
	} {
		if got := queueNames(step.do()); !slices.Equal(got, step.want) {
			t.Errorf("%s: got %v, want %v", step.name, got, step.want)
		}
	}
	refused(s, protocol.Forbidden, protocol.BindQueue{
		By: protocol.Principal{User: "b", Class: protocol.ClassApp}, Queue: protocol.Queue{Name: "late"},
	})
}

func TestABoundQueueIsBoundAnewWhenAskedAgain(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.login("b", protocol.ClassApp, "tb")
	bound := 0
	before := s.store.LastID()
	for range 2 {
		ask(s, protocol.BindQueue{By: protocol.Principal{User: "b", Class: protocol.ClassApp}, Queue: protocol.Queue{Name: "q"}})
	}
	err := each(s, before, func(r protocol.Record) {
		if _, is := r.Event.(protocol.QueueBound); is {
			bound++
		}
	})
	if err != nil || bound != 2 {
		t.Errorf("told %d times (%v)", bound, err)
	}
}

func TestADeletedUserIsOut(t *testing.T) {
	t.Parallel()
	s := start(t)
	ask(s, protocol.ImportUser{User: "b", Profile: protocol.Profile{Name: "Li"}})
	s.login("b", protocol.ClassApp, "tb")
	p := s.connect("b", protocol.ClassApp, "tb").resume()
	for range 2 {
		ask(s, protocol.DeleteUser{User: "b"})
	}
	p.until("closed", func() bool { return p.closed == protocol.CloseRevoked })
	u := ask(s, protocol.UserOf{User: "b"})
	if !u.Deleted || u.Online || len(u.Logins) != 0 {
		t.Errorf("got %+v", u)
	}
	refused(s, protocol.Gone, protocol.LogIn{User: "b", Class: protocol.ClassApp, Token: "tb2"})
	refused(s, protocol.NotFound, protocol.DeleteUser{User: "nobody"})
	if back := ask(s, protocol.ImportUser{User: "b", Profile: protocol.Profile{Name: "Li"}}); back.Deleted || back.Number != u.Number {
		t.Errorf("imported again: %+v", back)
	}
}

func TestNumbersCountUsersInOrderOfArrival(t *testing.T) {
	t.Parallel()
	s := start(t)
	for n := range 5 {
		if u := ask(s, protocol.NameUser{User: protocol.UserID(fmt.Sprint("u", n))}); u.Number != int64(n+1) || !u.Stub {
			t.Errorf("got %+v", u)
		}
	}
}
