package instant

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"instantd/protocol"
	"instantd/protocol/instant/rabbittest"
)

// ledger is committed history in memory: the outbox and the roster of a broker
// under test. It knows only what its records say.
type ledger struct {
	mu        sync.Mutex
	last      protocol.MessageID
	records   []protocol.Record
	positions map[string]protocol.MessageID
	news      chan struct{} // closed when something is committed
	heads     map[protocol.ConversationID]protocol.Seq
	members   map[protocol.ConversationID][]protocol.Member // former ones as well
	ended     map[protocol.ConversationID]bool
	users     map[protocol.UserID]protocol.User
}

func newLedger() *ledger {
	return &ledger{
		positions: make(map[string]protocol.MessageID),
		news:      make(chan struct{}),
		heads:     make(map[protocol.ConversationID]protocol.Seq),
		members:   make(map[protocol.ConversationID][]protocol.Member),
		ended:     make(map[protocol.ConversationID]bool),
		users:     make(map[protocol.UserID]protocol.User),
	}
}

// commit adds events of one actor and returns the last record.
func (l *ledger) commit(key protocol.Key, events ...protocol.Event) (r protocol.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, event := range events {
		l.last = protocol.NextMessageID(l.last, time.Now())
		r = protocol.Record{ID: l.last, Key: key, Event: event}
		if key.Kind == protocol.KindConversation {
			id := r.Conversation()
			l.heads[id]++
			r.Seq = l.heads[id]
			l.members[id] = append(l.members[id], r.Joined()...)
			for _, gone := range r.Departed() {
				for i, m := range l.members[id] {
					if m.User == gone.User && m.Until == 0 {
						l.members[id][i].Until, l.members[id][i].LeftID = r.Seq, r.ID
					}
				}
			}
			if _, ok := event.(protocol.ConversationDissolved); ok {
				l.ended[id] = true
			}
		}
		if key.Kind == protocol.KindUser {
			user := protocol.UserID(key.ID)
			l.users[user] = l.users[user].Apply(r)
		}
		l.records = append(l.records, r)
	}
	close(l.news)
	l.news = make(chan struct{})
	return r
}

func (l *ledger) Position(way string) (protocol.MessageID, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, known := l.positions[way]; !known {
		l.positions[way] = l.last
	}
	return l.positions[way], nil
}

func (l *ledger) after(id protocol.MessageID) []protocol.Record {
	i, _ := slices.BinarySearchFunc(l.records, id+1, func(r protocol.Record, id protocol.MessageID) int { return int(r.ID - id) })
	return l.records[i:]
}

func (l *ledger) Read(after protocol.MessageID, limit int) ([]protocol.Record, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	records := l.after(after)
	return slices.Clone(records[:min(limit, len(records))]), nil
}

func (l *ledger) Wait(ctx context.Context, after protocol.MessageID) error {
	for {
		l.mu.Lock()
		last, news := l.last, l.news
		l.mu.Unlock()
		if last > after {
			return nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (l *ledger) Confirm(way string, id protocol.MessageID) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.positions[way] = max(l.positions[way], id)
	return nil
}

// forget takes back the confirmations after a record, as a crash does with the
// newest ones: the next broker goes on behind the record.
func (l *ledger) forget(after protocol.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.positions[Way] = after.ID
}

func (l *ledger) Depth(way string) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.after(l.positions[way])), nil
}

func (l *ledger) MembersAt(id protocol.ConversationID, seq protocol.Seq) (at []protocol.Member, _ error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range l.members[id] {
		if m.At(seq) {
			at = append(at, m)
		}
	}
	return at, nil
}

func (l *ledger) ConversationsAt(user protocol.UserID, at protocol.MessageID) (in, later []protocol.ConversationID, _ error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, members := range l.members {
		switch {
		case slices.ContainsFunc(members, func(m protocol.Member) bool { return m.User == user && m.In(at) }):
			in = append(in, id)
		case slices.ContainsFunc(members, func(m protocol.Member) bool { return m.User == user && m.JoinedID > at }):
			later = append(later, id)
		}
	}
	slices.Sort(in)
	slices.Sort(later)
	return in, later, nil
}

