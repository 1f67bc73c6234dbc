package instant

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	amqp "github.com/rabbitmq/amqp091-go"
	"golang.org/x/sync/errgroup"

	"instantd/protocol"
)

// BrokerOptions say what a Broker works with.
type BrokerOptions struct {
	// URL is the broker with the server's own login, amqp://user:password@host:port/vhost.
	URL string
	// PublicURL is what clients are told: a host that they can reach, with a
	// login that may only read. Empty: clients are told nothing.
	PublicURL string
	// ExchangeType of the documented exchanges, topic by default. One that
	// exists with another type is used as it is.
	ExchangeType string

	Outbox  protocol.Outbox
	Roster  protocol.Roster
	Encoder protocol.Encoder
	// Apply carries out a command of the center. Unavailable, RateLimited and
	// Internal mean try again; every other error means that this body never works.
	Apply func(ctx context.Context, body []byte) error

	Grace         time.Duration // exchange_u_ stays so long after the last queue; 10 minutes by default
	Linger        time.Duration // exchange_c_ stays so long after the dissolution; 60 seconds by default
	QueueExpires  time.Duration // a queue that nobody consumes so long is gone; 24 hours by default
	SettleTimeout time.Duration // the longest that Settled waits; 2 seconds by default
	DrainTimeout  time.Duration // for what is outstanding when Run is to end; 5 seconds by default
	Heartbeat     time.Duration // whole seconds; 10 by default. A silent broker is noticed after 1.5

	Log        *slog.Logger          // nil discards
	Registerer prometheus.Registerer // nil: metrics are kept to itself
}

// BrokerAddress is where clients find the broker.
type BrokerAddress struct {
	Host     string
	Port     int
	User     string
	Password string
	Vhost    string
}

// Broker is the AMQP side of the dialect. It publishes what the outbox holds,
// keeps the exchanges, queues and bindings that the clients need, and hands
// what the center says to the core. It needs no broker to be there: it connects
// when one appears and again when it was lost, puts the topology in order, and
// goes on where the confirmations stopped, so that every event is published at
// least once and in order. Make it with NewBroker; it is safe for concurrent use.
type Broker struct {
	BrokerOptions
	public     *BrokerAddress
	publishing line
	consuming  line
	progress   progress
	metrics    *brokerMetrics

	// Of the publishing side alone, from one connection to the next.
	graves  map[protocol.Key]grave
	past    past
	refused refusal
}

// NewBroker checks the options. It connects to nothing; Run does.
func NewBroker(o BrokerOptions) (*Broker, error) {
	if _, err := parseBrokerURL(o.URL); err != nil {
		return nil, fmt.Errorf("amqp url: %w", err)
	}
	b := &Broker{
		BrokerOptions: o,
		publishing:    line{name: "publishing", why: errNotYet},
		consuming:     line{name: "consuming", why: errNotYet},
		graves:        make(map[protocol.Key]grave),
	}
	if o.PublicURL != "" {
		uri, err := parseBrokerURL(o.PublicURL)
		if err != nil {
			return nil, fmt.Errorf("amqp public url: %w", err)
		}
		b.public = &BrokerAddress{Host: uri.Host, Port: uri.Port, User: uri.Username, Password: uri.Password, Vhost: uri.Vhost}
	}
	if o.Outbox == nil || o.Roster == nil || o.Encoder == nil || o.Apply == nil {
		return nil, errors.New("amqp: outbox, roster, encoder and apply are needed")
	}
	for setting, standard := range map[*time.Duration]time.Duration{
		&b.Grace: 10 * time.Minute, &b.Linger: time.Minute, &b.QueueExpires: 24 * time.Hour,
		&b.SettleTimeout: 2 * time.Second, &b.DrainTimeout: 5 * time.Second, &b.Heartbeat: 10 * time.Second,
	} {
		if *setting < 0 {
			return nil, errors.New("amqp: a duration is negative")
		}
		if *setting == 0 {
			*setting = standard
		}
	}
	if b.QueueExpires < time.Millisecond || b.Heartbeat < time.Second {
		return nil, errors.New("amqp: queues must live a millisecond at least, heartbeats be a second apart")
	}
	switch b.ExchangeType {
	case "":
		b.ExchangeType = amqp.ExchangeTopic
	case amqp.ExchangeTopic, amqp.ExchangeDirect:
	default:
		return nil, fmt.Errorf("amqp: exchanges of type %q do not route by key; topic and direct do", b.ExchangeType)
	}
	if b.Log == nil {
		b.Log = slog.New(slog.DiscardHandler)
	}
	// From now on everything is for AMQP, however long the broker stays away.
	position, err := b.Outbox.Position(Way)
	if err != nil {
		return nil, fmt.Errorf("amqp: outbox position: %w", err)
	}
	b.past = b.pastOf(position)
	b.metrics, err = newBrokerMetrics(b)
	return b, err
}

