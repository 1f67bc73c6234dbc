package instant

import (
	"fmt"
	"testing"
	"time"

	"instantd/protocol"
)

// However late a record is published, it reaches those who were members when it
// was committed, and nobody else.
func TestQueuesFollowTheMembershipOfTheRecord(t *testing.T) {
	t.Parallel()
	group := protocol.ConversationKey("7")
	add := protocol.MembersAdded{Members: persons("bob")}
	remove := protocol.MembersRemoved{Members: persons("bob")}
	type say string // something said in the group; in capitals what bob is to hear
	for _, c := range []struct {
		name    string
		members []protocol.UserID // when the broker goes away
		while   []any             // what is committed until it is back: events of the group, and what is said
	}{
		{"who was expelled meanwhile hears what was said before",
			[]protocol.UserID{"ann", "bob"}, []any{say("WITHIN"), remove, say("outside")}},
		{"who joined meanwhile hears nothing from before",
			[]protocol.UserID{"ann"}, []any{say("before"), add, say("WITHIN")}},
		{"who came and went meanwhile hears what was said between",
			[]protocol.UserID{"ann"}, []any{say("before"), add, say("WITHIN"), remove, say("outside")}},
		{"who went and came back meanwhile misses what was said between",
			[]protocol.UserID{"ann", "bob"}, []any{say("WITHIN"), remove, say("outside"), add, say("AGAIN")}},
		{"who was in until the dissolution hears all of it",
			[]protocol.UserID{"ann", "bob"}, []any{say("WITHIN"), protocol.ConversationDissolved{Members: persons("ann", "bob")}}},
	} {
		for _, forgotten := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s; published before: %v", c.name, forgotten), func(t *testing.T) {
				t.Parallel()
				url, l := vhost(t), newLedger()
				l.create("7", c.members...)
				l.create("8", "ann", "bob")
				mark := l.bind("bob", "queue_u_bob_1", false)
				if err := l.Confirm(Way, mark.ID); err != nil {
					t.Fatal(err)
				}
				var want []protocol.Record
				for _, what := range c.while {
					if text, ok := what.(say); ok {
						r := l.say("7", string(text))
						if text[0] < 'a' {
							want = append(want, r)
						}
						continue
					}
					want = append(want, l.commit(group, what.(protocol.Event))) // a notice of his own coming and going
				}
				b, stop := runBroker(t, url, l, nil)
				connected(t, b)
				last := l.say("8", "last")
				settled(t, b, last)
				queue := newClient(t, url).consume("queue_u_bob_1")
				wantRecords(t, queue, append(want, last)...)
				if !forgotten {
					return
				}
				// All of it once more, although bindings of the end are there.
				stop()
				l.forget(mark)
				b, _ = runBroker(t, url, l, nil)
				connected(t, b)
				settled(t, b, last)
				wantRecords(t, queue, append(want, last)...)
			})
		}
	}
}

// A crash leaves the exchange of a user who was about to be forgotten, with its
// bindings; an older server made it durable.
func TestAReturningUserIsNotBoundToWhatHeLeftLongAgo(t *testing.T) {
	t.Parallel()
	for _, durable := range []bool{false, true} {
		t.Run(fmt.Sprintf("durable: %v", durable), func(t *testing.T) {
			t.Parallel()
			url, l := vhost(t), newLedger()
			l.create("7", "ann", "bob")
			if err := l.Confirm(Way, l.create("8", "ann", "bob").ID); err != nil {
				t.Fatal(err)
			}
			c := newClient(t, url)
			if err := c.ch.ExchangeDeclare("exchange_u_bob", "fanout", durable, false, false, false, nil); err != nil {
				t.Fatal(err)
			}
			for _, id := range []string{"7", "8"} {
				if err := c.ch.ExchangeDeclare("exchange_c_"+id, "topic", true, false, false, false, nil); err != nil {
					t.Fatal(err)
				}
				if err := c.ch.ExchangeBind("exchange_u_bob", "c_"+id, "exchange_c_"+id, false, nil); err != nil {
					t.Fatal(err)
				}
			}
			b, _ := runBroker(t, url, l, nil)
			connected(t, b)
			l.commit(protocol.ConversationKey("7"), protocol.MemberLeft{Member: persons("bob")[0]})
			l.bind("bob", "queue_u_bob_1", false)
			l.say("7", "not for bob")
			broadcast := l.commit(protocol.ConversationKey(protocol.BroadcastFeed), protocol.MessageSent{Sender: "ann", Content: protocol.Text("all")})
			heard := l.say("8", "for bob")
			settled(t, b, heard)
			wantRecords(t, c.consume("queue_u_bob_1"), broadcast, heard)
		})
	}
}