func (l *ledger) Neighbours(user protocol.UserID, at protocol.MessageID) (others []protocol.UserID, _ error) {
	ids, _, _ := l.ConversationsAt(user, at)
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range ids {
		for _, m := range l.members[id] {
			if m.In(at) && m.User != user && !slices.Contains(others, m.User) {
				others = append(others, m.User)
			}
		}
	}
	return others, nil
}

func (l *ledger) EachQueue(visit func(protocol.UserID, []protocol.Queue) error) error {
	l.mu.Lock()
	queues := make(map[protocol.UserID][]protocol.Queue)
	for id, user := range l.users {
		if len(user.Queues) > 0 {
			queues[id] = user.Queues
		}
	}
	l.mu.Unlock()
	for id, list := range queues {
		if err := visit(id, list); err != nil {
			return err
		}
	}
	return nil
}

func (l *ledger) EachConversation(visit func(protocol.ConversationID) error) error {
	l.mu.Lock()
	var open []protocol.ConversationID
	for id := range l.heads {
		if !l.ended[id] {
			open = append(open, id)
		}
	}
	l.mu.Unlock()
	for _, id := range open {
		if err := visit(id); err != nil {
			return err
		}
	}
	return nil
}

func (l *ledger) EachOnline(func(protocol.UserID) error) error { return nil }

// create opens a group of some users.
func (l *ledger) create(id protocol.ConversationID, users ...protocol.UserID) protocol.Record {
	return l.commit(protocol.ConversationKey(id), protocol.ConversationCreated{
		Kind: protocol.Group, Name: string(id), Owner: users[0], Creator: users[0], Members: persons(users...),
	})
}

func (l *ledger) say(id protocol.ConversationID, text string) protocol.Record {
	return l.commit(protocol.ConversationKey(id), protocol.MessageSent{Sender: "ann", Content: protocol.Text(text)})
}

func (l *ledger) bind(user protocol.UserID, queue string, declared bool) protocol.Record {
	return l.commit(protocol.UserKey(user), protocol.QueueBound{Queue: protocol.Queue{Name: queue, Class: protocol.ClassPC, Declared: declared}})
}

func (l *ledger) unbind(user protocol.UserID, queue string, declared bool) protocol.Record {
	return l.commit(protocol.UserKey(user), protocol.QueueReleased{Queue: protocol.Queue{Name: queue, Class: protocol.ClassPC, Declared: declared}})
}

func persons(users ...protocol.UserID) (list []protocol.Person) {
	for _, u := range users {
		list = append(list, protocol.Person{User: u})
	}
	return list
}

// patience bounds every wait of these tests; test machines are busy.
const patience = 60 * time.Second

var testEncoder = NewEncoder(time.UTC, Superset)

// runBroker runs a broker on a ledger until the test ends. change may alter
// the options.
func runBroker(t testing.TB, url string, l *ledger, change func(*BrokerOptions)) (b *Broker, stop func()) {
	t.Helper()
	b = makeBroker(t, url, l, change)
	return b, run(t, b)
}

func makeBroker(t testing.TB, url string, l *ledger, change func(*BrokerOptions)) *Broker {
	t.Helper()
	o := BrokerOptions{
		URL: url, Outbox: l, Roster: l, Encoder: testEncoder,
		Apply:         func(context.Context, []byte) error { return nil },
		SettleTimeout: patience, Heartbeat: time.Second,
		Log: slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	if change != nil {
		change(&o)
	}
	b, err := NewBroker(o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func run(t testing.TB, b *Broker) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }() // ends with ctx
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(patience):
			t.Error("Run does not end")
		}
	})
	t.Cleanup(stop)
	return stop
}

// book keeps what is logged.
type book struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *book) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *book) says(text string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Contains(b.text.String(), text)
}

func (b *book) logger() *slog.Logger { return slog.New(slog.NewTextHandler(b, nil)) }

type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(string(p))
	return len(p), nil
}

func connected(t testing.TB, b *Broker) {
	t.Helper()
	eventually(t, "the broker is connected", func() bool { return b.Connected() == nil })
}

func settled(t testing.TB, b *Broker, r protocol.Record) {
	t.Helper()
	b.Settled(t.Context(), r.ID)
	if got := b.progress.position(); got < r.ID {
		t.Fatalf("not settled up to %s, only to %s: %v", r.ID, got, b.Connected())
	}
}

