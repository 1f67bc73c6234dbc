package instant

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"instantd/protocol"
)

func TestNamesAreTheDocumentedOnes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ what, got, want string }{
		{"the exchange that everybody meets at", exchangeBase, "exchange_instant_base"},
		{"the queue of the center's commands", queueBase, "queue_instant_base"},
		{"its key", keyBase, "instant.base"},
		{"the exchange of a conversation", exchangeOfConversation("7"), "exchange_c_7"},
		{"its key", keyOfConversation("7"), "c_7"},
		{"the exchange of a user", exchangeOfUser("34020000001320000001"), "exchange_u_34020000001320000001"},
		{"his key", keyOfUser("34020000001320000001"), "u_34020000001320000001"},
		{"the key of the water mark", keyWaterMark, "u_.water_mark"},
	} {
		if c.got != c.want {
			t.Errorf("%s: %q, want %q", c.what, c.got, c.want)
		}
	}
}

func TestQueueNamesFitAndDiffer(t *testing.T) {
	t.Parallel()
	longest := protocol.UserID(strings.Repeat("9", protocol.MaxIDLength))
	a, b := QueueName(longest), QueueName(longest)
	if a == b {
		t.Error("two logins have one queue")
	}
	if len(a) > 255 {
		t.Errorf("%d bytes are more than a name may have", len(a))
	}
	if !OwnsQueue(longest, a) {
		t.Error("the user does not own his queue")
	}
}

func TestOwnsQueue(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		user  protocol.UserID
		queue string
		want  bool
	}{
		{"a queue with the user's id and something random is his", "a", "queue_u_a_0f3c", true},
		{"a UUID is random enough", "a", "queue_u_a_5b8b1c1e-6e0e-4b53-a7b0-6f3f2f1b9c11", true},
		{"an id may hold an underscore", "a_b", "queue_u_a_b_1", true},
		{"another user's queue is not his", "a", "queue_u_b_1", false},
		{"the queue of a_b is not a's", "a", "queue_u_a_b_1", false},
		{"a longer id is another user", "a", "queue_u_ab_1", false},
		{"nothing random is no queue", "a", "queue_u_a_", false},
		{"the id alone is no queue", "a", "queue_u_a", false},
		{"the center's queue is nobody's", "a", "queue_instant_base", false},
		{"nobody owns nothing", "", "queue_u__1", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := OwnsQueue(c.user, c.queue); got != c.want {
				t.Errorf("OwnsQueue(%q, %q) = %v, want %v", c.user, c.queue, got, c.want)
			}
		})
	}
}

func FuzzOwnsQueueHasOneOwner(f *testing.F) {
	f.Add("a", "a_b", "1")
	f.Add("a_b", "a", "b_1")
	f.Fuzz(func(t *testing.T, a, b, random string) {
		queue := "queue_u_" + a + "_" + random
		if a != b && OwnsQueue(protocol.UserID(a), queue) && OwnsQueue(protocol.UserID(b), queue) {
			t.Errorf("%q belongs to %q and to %q", queue, a, b)
		}
	})
}

func TestBindable(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		user protocol.UserID
		want bool
	}{
		{"a number is plain", "34020000001320000001", true},
		{"dots make words", "a.b", true},
		{"a sign inside a word is plain", "a.b#c", true},
		{"the first word begins with u_", "#", true},
		{"a word of # would match everything behind", "a.#", false},
		{"a word of * would match any word", "a.*.b", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := bindable(c.user); got != c.want {
				t.Errorf("bindable(%q) = %v, want %v", c.user, got, c.want)
			}
		})
	}
}

