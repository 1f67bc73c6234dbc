package instant

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	amqp "github.com/rabbitmq/amqp091-go"

	"instantd/protocol"
	"instantd/protocol/instant/rabbittest"
)

func TestWhatFollowsAChange(t *testing.T) {
	t.Parallel()
	var did []string
	note := func(what string) func() error {
		return func() error { did = append(did, what); return nil }
	}
	c := &change{done: make(chan struct{})}
	if !c.follow(note("first")) || !c.follow(note("second")) || len(did) > 0 || c.isDone() {
		t.Error("what follows does not wait")
	}
	if err := c.finish(); err != nil || !slices.Equal(did, []string{"first", "second"}) || !c.isDone() {
		t.Errorf("did %v with error %v, want first and second", did, err)
	}
	if c.follow(note("late")) {
		t.Error("what comes late would wait for ever")
	}
	var nothing *change
	if !nothing.isDone() || nothing.follow(note("late")) {
		t.Error("what changes nothing is waited for")
	}
	broken := &change{done: make(chan struct{})}
	broken.follow(func() error { return errGone })
	if err := broken.finish(); !errors.Is(err, errGone) || broken.isDone() {
		t.Errorf("it counts as done although what follows failed with %v", err)
	}
}

func TestTheNewerOfTwoChanges(t *testing.T) {
	t.Parallel()
	first, second := &change{number: 1}, &change{number: 2}
	for _, c := range []struct{ a, b, want *change }{
		{first, second, second}, {second, first, second}, {nil, first, first}, {first, nil, first}, {nil, nil, nil},
	} {
		if got := newer(c.a, c.b); got != c.want {
			t.Errorf("newer(%v, %v) = %v, want %v", c.a, c.b, got, c.want)
		}
	}
}

// logins puts users online in groups of ten, who tell each other.
func (l *ledger) logins(count int) (last protocol.Record) {
	user := func(i int) protocol.UserID { return protocol.UserID(fmt.Sprintf("3402000000132%07d", i)) }
	for i := 0; i < count; i += 10 {
		var members []protocol.UserID
		for n := range 10 {
			members = append(members, user(i+n))
		}
		l.create(protocol.ConversationID(fmt.Sprintf("group%d", i)), members...)
	}
	for i := range count {
		l.commit(protocol.UserKey(user(i)), protocol.LoggedIn{Class: protocol.ClassPC})
		l.bind(user(i), QueueName(user(i)), false)
		last = l.commit(protocol.UserKey(user(i)), protocol.CameOnline{})
	}
	return last
}

