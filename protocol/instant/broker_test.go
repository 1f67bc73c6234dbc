package instant

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	amqp "github.com/rabbitmq/amqp091-go"
	"go.uber.org/goleak"

	"instantd/protocol"
	"instantd/protocol/instant/rabbittest"
)

func TestBrokerOptions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change func(*BrokerOptions)
		want   string // part of the error; empty: accepted
	}{
		{"an address is enough", func(*BrokerOptions) {}, ""},
		{"a missing address is refused", func(o *BrokerOptions) { o.URL = "" }, "amqp url"},
		{"an address of another kind is refused", func(o *BrokerOptions) { o.URL = "http://user:secret@host" }, "amqp url"},
		{"a malformed address keeps its password to itself", func(o *BrokerOptions) { o.URL = "amqp://user:secret@host:port:1/%zz" }, "amqp url"},
		{"a malformed public address keeps its password to itself", func(o *BrokerOptions) { o.PublicURL = "amqp://user:secret@host:x/" }, "amqp public url"},
		{"exchanges that do not look at keys are refused", func(o *BrokerOptions) { o.ExchangeType = "fanout" }, "fanout"},
		{"direct exchanges are accepted", func(o *BrokerOptions) { o.ExchangeType = "direct" }, ""},
		{"a negative time is refused", func(o *BrokerOptions) { o.Grace = -1 }, "negative"},
		{"heartbeats closer than a second are refused", func(o *BrokerOptions) { o.Heartbeat = time.Millisecond }, "second"},
		{"an outbox is needed", func(o *BrokerOptions) { o.Outbox = nil }, "outbox"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := newLedger()
			o := BrokerOptions{
				URL: "amqp://user:secret@host/", Outbox: l, Roster: l, Encoder: testEncoder,
				Apply: func(context.Context, []byte) error { return nil },
			}
			c.change(&o)
			_, err := NewBroker(o)
			switch {
			case c.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case c.want != "" && err == nil:
				t.Error("accepted")
			case err != nil && !strings.Contains(err.Error(), c.want):
				t.Errorf("the error is %q, want it to name %q", err, c.want)
			case err != nil && strings.Contains(err.Error(), "secret"):
				t.Errorf("the error tells the password: %v", err)
			}
		})
	}
}

func TestClientsAreToldOnlyThePublicAddress(t *testing.T) {
	t.Parallel()
	l := newLedger()
	o := BrokerOptions{URL: "amqp://admin:secret@inside/", Outbox: l, Roster: l, Encoder: testEncoder, Apply: func(context.Context, []byte) error { return nil }}
	b, err := NewBroker(o)
	if err != nil {
		t.Fatal(err)
	}
	if address, ok := b.Public(); ok {
		t.Errorf("without a public address clients are told %v", address)
	}
	o.PublicURL = "amqp://reader:pw@mq.example.com:5673/im"
	if b, err = NewBroker(o); err != nil {
		t.Fatal(err)
	}
	want := BrokerAddress{Host: "mq.example.com", Port: 5673, User: "reader", Password: "pw", Vhost: "im"}
	if address, ok := b.Public(); !ok || address != want {
		t.Errorf("clients are told %v, want %v", address, want)
	}
}

func TestMetricsAreRegisteredOnce(t *testing.T) {
	t.Parallel()
	l, registry := newLedger(), prometheus.NewRegistry()
	o := BrokerOptions{URL: "amqp://host/", Outbox: l, Roster: l, Encoder: testEncoder, Apply: func(context.Context, []byte) error { return nil }, Registerer: registry}
	if _, err := NewBroker(o); err != nil {
		t.Fatal(err)
	}
	if err := l.Confirm(Way, 0); err != nil {
		t.Fatal(err)
	}
	l.create("7", "ann")
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := make(map[string]float64)
	for _, f := range families {
		values[f.GetName()] = f.GetMetric()[0].GetGauge().GetValue()
	}
	if values["instantd_amqp_outbox_depth"] != 1 {
		t.Errorf("the outbox has depth %v, want 1", values["instantd_amqp_outbox_depth"])
	}
	if connected, ok := values["instantd_amqp_connected"]; !ok || connected != 0 {
		t.Errorf("a broker that does not run is connected: %v", connected)
	}
	if _, err := NewBroker(o); err == nil {
		t.Error("two brokers count in one place")
	}
}