var (
	errNotYet    = errors.New("not connected yet")
	errPreparing = errors.New("exchanges and queues are being put in order")
)

// parseBrokerURL keeps the URL, which holds a password, out of the error.
func parseBrokerURL(text string) (amqp.URI, error) {
	uri, err := amqp.ParseURI(text)
	var bad *url.Error
	if errors.As(err, &bad) {
		return uri, bad.Err
	}
	return uri, err
}

// Run works until ctx ends. Then it publishes what the outbox still holds and
// waits for the confirmations, at most DrainTimeout; what is left waits in the
// outbox for the next start. It returns nil, and is called once.
func (b *Broker) Run(ctx context.Context) error {
	var group errgroup.Group // both end with ctx and the drain
	group.Go(func() error { return b.keep(ctx, &b.publishing, b.publish) })
	group.Go(func() error { return b.keep(ctx, &b.consuming, b.consume) })
	return group.Wait()
}

// Settled waits until everything that was committed up to id is in place at the
// broker: exchanges declared, queues bound, frames confirmed. With id 0 it means
// what is committed by now. It returns at once when the broker is away or takes
// nothing, and after SettleTimeout in any case: who asks goes on without.
func (b *Broker) Settled(ctx context.Context, id protocol.MessageID) {
	if b.publishing.trouble() != nil {
		return
	}
	if id == 0 {
		id = b.newest()
	}
	done, forget := b.progress.reach(id)
	defer forget()
	timeout := time.NewTimer(b.SettleTimeout)
	defer timeout.Stop()
	select {
	case <-done:
	case <-timeout.C:
	case <-ctx.Done():
	}
}

// newest is the last committed event, or the largest id when the outbox is so
// far behind that it is not worth looking.
func (b *Broker) newest() protocol.MessageID {
	after := b.progress.position()
	for range 8 {
		records, err := b.Outbox.Read(after, readAtOnce)
		if err != nil || len(records) == 0 {
			return after
		}
		after = records[len(records)-1].ID
		if len(records) < readAtOnce {
			return after
		}
	}
	return protocol.MaxMessageID
}

// Connected is nil while the broker takes and gives messages, otherwise the
// reason why not, without credentials.
func (b *Broker) Connected() error {
	if err := b.publishing.trouble(); err != nil {
		return fmt.Errorf("amqp publishing: %w", err)
	}
	if err := b.consuming.trouble(); err != nil {
		return fmt.Errorf("amqp consuming: %w", err)
	}
	return nil
}

// Public is where clients find the broker, false when they are told nothing.
func (b *Broker) Public() (BrokerAddress, bool) {
	if b.public == nil {
		return BrokerAddress{}, false
	}
	return *b.public, true
}

// Pauses between attempts to connect.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 10 * time.Second
)