// Nobody waits for a change but those whom it concerns: here no change is done
// before the builder runs.
func TestOthersDoNotWaitForAChange(t *testing.T) {
	t.Parallel()
	url, l := vhost(t), newLedger()
	b := makeBroker(t, url, l, nil)
	link, err := openLink(t.Context(), url, "test", time.Minute, func(*link) {})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(link.close)
	p := b.newPublisher(link, t.Context())
	if err := p.prepare(0); err != nil {
		t.Fatal(err)
	}
	handle := func(r protocol.Record) (protocol.Record, receipts) {
		t.Helper()
		sent, err := p.handle(r)
		if err != nil {
			t.Fatal(err)
		}
		return r, sent
	}
	handle(l.create("7", "ann"))
	handle(l.create("8", "bob", "cid"))
	c := newClient(t, url)
	talk, notices := c.listen("exchange_c_7", "c_7"), c.listen(exchangeBase, "u_ann", "u_bob", "u_cid")

	_, login := handle(l.bind("bob", "queue_u_bob_1", false))
	if login.change.isDone() {
		t.Error("the queue counts as bound")
	}
	said, _ := handle(l.say("7", "nothing to do with bob"))
	wantRecords(t, talk, said)
	renamed, sent := handle(l.commit(protocol.ConversationKey("8"), protocol.ConversationRenamed{Name: "eight"}))
	if d := receive(t, notices); d.RoutingKey != "u_cid" || sent.change != login.change {
		t.Errorf("while bob's waits, %s comes first", d.RoutingKey)
	}
	_, joining := handle(l.commit(protocol.ConversationKey("7"), protocol.MembersAdded{Members: persons("bob")}))
	if joining.change != login.change {
		t.Error("bob's joining does not wait for his exchange")
	}
	_, leaving := handle(l.unbind("bob", "queue_u_bob_1", false))
	_, back := handle(l.bind("bob", "queue_u_bob_2", false))
	if leaving.change.isDone() || back.change.isDone() {
		t.Error("changes are done by nobody")
	}

	done := make(chan error, 1)
	go func() { done <- p.run() }() // ends with finish
	said, _ = handle(l.say("8", "this waits for bob"))
	if !back.change.isDone() {
		t.Error("a message comes before the queue of a member")
	}
	wantAtLast := func(from <-chan amqp.Delivery, r protocol.Record) {
		t.Helper()
		for receive(t, from).MessageId != r.ID.String() { // what else he was told comes first
		}
	}
	wantAtLast(c.consume("queue_u_bob_2"), said)
	wantAtLast(notices, renamed)
	p.finish()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// drain empties a queue and tells which records it held.
func (c *client) drain(queue string) (records []string) {
	c.t.Helper()
	for {
		d, ok, err := c.ch.Get(queue, true)
		if err != nil {
			c.t.Fatal(err)
		}
		if !ok {
			return records
		}
		records = append(records, d.MessageId)
	}
}

// Whatever is done beside the publishing: each queue gets, in order, everything
// that was for its user while it was bound, and nothing that was not for him. A
// queue may begin to listen a little early, but it does not listen on.
func TestChangesAreNotOvertaken(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	url, l := vhost(t), newLedger()
	p := newPlay(l, rand.New(rand.NewPCG(seed, 0)))
	c := newClient(t, url)
	for _, player := range p.players {
		if _, err := c.ch.QueueDeclare(player.queue, true, false, false, false, nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.Position(Way); err != nil { // all that follows is for AMQP
		t.Fatal(err)
	}
	p.act(800)
	p.release() // who is bound at the start is bound before all of this
	b, _ := runBroker(t, url, l, func(o *BrokerOptions) { o.Grace, o.Log = time.Millisecond, nil })
	connected(t, b)
	p.act(800)
	p.release()
	last := p.say()
	for range 100 {
		last = p.say()
	}
	settled(t, b, last)
	for _, player := range p.players {
		got := c.drain(player.queue)
		onTime := slices.DeleteFunc(slices.Clone(got), func(id string) bool { return player.early[id] })
		if diff := cmp.Diff(player.want, onTime); diff != "" {
			t.Errorf("%s (-want +got):\n%s", player.user, diff)
		}
		if !slices.IsSorted(got) { // ids of one length
			t.Errorf("%s got %v", player.user, got)
		}
	}
}

// play is users who do things at random, and what each of their queues is to get.
type play struct {
	*ledger
	*rand.Rand
	players []*player
}

type player struct {
	user  protocol.UserID
	queue string // of the client's own
	bound bool
	want  []string        // ids of what was for him while it was bound
	late  []string        // ids of what was for him since it is not
	early map[string]bool // the same before it was bound again
}

const playConversations = 4

func newPlay(l *ledger, random *rand.Rand) *play {
	p := &play{ledger: l, Rand: random}
	for i := range 12 {
		user := protocol.UserID(fmt.Sprintf("user%d", i))
		p.players = append(p.players, &player{user: user, queue: "queue_u_" + string(user) + "_own", early: make(map[string]bool)})
	}
	for i := range playConversations {
		l.create(protocol.ConversationID(fmt.Sprint(i)), "ann")
	}
	return p
}

// note says who is to get a record.
func (p *play) note(r protocol.Record, users ...protocol.UserID) protocol.Record {
	for _, player := range p.players {
		switch {
		case !slices.Contains(users, player.user):
		case player.bound:
			player.want = append(player.want, r.ID.String())
		default:
			player.late = append(player.late, r.ID.String())
		}
	}
	return r
}

// noteMembers says that the members of its conversation are to get a record.
func (p *play) noteMembers(r protocol.Record) protocol.Record {
	members, _ := p.MembersAt(r.Conversation(), r.Seq)
	var users []protocol.UserID
	for _, m := range members {
		users = append(users, m.User)
	}
	return p.note(r, users...)
}

func (p *play) turn(player *player) {
	if player.bound = !player.bound; !player.bound {
		p.unbind(player.user, player.queue, true)
		return
	}
	p.bind(player.user, player.queue, true)
	for _, id := range player.late {
		player.early[id] = true
	}
	player.late = nil
}

func (p *play) release() {
	for _, player := range p.players {
		if player.bound {
			p.turn(player)
		}
	}
}

func (p *play) conversation() protocol.ConversationID {
	return protocol.ConversationID(fmt.Sprint(p.IntN(playConversations)))
}

func (p *play) say() protocol.Record { return p.noteMembers(p.ledger.say(p.conversation(), "hello")) }

func (p *play) act(times int) {
	for range times {
		player, group := p.players[p.IntN(len(p.players))], protocol.ConversationKey(p.conversation())
		user := player.user
		switch p.IntN(10) {
		case 0, 1:
			p.turn(player)
		case 2: // another device comes and goes
			queue := QueueName(user)
			p.bind(user, queue, false)
			p.unbind(user, queue, false)
		case 3:
			event := protocol.Event(protocol.MembersAdded{Members: persons(user)})
			if in, _, _ := p.ConversationsAt(user, protocol.MaxMessageID); slices.Contains(in, protocol.ConversationID(group.ID)) {
				event = protocol.MembersRemoved{Members: persons(user)}
			}
			p.noteMembers(p.commit(group, event))
		case 4:
			r := p.commit(protocol.UserKey(user), protocol.CameOnline{})
			neighbours, _ := p.Neighbours(user, r.ID)
			p.note(r, neighbours...)
		case 5:
			p.note(p.commit(group, protocol.MessageSent{Sender: "ann", Content: protocol.Text("psst"), To: []protocol.UserID{user}}), user)
		case 6:
			if p.IntN(10) > 0 {
				continue
			}
			r := p.commit(protocol.SiteKey(), protocol.WaterMarkChanged{Raw: []byte("{}")})
			for _, everybody := range p.players {
				p.note(r, everybody.user)
			}
		default:
			p.say()
		}
	}
}

// An operation is two thousand logins. The figures are when a message right
// behind them arrives, to which they mean nothing, and when all are in place.
func BenchmarkAMessageBehindLogins(b *testing.B) {
	var message, all time.Duration
	for b.Loop() {
		url, l := rabbittest.Shared(b).Vhost(b), newLedger()
		broker, stop := runBroker(b, url, l, func(o *BrokerOptions) { o.Log = nil })
		connected(b, broker)
		settled(b, broker, l.create("7", "ann"))
		talk := newClient(b, url).listen("exchange_c_7", "c_7")
		begin := time.Now()
		last := l.logins(2_000)
		wantRecords(b, talk, l.say("7", "hello"))
		message += time.Since(begin)
		settled(b, broker, last)
		all += time.Since(begin)
		stop()
	}
	b.ReportMetric(message.Seconds()*1e3/float64(b.N), "ms/message")
	b.ReportMetric(all.Seconds()*1e3/float64(b.N), "ms/all")
}

// An operation is a start while 4,200 users are online, in groups of ten. The
// figures are until publishing begins, with a broker that lost its data, and with
// one that knows everything.
func BenchmarkPrepare(b *testing.B) {
	l := newLedger()
	last := l.logins(4_200)
	if err := l.Confirm(Way, last.ID); err != nil {
		b.Fatal(err)
	}
	var empty, known time.Duration
	for b.Loop() {
		url := rabbittest.Shared(b).Vhost(b)
		for _, took := range []*time.Duration{&empty, &known} {
			begin := time.Now()
			broker, stop := runBroker(b, url, l, func(o *BrokerOptions) { o.Log = nil })
			connected(b, broker)
			*took += time.Since(begin)
			stop()
		}
	}
	b.ReportMetric(empty.Seconds()*1e3/float64(b.N), "ms/empty")
	b.ReportMetric(known.Seconds()*1e3/float64(b.N), "ms/known")
}