// A scrape must not cost what the outbox is deep.
func TestAMeasureIsRememberedForAWhile(t *testing.T) {
	t.Parallel()
	measured := 0.0
	measure := func() float64 { measured++; return measured }
	value := remembered(time.Hour, measure)
	if first, second := value(), value(); first != 1 || second != 1 {
		t.Errorf("measured %v times within an hour", measured)
	}
	measured = 0
	if value := remembered(0, measure); value() != 1 || value() != 2 {
		t.Error("what is never fresh is not measured again")
	}
}

// The link tells of a blocked broker on its own goroutine, while another one
// notes that the line is down. The race detector judges.
func TestALineGoesDownWhileItsLinkTells(t *testing.T) {
	t.Parallel()
	b := makeBroker(t, "amqp://host/", newLedger(), nil)
	told := make(chan struct{})
	go func() { // ends at once
		defer close(told)
		b.blockedChanged(&b.publishing, new(link))
	}()
	b.publishing.away(errPreparing)
	<-told
}

func TestSettled(t *testing.T) {
	t.Parallel()
	url, l := vhost(t), newLedger()
	b, stop := runBroker(t, url, l, nil)
	connected(t, b)
	c := newClient(t, url)

	b.Settled(t.Context(), l.create("7", "ann").ID)
	if !c.hasExchange("exchange_c_7") {
		t.Error("the conversation has no exchange after its id is settled")
	}
	l.bind("ann", "queue_u_ann_1", false)
	b.Settled(t.Context(), 0)
	if !c.hasQueue("queue_u_ann_1") {
		t.Error("a queue is not there after everything is settled")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b.Settled(ctx, protocol.MaxMessageID) // returns, because who asks is gone
	stop()
	b.Settled(t.Context(), protocol.MaxMessageID) // returns, because the broker is away
}

func TestSettledGivesUp(t *testing.T) {
	t.Parallel()
	b, _ := runBroker(t, vhost(t), newLedger(), func(o *BrokerOptions) { o.SettleTimeout = 10 * time.Millisecond })
	connected(t, b)
	b.Settled(t.Context(), protocol.MaxMessageID) // an id that is never committed
	if err := b.Connected(); err != nil {
		t.Error(err)
	}
}

func TestTheEndPublishesWhatIsCommitted(t *testing.T) {
	t.Parallel()
	url, l := vhost(t), newLedger()
	b, stop := runBroker(t, url, l, nil)
	connected(t, b)
	settled(t, b, l.bind("ann", "queue_u_ann_1", false))
	l.create("7", "ann")
	var last protocol.Record
	for i := range 2_000 {
		last = l.say("7", fmt.Sprint(i))
	}
	stop()
	if position, _ := l.Position(Way); position != last.ID {
		t.Errorf("confirmed up to %s, want %s", position, last.ID)
	}
	queue := newClient(t, url).consume("queue_u_ann_1")
	receive(t, queue) // the creation
	for range 2_000 {
		receive(t, queue)
	}
}

// Not parallel: it counts goroutines.
func TestRunLeavesNoGoroutine(t *testing.T) {
	url := vhost(t)
	before := goleak.IgnoreCurrent()
	l := newLedger()
	b, stop := runBroker(t, url, l, nil)
	connected(t, b)
	settled(t, b, l.create("7", "ann"))
	stop()
	_, stop = runBroker(t, "amqp://127.0.0.1:1/", l, nil) // nobody is there
	stop()
	goleak.VerifyNone(t, before)
}

// What can happen to a broker, one thing after another on one node of its own.
func TestTroubleWithTheBroker(t *testing.T) {
	t.Parallel()
	node := rabbittest.Start(t)
	for _, trouble := range []struct {
		name string
		test func(*testing.T, *rabbittest.Node)
	}{
		{"killed under load it loses nothing", killedUnderLoad},
		{"it may come later", comesLater},
		{"without its data it is put in order", losesItsData},
		{"with a memory alarm it is waited for", memoryAlarm},
		{"silent it is noticed", fallsSilent},
		{"silent at the end it does not hold up", silentAtTheEnd},
	} {
		t.Run(trouble.name, func(t *testing.T) { trouble.test(t, node) })
	}
}

// stream reads a queue until the last of the wanted messages was seen, across
// connections, and tells the order in which each was seen first.
func stream(t *testing.T, node *rabbittest.Node, queue string, want int, seen map[string]bool, order *[]string) error {
	t.Helper()
	conn, err := amqp.Dial(node.URL())
	if err != nil {
		return err
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err != nil {
		return err
	}
	if err := ch.Qos(100, 0, false); err != nil {
		return err
	}
	deliveries, err := ch.Consume(queue, "", false, false, false, false, nil)
	if err != nil {
		return err
	}
	timeout := time.After(patience)
	for len(*order) < want {
		select {
		case d, ok := <-deliveries:
			if !ok {
				return amqp.ErrClosed
			}
			if !seen[d.MessageId] { // what a consumer does
				seen[d.MessageId] = true
				*order = append(*order, d.MessageId)
			}
			if err := d.Ack(false); err != nil {
				return err
			}
		case <-timeout:
			t.Fatalf("only %d of %d arrive", len(*order), want)
		}
	}
	return nil
}

func killedUnderLoad(t *testing.T, node *rabbittest.Node) {
	l, said := newLedger(), new(book)
	b, _ := runBroker(t, node.URL(), l, func(o *BrokerOptions) { o.Log = said.logger() })
	connected(t, b)
	const conversations, each = 5, 2_000
	settled(t, b, l.bind("ann", "queue_u_ann_1", false))
	var want []string
	for i := range conversations {
		want = append(want, l.create(protocol.ConversationID(fmt.Sprint(i)), "ann", "bob").ID.String())
	}
	half := make(chan struct{})
	go func() { // ends with its loop
		for n := range each * conversations {
			l.say(protocol.ConversationID(fmt.Sprint(n%conversations)), fmt.Sprint(n))
			if n == each*conversations/2 {
				close(half)
			}
		}
	}()
	<-half
	node.Kill(t)
	eventually(t, "the loss is noticed", func() bool { return b.Connected() != nil })
	node.Restart(t)
	connected(t, b)
	if !said.says("connection=consuming reason=") || said.says("deleted") {
		t.Errorf("a lost connection is explained so:\n%s", said.text.String())
	}

	total := len(want) + each*conversations
	seen, order := make(map[string]bool), []string(nil)
	if err := stream(t, node, "queue_u_ann_1", total, seen, &order); err != nil {
		t.Fatal(err)
	}
	records, _ := l.Read(0, total+1)
	records = records[1:] // without the queue's own
	for i, r := range records {
		if order[i] != r.ID.String() {
			t.Fatalf("message %d is %s, want %s", i, order[i], r.ID)
		}
	}
}

func comesLater(t *testing.T, node *rabbittest.Node) {
	node.Stop(t)
	l := newLedger()
	if _, err := l.Position(Way); err != nil { // this way out is not new
		t.Fatal(err)
	}
	b, _ := runBroker(t, node.URL(), l, nil)
	b.Settled(t.Context(), l.create("later", "cid").ID) // returns at once
	eventually(t, "the reason is named", func() bool {
		err := b.Connected()
		return err != nil && strings.Contains(err.Error(), "connection refused")
	})
	last := l.bind("cid", "queue_u_cid_1", false)
	node.Restart(t)
	connected(t, b)
	settled(t, b, last)
	c := newClient(t, node.URL())
	if !c.hasExchange("exchange_c_later") || !c.hasQueue("queue_u_cid_1") {
		t.Error("what was committed before is not there")
	}
}

func losesItsData(t *testing.T, node *rabbittest.Node) {
	l := newLedger()
	b, _ := runBroker(t, node.URL(), l, nil)
	connected(t, b)
	l.create("7", "ann", "bob")
	l.bind("bob", "queue_u_bob_1", false)
	settled(t, b, l.bind("bob", "queue_u_bob_own", true))
	node.Reset(t)
	connected(t, b)
	c := newClient(t, node.URL())
	eventually(t, "the exchange is back before anything is said", func() bool { return c.hasExchange("exchange_c_7") })
	said := l.say("7", "still here")
	settled(t, b, said)
	wantRecord(t, c.consume("queue_u_bob_1"), said, "exchange_c_7", "c_7")
	if c.hasQueue("queue_u_bob_own") {
		t.Error("the server declared a queue of the client's")
	}
}

func memoryAlarm(t *testing.T, node *rabbittest.Node) {
	l := newLedger()
	b, _ := runBroker(t, node.URL(), l, func(o *BrokerOptions) { o.SettleTimeout = 50 * time.Millisecond })
	connected(t, b)
	l.create("alarm", "ann")
	last := l.bind("ann", "queue_u_ann_alarm", false)
	eventually(t, "the queue is bound", func() bool { return b.progress.position() >= last.ID })
	node.SetMemoryAlarm(t, true)
	first := l.say("alarm", "first")
	b.Settled(t.Context(), first.ID) // returns in spite of the alarm
	eventually(t, "readiness names the alarm", func() bool {
		err := b.Connected()
		return err != nil && strings.Contains(err.Error(), "memory")
	})
	for i := range 2 * recordsUnderWay { // more than fits into what is under way
		last = l.say("alarm", fmt.Sprint(i))
	}
	b.Settled(t.Context(), last.ID)
	if position := b.progress.position(); position >= first.ID {
		t.Errorf("confirmed up to %s, although the broker takes nothing", position)
	}
	node.SetMemoryAlarm(t, false)
	eventually(t, "everything is confirmed", func() bool { return b.progress.position() >= last.ID })
	if err := b.Connected(); err != nil {
		t.Errorf("after the alarm: %v", err)
	}
	queue := newClient(t, node.URL()).consume("queue_u_ann_alarm")
	for _, r := range l.after(first.ID - 1) {
		if d := receive(t, queue); d.MessageId != r.ID.String() {
			t.Fatalf("got %s, want %s", d.MessageId, r.ID)
		}
	}
}

func fallsSilent(t *testing.T, node *rabbittest.Node) {
	l := newLedger()
	b, _ := runBroker(t, node.URL(), l, nil)
	connected(t, b)
	settled(t, b, l.create("silent", "ann"))
	node.Pause(t)
	var last protocol.Record
	for range 1_000 { // so much that a write is stuck as well
		last = l.say("silent", strings.Repeat("hello ", 5_000))
	}
	eventually(t, "the silence is noticed", func() bool { return b.Connected() != nil })
	node.Continue(t)
	connected(t, b)
	eventually(t, "it is said at last", func() bool { return b.progress.position() >= last.ID })
}

func silentAtTheEnd(t *testing.T, node *rabbittest.Node) {
	l := newLedger()
	b, stop := runBroker(t, node.URL(), l, func(o *BrokerOptions) {
		o.DrainTimeout, o.Heartbeat = 10*time.Millisecond, time.Hour // nobody but the drain notices
	})
	connected(t, b)
	node.Pause(t)
	defer node.Continue(t)
	said := l.say("end", "hello")
	stop()
	if position, _ := l.Position(Way); position >= said.ID {
		t.Error("confirmed what nobody took")
	}
}