func TestRoute(t *testing.T) {
	t.Parallel()
	inGroup := protocol.ConversationKey("7")
	base := func(keys ...string) (list []Publication) {
		for _, key := range keys {
			list = append(list, Publication{"exchange_instant_base", key})
		}
		return list
	}
	group := []Publication{{"exchange_c_7", "c_7"}}
	ann := []protocol.Person{{User: "ann"}}
	cases := []struct {
		name  string
		key   protocol.Key
		event protocol.Event
		want  []Publication
	}{
		{"a message goes once to its conversation", inGroup, protocol.MessageSent{Sender: "ann"}, group},
		{"a narrowed message goes to its receivers and its sender", inGroup, protocol.MessageSent{Sender: "ann", To: []protocol.UserID{"bob", "ann"}}, base("u_bob", "u_ann")},
		{"a recall goes once to its conversation", inGroup, protocol.MessageRecalled{}, group},
		{"an update goes once to its conversation", inGroup, protocol.MessageUpdated{}, group},
		{"a deletion goes once to its conversation", inGroup, protocol.MessageDeleted{}, group},
		{"a broadcast goes once to everybody", protocol.ConversationKey(protocol.BroadcastFeed), protocol.MessageSent{Sender: "ann"}, base("broadcast")},
		{"an event report goes once to everybody", protocol.ConversationKey(protocol.ReportFeed), protocol.MessageSent{Sender: "ann"}, base("event")},
		{"a narrowed broadcast does not go to everybody", protocol.ConversationKey(protocol.BroadcastFeed), protocol.MessageSent{Sender: "ann", To: []protocol.UserID{"bob"}}, base("u_bob", "u_ann")},
		{"a recalled broadcast goes where it went", protocol.ConversationKey(protocol.BroadcastFeed), protocol.MessageRecalled{}, base("broadcast")},
		{"a creation goes to each member", inGroup, protocol.ConversationCreated{}, base("u_ann", "u_bob")},
		{"a joining goes to each member", inGroup, protocol.MembersAdded{Members: ann}, base("u_ann", "u_bob")},
		{"an expulsion goes to each member and the expelled", inGroup, protocol.MembersRemoved{Members: ann}, base("u_ann", "u_bob")},
		{"a leaving goes to each member and the one who left", inGroup, protocol.MemberLeft{Member: ann[0]}, base("u_ann", "u_bob")},
		{"a name goes to each member", inGroup, protocol.ConversationRenamed{}, base("u_ann", "u_bob")},
		{"an owner goes to each member", inGroup, protocol.OwnerChanged{}, base("u_ann", "u_bob")},
		{"a dissolution goes to each former member", inGroup, protocol.ConversationDissolved{}, base("u_ann", "u_bob")},
		{"coming online goes to each neighbour", protocol.UserKey("eve"), protocol.CameOnline{}, base("u_ann", "u_bob")},
		{"going offline goes to each neighbour", protocol.UserKey("eve"), protocol.WentOffline{}, base("u_ann", "u_bob")},
		{"a water mark goes once to everybody", protocol.SiteKey(), protocol.WaterMarkChanged{}, base("u_.water_mark")},
		{"a login is nobody's business", protocol.UserKey("eve"), protocol.LoggedIn{}, nil},
		{"a receipt is nobody's business", protocol.UserKey("eve"), protocol.ReceiptsAdvanced{}, nil},
		{"a queue is nobody's business", protocol.UserKey("eve"), protocol.QueueBound{}, nil},
		{"a platform's broker is nobody's business", protocol.SiteKey(), protocol.PlatformBrokerChanged{}, nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := protocol.Record{ID: 1, Key: c.key, Seq: 1, Event: c.event}
			got := Route(r, []protocol.UserID{"ann", "bob"})
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("Route(%T) (-want +got):\n%s", c.event, diff)
			}
			// Whoever asks for the recipients first must agree with Route.
			if used := !cmp.Equal(got, Route(r, nil)); used != wantsRecipients(r) {
				t.Errorf("%T uses its recipients: %v, but wantsRecipients says %v", c.event, used, !used)
			}
		})
	}
}

func TestStepsOfAUser(t *testing.T) {
	t.Parallel()
	got := append(userSteps("ann", []protocol.ConversationID{"7"}),
		append(queueSteps("ann", protocol.Queue{Name: "q1"}), queueSteps("ann", protocol.Queue{Name: "q2", Declared: true})...)...)
	want := []step{
		{do: declareFanout, name: "exchange_u_ann"},
		{do: bindExchange, name: "exchange_u_ann", from: "exchange_instant_base", key: "u_ann"},
		{do: bindExchange, name: "exchange_u_ann", from: "exchange_instant_all"},
		{do: bindExchange, name: "exchange_u_ann", from: "exchange_c_7", key: "c_7"},
		{do: declareUserQueue, name: "q1"},
		{do: bindQueue, name: "q1", from: "exchange_u_ann"},
		{do: bindForeignQueue, name: "q2", from: "exchange_u_ann"},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestOnlyTheServersQueuesAreDeleted(t *testing.T) {
	t.Parallel()
	if got := releaseStep("ann", protocol.Queue{Name: "q"}); got.do != deleteQueue {
		t.Errorf("a queue of the server's is not deleted: %v", got)
	}
	if got := releaseStep("ann", protocol.Queue{Name: "q", Declared: true}); got.do != unbindQueue {
		t.Errorf("a queue of the client's is not only unbound: %v", got)
	}
}

func TestNobodyIsCalledLikeTheWaterMark(t *testing.T) {
	t.Parallel()
	if bindable(".water_mark") {
		t.Error("the queues of .water_mark would be everybody's")
	}
	created := protocol.Record{Key: protocol.ConversationKey("7"), Seq: 1, Event: protocol.ConversationCreated{Name: "to all"}}
	got := Route(created, []protocol.UserID{"ann", ".water_mark"})
	if want := []Publication{{exchangeBase, "u_ann"}}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