// eventually looks again and again, because the broker tells nobody.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	timeout := time.After(patience)
	for !is() {
		select {
		case <-again.C:
		case <-timeout:
			t.Fatalf("in vain: %s", what)
		}
	}
}

// client is a program at the broker: a consumer, the center, or an operator.
type client struct {
	t    testing.TB
	conn *amqp.Connection
	ch   *amqp.Channel
}

func newClient(t testing.TB, url string) *client {
	t.Helper()
	conn, err := amqp.Dial(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	return &client{t, conn, ch}
}

// listen does what a legacy client does: a queue of its own, bound by itself.
func (c *client) listen(exchange string, keys ...string) <-chan amqp.Delivery {
	c.t.Helper()
	q, err := c.ch.QueueDeclare("", false, false, true, false, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, key := range keys {
		if err := c.ch.QueueBind(q.Name, key, exchange, false, nil); err != nil {
			c.t.Fatal(err)
		}
	}
	return c.consume(q.Name)
}

func (c *client) consume(queue string) <-chan amqp.Delivery {
	c.t.Helper()
	deliveries, err := c.ch.Consume(queue, "", true, false, false, false, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	return deliveries
}

// command says something as the center does.
func (c *client) command(body string) {
	c.t.Helper()
	if err := c.ch.Publish(exchangeBase, keyBase, false, false, amqp.Publishing{Body: []byte(body)}); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) try(do func(*amqp.Channel) error) bool {
	c.t.Helper()
	ch, err := c.conn.Channel()
	if err != nil {
		c.t.Fatal(err)
	}
	defer ch.Close()
	return do(ch) == nil
}

func (c *client) hasExchange(name string) bool {
	c.t.Helper()
	return c.try(func(ch *amqp.Channel) error {
		return ch.ExchangeDeclarePassive(name, "topic", true, false, false, false, nil)
	})
}

func (c *client) hasQueue(name string) bool {
	c.t.Helper()
	return c.try(func(ch *amqp.Channel) error {
		_, err := ch.QueueDeclarePassive(name, true, false, false, false, nil)
		return err
	})
}

func receive(t testing.TB, from <-chan amqp.Delivery) amqp.Delivery {
	t.Helper()
	select {
	case d, ok := <-from:
		if !ok {
			t.Fatal("the consumer was cancelled")
		}
		return d
	case <-time.After(patience):
		t.Fatal("nothing comes")
	}
	panic("unreachable")
}

// wantRecords receives frames and compares which records they are of.
func wantRecords(t testing.TB, from <-chan amqp.Delivery, records ...protocol.Record) {
	t.Helper()
	for _, r := range records {
		if d := receive(t, from); d.MessageId != r.ID.String() {
			t.Fatalf("got %s (%s), want %s (%T)", d.MessageId, d.Body, r.ID, r.Event)
		}
	}
}

// wantRecord receives one frame and compares everything that a client sees.
func wantRecord(t testing.TB, from <-chan amqp.Delivery, r protocol.Record, exchange, key string) {
	t.Helper()
	d := receive(t, from)
	if d.Exchange != exchange || d.RoutingKey != key {
		t.Errorf("%T came by %s with %s, want %s with %s", r.Event, d.Exchange, d.RoutingKey, exchange, key)
	}
	if want := string(testEncoder.Encode(r)); string(d.Body) != want {
		t.Errorf("%T reads\n%s, want\n%s", r.Event, d.Body, want)
	}
	if d.ContentType != "application/json" || d.DeliveryMode != amqp.Persistent || d.MessageId != r.ID.String() {
		t.Errorf("%T has properties %q, %d, %q", r.Event, d.ContentType, d.DeliveryMode, d.MessageId)
	}
	if !d.Timestamp.Equal(r.ID.Time().Truncate(time.Second)) {
		t.Errorf("%T is of %v, want %v", r.Event, d.Timestamp, r.ID.Time())
	}
}

// vhost is the URL of an empty virtual host on the node that these tests share.
func vhost(t testing.TB) string {
	t.Helper()
	return rabbittest.Shared(t).Vhost(t)
}