// keep holds one connection: it connects, works, and starts again until ctx
// ends.
func (b *Broker) keep(ctx context.Context, line *line, work func(context.Context, *link) error) error {
	pause, said := firstPause, false
	for ctx.Err() == nil {
		l, err := openLink(ctx, b.URL, "instantd "+line.name, b.Heartbeat, func(l *link) { b.blockedChanged(line, l) })
		if err == nil {
			err = work(ctx, l)
			line.away(orGone(err))
			l.close()
			b.metrics.reconnects.Inc()
			if l.worked.Load() {
				pause, said = firstPause, false
			}
		} else {
			line.away(err)
		}
		b.progress.wake()
		if ctx.Err() != nil {
			break
		}
		level := slog.LevelWarn
		if said {
			level = slog.LevelDebug
		}
		b.Log.Log(ctx, level, "amqp not connected, trying again", "connection", line.name, "reason", orGone(err))
		said = true
		if !wait(ctx, pause/2+rand.N(pause/2)) {
			break
		}
		pause = min(2*pause, lastPause)
	}
	return nil
}

func orGone(err error) error {
	if err == nil {
		return errGone
	}
	return err
}

// wait is false when ctx ended first.
func wait(ctx context.Context, pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (b *Broker) blockedChanged(line *line, l *link) {
	if reason := l.blocked.Load(); reason != nil {
		b.Log.Warn("amqp broker takes no messages", "connection", line.name, "reason", *reason)
		b.progress.wake()
		return
	}
	b.Log.Info("amqp broker takes messages again", "connection", line.name)
}

// line is the state of one of the two connections, for readiness.
type line struct {
	name string

	mu   sync.Mutex
	link *link // nil while it is down
	why  error
}

func (l *line) up(link *link) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.link = link
}

func (l *line) away(why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.link, l.why = nil, why
}

// trouble is nil while the line works.
func (l *line) trouble() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.link == nil {
		return l.why
	}
	if err := context.Cause(l.link.life); err != nil {
		return err
	}
	if reason := l.link.blocked.Load(); reason != nil {
		return fmt.Errorf("the broker takes no messages: %s", *reason)
	}
	return nil
}

// brokerMetrics count what the AMQP side does.
type brokerMetrics struct {
	published   prometheus.Counter
	unconfirmed prometheus.Gauge
	reconnects  prometheus.Counter
	deadLetters prometheus.Counter
	refused     prometheus.Counter
}

func newBrokerMetrics(b *Broker) (*brokerMetrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "instantd_amqp_" + name, Help: help})
	}
	gauge := func(name, help string) prometheus.GaugeOpts {
		return prometheus.GaugeOpts{Name: "instantd_amqp_" + name, Help: help}
	}
	m := &brokerMetrics{
		published:   counter("published_total", "Frames given to the broker."),
		unconfirmed: prometheus.NewGauge(gauge("unconfirmed", "Frames that the broker has not confirmed yet.")),
		reconnects:  counter("reconnects_total", "Connections lost or not established."),
		deadLetters: counter("dead_letters_total", "Commands of the center that can never be carried out."),
		refused:     counter("refused_total", "Events given up after the broker had refused them again and again."),
	}
	if b.Registerer == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{
		m.published, m.unconfirmed, m.reconnects, m.deadLetters, m.refused,
		prometheus.NewGaugeFunc(gauge("connected", "1 while the broker takes and gives messages."), func() float64 {
			if b.Connected() != nil {
				return 0
			}
			return 1
		}),
		prometheus.NewGaugeFunc(gauge("outbox_depth", "Committed events that the broker has not confirmed, some seconds old."),
			remembered(depthFresh, func() float64 {
				depth, err := b.Outbox.Depth(Way)
				if err != nil {
					b.Log.Error("outbox depth", "error", err)
					return -1
				}
				return float64(depth)
			})),
	} {
		if err := b.Registerer.Register(c); err != nil {
			return nil, fmt.Errorf("amqp metrics: %w", err)
		}
	}
	return m, nil
}

// depthFresh is how old the depth of the outbox may be: counting costs as much
// as the outbox is deep.
const depthFresh = 5 * time.Second

// remembered gives the value of measure again until it is older than fresh. It
// is safe for concurrent use; who comes while it is measured waits for it.
func remembered(fresh time.Duration, measure func() float64) func() float64 {
	var (
		mu    sync.Mutex
		value float64
		next  time.Time
	)
	return func() float64 {
		mu.Lock()
		defer mu.Unlock()
		if now := time.Now(); !now.Before(next) {
			value, next = measure(), now.Add(fresh)
		}
		return value
	}
}
