package instant

import (
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	amqp "github.com/rabbitmq/amqp091-go"

	"instantd/protocol"
	"instantd/protocol/instant/rabbittest"
)

// Every kind of event reaches a legacy client, which binds its own queue, and a
// queue that the server declared, with the same bytes.
func TestEveryEventReachesItsClients(t *testing.T) {
	t.Parallel()
	url, l := vhost(t), newLedger()
	b, _ := runBroker(t, url, l, nil)
	connected(t, b)
	settled(t, b, l.bind("bob", "queue_u_bob_1", false))
	c := newClient(t, url)
	managed := c.consume("queue_u_bob_1")
	legacy := c.listen(exchangeBase, "u_bob", "broadcast", "event", "u_.water_mark")

	group := protocol.ConversationKey("7")
	notice := func(r protocol.Record, key string) {
		t.Helper()
		wantRecord(t, legacy, r, exchangeBase, key)
		wantRecord(t, managed, r, exchangeBase, key)
	}
	notice(l.create("7", "ann", "bob", "cid"), "u_bob")
	talk := c.listen("exchange_c_7", "c_7") // what a client does when it reads the notice
	message := func(r protocol.Record) {
		t.Helper()
		wantRecord(t, talk, r, "exchange_c_7", "c_7")
		wantRecord(t, managed, r, "exchange_c_7", "c_7")
	}
	message(l.say("7", "hello"))
	message(l.commit(group, protocol.MessageRecalled{By: "ann", Target: 2, Message: 5}))
	message(l.commit(group, protocol.MessageUpdated{By: "ann", Target: 2, Message: 5, Content: protocol.Text("better")}))
	message(l.commit(group, protocol.MessageDeleted{By: "ann", Target: 2, Message: 5}))
	notice(l.commit(group, protocol.MessageSent{Sender: "ann", Content: protocol.Text("psst"), To: []protocol.UserID{"bob"}}), "u_bob")
	notice(l.commit(group, protocol.MembersAdded{By: "ann", Members: persons("dan")}), "u_bob")
	notice(l.commit(group, protocol.MembersRemoved{By: "ann", Members: persons("dan")}), "u_bob")
	notice(l.commit(group, protocol.MemberLeft{Member: persons("cid")[0]}), "u_bob")
	notice(l.commit(group, protocol.ConversationRenamed{By: "ann", Name: "eight"}), "u_bob")
	notice(l.commit(group, protocol.OwnerChanged{By: "ann", Owner: "bob"}), "u_bob")
	notice(l.commit(protocol.UserKey("ann"), protocol.CameOnline{}), "u_bob")
	notice(l.commit(protocol.UserKey("ann"), protocol.WentOffline{}), "u_bob")
	broadcast := protocol.ConversationKey(protocol.BroadcastFeed)
	notice(l.commit(broadcast, protocol.MessageSent{Sender: "eve", Content: protocol.Text("all")}), "broadcast")
	report := protocol.ConversationKey(protocol.ReportFeed)
	notice(l.commit(report, protocol.MessageSent{Sender: "eve", Content: protocol.Text("here")}), "event")
	notice(l.commit(protocol.SiteKey(), protocol.WaterMarkChanged{Raw: []byte(`{"id":"1","mark":"x"}`)}), "u_.water_mark")
	l.commit(protocol.UserKey("bob"), protocol.LoggedIn{Class: protocol.ClassPC}) // nobody's business
	last := l.commit(group, protocol.ConversationDissolved{By: "bob", Members: persons("ann", "bob")})
	notice(last, "u_bob")
	settled(t, b, last)

	// 14 frames for bob, ann, cid, dan, and what they share; the exact number
	// matters less than that all of it is confirmed.
	eventually(t, "everything is confirmed", func() bool { return testutil.ToFloat64(b.metrics.unconfirmed) == 0 })
	if depth, _ := l.Depth(Way); depth != 0 {
		t.Errorf("%d records are left in the outbox", depth)
	}
	if testutil.ToFloat64(b.metrics.published) == 0 {
		t.Error("nothing counts as published")
	}
}