// A login while much is waiting to be published begins where it stands.
func TestALoginInTheBacklogListensToWhatItsUserWasIn(t *testing.T) {
	t.Parallel()
	url, l := vhost(t), newLedger()
	created := l.create("7", "ann", "bob")
	if err := l.Confirm(Way, created.ID); err != nil {
		t.Fatal(err)
	}
	l.bind("bob", "queue_u_bob_own", true)
	within := l.say("7", "within")
	removed := l.commit(protocol.ConversationKey("7"), protocol.MembersRemoved{Members: persons("bob")})
	l.say("7", "outside")
	mark := l.commit(protocol.SiteKey(), protocol.WaterMarkChanged{Raw: []byte(`{}`)})
	last := l.unbind("bob", "queue_u_bob_own", true) // so that nothing is bound before the records say so
	c := newClient(t, url)
	if _, err := c.ch.QueueDeclare("queue_u_bob_own", true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	b, _ := runBroker(t, url, l, nil)
	connected(t, b)
	settled(t, b, last)
	wantRecords(t, c.consume("queue_u_bob_own"), within, removed, mark)
}

// Who has gone since was a neighbour then, and is told.
func TestPresenceReachesTheNeighboursOfItsTime(t *testing.T) {
	t.Parallel()
	url, l := vhost(t), newLedger()
	l.create("7", "ann", "bob")
	mark := l.bind("bob", "queue_u_bob_1", false)
	if err := l.Confirm(Way, mark.ID); err != nil {
		t.Fatal(err)
	}
	online := l.commit(protocol.UserKey("ann"), protocol.CameOnline{})
	left := l.commit(protocol.ConversationKey("7"), protocol.MemberLeft{Member: persons("bob")[0]})
	l.commit(protocol.UserKey("ann"), protocol.WentOffline{}) // nobody's business any more
	again := l.commit(protocol.ConversationKey("7"), protocol.MembersAdded{Members: persons("bob")})
	b, _ := runBroker(t, url, l, nil)
	connected(t, b)
	settled(t, b, again)
	wantRecords(t, newClient(t, url).consume("queue_u_bob_1"), online, left, again)
}

// A deletion that is ordered by an event to be published again must not come
// before the events that precede it.
func TestADeletionDoesNotOvertakeWhatIsPublishedAgain(t *testing.T) {
	t.Parallel()
	url, l := vhost(t), newLedger()
	l.create("7", "ann", "bob")
	mark := l.bind("bob", "queue_u_bob_1", false)
	if err := l.Confirm(Way, mark.ID); err != nil {
		t.Fatal(err)
	}
	var want []protocol.Record
	for i := range 3 * readAtOnce {
		want = append(want, l.say("7", fmt.Sprint(i)))
	}
	dissolved := l.commit(protocol.ConversationKey("7"), protocol.ConversationDissolved{Members: persons("ann", "bob")})
	b := makeBroker(t, url, l, nil)
	// What an earlier connection left, which was lost before it was confirmed.
	b.graves[dissolved.Key] = grave{by: dissolved.ID, due: time.Now()}
	run(t, b)
	connected(t, b)
	settled(t, b, dissolved)
	wantRecords(t, newClient(t, url).consume("queue_u_bob_1"), append(want, dissolved)...)
}

// Deletions are put off in memory. What a crash forgot is done after the next
// start.
func TestDeletionsThatACrashForgotAreDone(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name          string
		grace, linger time.Duration
		gone, stays   string
	}{
		{"of a user without queues", time.Millisecond, time.Hour, "exchange_u_bob", "exchange_c_7"},
		{"of a dissolved conversation", time.Hour, time.Millisecond, "exchange_c_7", "exchange_u_bob"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			url, l := vhost(t), newLedger()
			client := newClient(t, url)
			for exchange, kind := range map[string]string{"exchange_u_bob": "fanout", "exchange_c_7": "topic"} {
				if err := client.ch.ExchangeDeclare(exchange, kind, true, false, false, false, nil); err != nil {
					t.Fatal(err)
				}
			}
			l.create("7", "ann", "bob")
			l.create("8", "ann", "bob")
			for _, queue := range []string{"queue_u_ann_1", "queue_u_ann_2"} {
				l.bind("ann", queue, false)
			}
			l.bind("bob", "queue_u_bob_1", false)
			l.unbind("ann", "queue_u_ann_1", false) // the other one remains
			l.unbind("bob", "queue_u_bob_1", false)
			for range 2 * readAtOnce { // so that it does not stand at the end
				l.say("8", "hello")
			}
			l.commit(protocol.ConversationKey("7"), protocol.ConversationDissolved{Members: persons("ann", "bob")})
			position := l.say("8", "the last before the crash")
			if err := l.Confirm(Way, position.ID); err != nil {
				t.Fatal(err)
			}
			b, _ := runBroker(t, url, l, func(o *BrokerOptions) { o.Grace, o.Linger = c.grace, c.linger })
			connected(t, b)
			eventually(t, c.gone+" is gone", func() bool { return !client.hasExchange(c.gone) })
			if !client.hasExchange(c.stays) {
				t.Errorf("%s is gone before its time", c.stays)
			}
			said := l.say("8", "hello again")
			settled(t, b, said)
			wantRecords(t, client.consume("queue_u_ann_2"), said)
		})
	}
}