func TestQueuesFollowMembership(t *testing.T) {
	t.Parallel()
	url, l := vhost(t), newLedger()
	b, _ := runBroker(t, url, l, nil)
	connected(t, b)
	l.bind("ann", "queue_u_ann_1", false)
	l.bind("bob", "queue_u_bob_1", false)
	created := l.create("7", "ann")
	settled(t, b, created)
	c := newClient(t, url)
	ann, bob := c.consume("queue_u_ann_1"), c.consume("queue_u_bob_1")
	group := protocol.ConversationKey("7")
	wantRecords(t, ann, created)
	before := l.say("7", "before")
	joined := l.commit(group, protocol.MembersAdded{Members: persons("bob")})
	within := l.say("7", "within")
	removed := l.commit(group, protocol.MembersRemoved{Members: persons("bob")})
	outside := l.say("7", "outside")
	again := l.commit(group, protocol.MembersAdded{Members: persons("bob")})
	last := l.say("7", "again")
	wantRecords(t, ann, before, joined, within, removed, outside, again, last)
	wantRecords(t, bob, joined, within, removed, again, last) // neither before nor outside
}

// A user who comes back finds no binding to what he left meanwhile, whether the
// server remembers his exchange or not.
func TestAReturningUserHearsOnlyWhereHeIs(t *testing.T) {
	t.Parallel()
	for _, restart := range []bool{false, true} {
		t.Run(fmt.Sprintf("restarted meanwhile: %v", restart), func(t *testing.T) {
			t.Parallel()
			url, l := vhost(t), newLedger()
			b, stop := runBroker(t, url, l, func(o *BrokerOptions) { o.Grace = time.Hour })
			connected(t, b)
			l.create("7", "ann", "bob")
			l.create("8", "ann", "bob")
			l.bind("bob", "queue_u_bob_1", false)
			settled(t, b, l.unbind("bob", "queue_u_bob_1", false))
			c := newClient(t, url)
			if !c.hasExchange("exchange_u_bob") {
				t.Fatal("the exchange does not outlive the last queue")
			}
			if restart {
				stop()
				if c.hasExchange("exchange_u_bob") {
					t.Error("a clean end leaves the exchange of a user without queues")
				}
				b, _ = runBroker(t, url, l, nil)
				connected(t, b)
			}
			l.commit(protocol.ConversationKey("7"), protocol.MemberLeft{Member: persons("bob")[0]})
			settled(t, b, l.bind("bob", "queue_u_bob_2", false))
			l.say("7", "not for bob")
			heard := l.say("8", "for bob")
			if d := receive(t, c.consume("queue_u_bob_2")); d.MessageId != heard.ID.String() {
				t.Errorf("he hears %s", d.Body)
			}
		})
	}
}

func TestQueuesLiveAsLongAsLogins(t *testing.T) {
	t.Parallel()
	url, l := vhost(t), newLedger()
	b, _ := runBroker(t, url, l, func(o *BrokerOptions) { o.Grace = time.Millisecond })
	connected(t, b)
	c := newClient(t, url)
	if _, err := c.ch.QueueDeclare("queue_u_ann_own", true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := c.ch.QueueDeclare("queue_u_ann_alone", false, false, true, false, nil); err != nil {
		t.Fatal(err)
	}
	l.create("7", "ann")
	l.bind("ann", "queue_u_ann_1", false)
	l.bind("ann", "queue_u_ann_gone", true)  // the client never declared it
	l.bind("ann", "queue_u_ann_alone", true) // nobody else may touch it
	settled(t, b, l.bind("ann", "queue_u_ann_own", true))
	said := l.say("7", "hello")
	for _, queue := range []string{"queue_u_ann_1", "queue_u_ann_own"} {
		if d := receive(t, c.consume(queue)); d.MessageId != said.ID.String() {
			t.Errorf("%s got %s", queue, d.Body)
		}
	}
	if c.hasQueue("queue_u_ann_gone") {
		t.Error("the server declares a queue of the client's")
	}
	l.unbind("ann", "queue_u_ann_1", false)
	settled(t, b, l.unbind("ann", "queue_u_ann_own", true))
	if c.hasQueue("queue_u_ann_1") {
		t.Error("the queue of a login that ended is still there")
	}
	if !c.hasQueue("queue_u_ann_own") {
		t.Error("the server deleted a queue of the client's")
	}
	if !c.hasExchange("exchange_u_ann") {
		t.Error("the exchange is gone before the last queue")
	}
	l.unbind("ann", "queue_u_ann_gone", true)
	l.unbind("ann", "queue_u_ann_alone", true)
	eventually(t, "the exchange is gone after the last queue", func() bool { return !c.hasExchange("exchange_u_ann") })
}

func TestADissolvedConversationLosesItsExchange(t *testing.T) {
	t.Parallel()
	url, l := vhost(t), newLedger()
	b, _ := runBroker(t, url, l, func(o *BrokerOptions) { o.Linger = time.Millisecond })
	connected(t, b)
	settled(t, b, l.create("7", "ann"))
	c := newClient(t, url)
	if !c.hasExchange("exchange_c_7") {
		t.Error("a settled conversation has no exchange")
	}
	l.commit(protocol.ConversationKey("7"), protocol.ConversationDissolved{Members: persons("ann")})
	eventually(t, "the exchange is gone", func() bool { return !c.hasExchange("exchange_c_7") })
	// What was about it may come once more after a lost connection.
	settled(t, b, l.commit(protocol.ConversationKey("7"), protocol.MembersRemoved{Members: persons("ann")}))
	if got := testutil.ToFloat64(b.metrics.reconnects); got != 0 {
		t.Errorf("%v connections were lost", got)
	}
}

// Clients and earlier versions may have declared things in another shape.
func TestWhatExistsIsUsedAsItIs(t *testing.T) {
	t.Parallel()
	url, l := vhost(t), newLedger()
	c := newClient(t, url)
	for _, exchange := range []string{exchangeBase, "exchange_c_7"} {
		if err := c.ch.ExchangeDeclare(exchange, "direct", true, false, false, false, nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, queue := range []string{queueBase, queueDead, "queue_u_ann_1"} {
		if _, err := c.ch.QueueDeclare(queue, true, false, false, false, amqp.Table{"x-max-length": 1000}); err != nil {
			t.Fatal(err)
		}
	}
	applied := make(chan string, 1)
	b, _ := runBroker(t, url, l, func(o *BrokerOptions) { o.Apply = report(applied) })
	connected(t, b)
	l.bind("ann", "queue_u_ann_1", false)
	created := l.create("7", "ann")
	said := l.say("7", "hello")
	settled(t, b, said)
	queue := c.consume("queue_u_ann_1")
	wantRecord(t, queue, created, exchangeBase, "u_ann")
	wantRecord(t, queue, said, "exchange_c_7", "c_7")
	c.command("{}")
	if got := <-applied; got != "{}" {
		t.Errorf("applied %q", got)
	}
}

// Legacy clients bind themselves to the exchanges of their conversations, so
// those must exist before anything is said.
func TestOpenConversationsHaveExchanges(t *testing.T) {
	t.Parallel()
	url, l := vhost(t), newLedger()
	const many = 3*exchangesAtOnce + 1
	for i := range many {
		l.create(protocol.ConversationID(fmt.Sprint(i)), "ann")
	}
	ended := l.commit(protocol.ConversationKey("0"), protocol.ConversationDissolved{Members: persons("ann")})
	if err := l.Confirm(Way, ended.ID); err != nil {
		t.Fatal(err)
	}
	b, _ := runBroker(t, url, l, nil)
	connected(t, b)
	c := newClient(t, url)
	for i := 1; i < many; i++ {
		name := fmt.Sprintf("exchange_c_%d", i)
		eventually(t, name+" is declared", func() bool { return c.hasExchange(name) })
	}
	if c.hasExchange("exchange_c_0") {
		t.Error("a dissolved conversation has an exchange")
	}
}

func TestAUserWhoseKeyMatchesOthersIsNotBound(t *testing.T) {
	t.Parallel()
	url, l := vhost(t), newLedger()
	b, _ := runBroker(t, url, l, nil)
	connected(t, b)
	settled(t, b, l.bind("ann.#", "queue_u_ann.#_1", false))
	if newClient(t, url).hasQueue("queue_u_ann.#_1") {
		t.Error("he has a queue that hears u_ann and everybody below")
	}
}

func TestADefectOfTheEncoderCostsOneEvent(t *testing.T) {
	t.Parallel()
	url, l := vhost(t), newLedger()
	b, _ := runBroker(t, url, l, func(o *BrokerOptions) { o.Encoder = brokenEncoder{} })
	connected(t, b)
	settled(t, b, l.bind("ann", "queue_u_ann_1", false))
	l.create("7", "ann")
	l.say("7", "hello")
	if d := receive(t, newClient(t, url).consume("queue_u_ann_1")); string(d.Body) != "fine" {
		t.Errorf("got %s", d.Body)
	}
}

// brokenEncoder fails for everything but messages.
type brokenEncoder struct{}

func (brokenEncoder) Encode(r protocol.Record) []byte {
	_ = r.Event.(protocol.MessageSent)
	return []byte("fine")
}

// A queue that takes nothing must not stop everybody else for ever.
func TestAnEventThatIsRefusedAgainAndAgainIsGivenUp(t *testing.T) {
	t.Parallel()
	url, l := vhost(t), newLedger()
	b, _ := runBroker(t, url, l, nil)
	connected(t, b)
	settled(t, b, l.create("7", "ann"))
	c := newClient(t, url)
	full := amqp.Table{"x-max-length": 1, "x-overflow": "reject-publish"}
	if _, err := c.ch.QueueDeclare("full", true, false, false, false, full); err != nil {
		t.Fatal(err)
	}
	if err := c.ch.QueueBind("full", "c_7", "exchange_c_7", false, nil); err != nil {
		t.Fatal(err)
	}
	talk := c.listen("exchange_c_7", "c_7")
	first, second := l.say("7", "fits"), l.say("7", "does not fit")
	last := l.create("8", "ann")
	eventually(t, "what follows is published", func() bool { return b.progress.position() >= last.ID })
	if got := testutil.ToFloat64(b.metrics.refused); got != 1 {
		t.Errorf("%v events were given up, want 1", got)
	}
	if d := receive(t, talk); d.MessageId != first.ID.String() {
		t.Errorf("got %s", d.Body)
	}
	for range refusalsInTurn { // once for each attempt
		if d := receive(t, talk); d.MessageId != second.ID.String() {
			t.Errorf("got %s", d.Body)
		}
	}
}

// One user listens to one conversation; an operation is one message, from the
// outbox to the broker's confirmation.
func BenchmarkPublish(b *testing.B) {
	url, l := rabbittest.Shared(b).Vhost(b), newLedger()
	broker, _ := runBroker(b, url, l, func(o *BrokerOptions) { o.Log = nil })
	connected(b, broker)
	l.create("7", "ann")
	settled(b, broker, l.bind("ann", "queue_u_ann_1", false))
	b.ResetTimer()
	var last protocol.Record
	for range b.N { // the end of the loop is not yet the end of the work
		last = l.say("7", "hello")
	}
	eventually(b, "everything is confirmed", func() bool { return broker.progress.position() >= last.ID })
}

// An operation is a login and a logout of a user with many conversations who
// was not online lately.
func BenchmarkLogin(b *testing.B) {
	for _, conversations := range []int{10, 1_000} {
		b.Run(fmt.Sprint(conversations), func(b *testing.B) {
			url, l := rabbittest.Shared(b).Vhost(b), newLedger()
			broker, _ := runBroker(b, url, l, func(o *BrokerOptions) { o.Log, o.Grace = nil, time.Nanosecond })
			connected(b, broker)
			for i := range conversations {
				l.create(protocol.ConversationID(fmt.Sprint(i)), "ann")
			}
			for b.Loop() {
				l.bind("ann", "queue_u_ann_1", false)
				settled(b, broker, l.unbind("ann", "queue_u_ann_1", false))
			}
		})
	}
}
