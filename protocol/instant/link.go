package instant

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

const (
	dialTimeout  = 10 * time.Second
	replyTimeout = 15 * time.Second // for one answer of the broker
	closeTimeout = 2 * time.Second  // for a polite goodbye
)

var (
	errGone   = errors.New("the connection has ended")
	errSilent = errors.New("the broker does not answer")
)

// link is one connection to the broker. The library can wait for ever in many
// places; every such wait ends when the link is aborted, because that closes
// the socket. Anybody may use a link, and abort it.
type link struct {
	life   context.Context // ends with the connection; its cause says why
	end    context.CancelCauseFunc
	conn   *amqp.Connection
	socket net.Conn

	blocked atomic.Pointer[string] // why the broker takes no messages, nil while it does
	worked  atomic.Bool            // something came of it: the next failure is a new one

	mu    sync.Mutex
	waits map[*time.Time]struct{} // since when answers are awaited
}

// openLink connects and logs in. name is what operators see in the broker's
// list. blocked is told, on a goroutine of the link, when the broker stops and
// starts to take messages.
func openLink(ctx context.Context, url, name string, heartbeat time.Duration, blocked func(*link)) (*link, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	l := &link{waits: make(map[*time.Time]struct{})}
	l.life, l.end = context.WithCancelCause(context.Background())
	arrived := func() bool { return true }
	properties := amqp.NewConnectionProperties()
	properties.SetClientConnectionName(name)
	conn, err := amqp.DialConfig(url, amqp.Config{
		Heartbeat:  heartbeat,
		Properties: properties,
		Dial: func(network, address string) (net.Conn, error) {
			socket, err := new(net.Dialer).DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			l.socket = socket
			arrived = context.AfterFunc(ctx, func() { socket.Close() })
			return socket, nil
		},
	})
	if err == nil && !arrived() {
		err = context.Cause(ctx) // the socket is closed already
	}
	if err != nil {
		l.end(errGone)
		if l.socket != nil {
			l.socket.Close()
		}
		return nil, err
	}
	l.conn = conn
	// Ends with the connection, when the library closes both channels.
	go l.watch(conn.NotifyClose(make(chan *amqp.Error, 1)), conn.NotifyBlocked(make(chan amqp.Blocking, 4)), blocked)
	return l, nil
}

func (l *link) watch(closed chan *amqp.Error, blocked chan amqp.Blocking, tell func(*link)) {
	look := time.NewTicker(replyTimeout / 8)
	defer look.Stop()
	for closed != nil || blocked != nil {
		select {
		case err, ok := <-closed:
			if !ok {
				closed = nil
			}
			// While one goroutine is stuck in a write the library cannot
			// finish closing: it waits for that one, which waits for the socket.
			if err != nil {
				l.abort(err)
			} else {
				l.abort(errGone)
			}
		case b, ok := <-blocked:
			if !ok {
				blocked = nil
				continue
			}
			l.setBlocked(b)
			tell(l)
		case now := <-look.C:
			if l.blocked.Load() == nil && l.overdue(now) {
				l.abort(errSilent)
			}
		}
	}
}

func (l *link) setBlocked(b amqp.Blocking) {
	if b.Active {
		l.blocked.Store(&b.Reason)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for since := range l.waits {
		*since = time.Now() // the broker could not answer so far
	}
	l.blocked.Store(nil)
}

// overdue tells whether the broker owes an answer for too long.
func (l *link) overdue(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for since := range l.waits {
		if now.Sub(*since) > replyTimeout {
			return true
		}
	}
	return false
}

// abort ends the connection at once. The first cause counts.
func (l *link) abort(cause error) {
	l.end(cause)
	l.socket.Close()
}

// why is the reason of the end in place of err, which a method of the library
// returned: that one often says only that the connection is closed.
func (l *link) why(err error) error {
	if err != nil && l.life.Err() != nil {
		return context.Cause(l.life)
	}
	return err
}

// within runs a method of the library that waits for an answer. The link is
// aborted when none comes in time; while the broker blocks, time does not count.
func (l *link) within(call func() error) error {
	since := time.Now()
	l.mu.Lock()
	l.waits[&since] = struct{}{}
	l.mu.Unlock()
	err := call()
	l.mu.Lock()
	delete(l.waits, &since)
	l.mu.Unlock()
	return l.why(err)
}

func (l *link) channel() (ch *amqp.Channel, err error) {
	err = l.within(func() error {
		ch, err = l.conn.Channel()
		return err
	})
	return ch, err
}

// close ends the connection politely, if the broker is there to listen.
func (l *link) close() {
	if l.life.Err() == nil {
		_ = l.conn.CloseDeadline(time.Now().Add(closeTimeout))
	}
	l.abort(errGone)
}

// declarer changes the topology of the broker on a channel of its own, which
// it replaces when the broker closes it for an error.
type declarer struct {
	link         *link
	exchangeType string
	queueExpires time.Duration
	kept         func(step, *amqp.Error) // told of steps that the broker refused rightly

	ch *amqp.Channel // nil until needed
}

// Steps that are sent before one answer is awaited.
const stepsAtOnce = 128

// apply carries out steps in order. It returns when the broker has done them.
func (d *declarer) apply(steps ...step) error {
	for portion := range slices.Chunk(steps, stepsAtOnce) {
		if err := d.together(portion); err != nil {
			return err
		}
	}
	return nil
}

// together carries out steps with one answer for all. The broker does not say
// which step it refused: then it is each half again, down to the one.
func (d *declarer) together(steps []step) error {
	if len(steps) == 1 {
		return d.alone(steps[0])
	}
	err := d.pipeline(steps)
	if err == nil || d.link.life.Err() != nil {
		return err
	}
	half := len(steps) / 2
	if err := d.together(steps[:half]); err != nil {
		return err
	}
	return d.together(steps[half:])
}

func (d *declarer) pipeline(steps []step) error {
	if err := d.open(); err != nil {
		return err
	}
	err := d.link.within(func() error {
		for _, s := range steps {
			if err := d.run(d.ch, s, true); err != nil {
				return err
			}
		}
		return d.ch.Qos(1, 0, false) // changes nothing here; its answer comes after everything before
	})
	if err != nil {
		d.ch = nil
	}
	return err
}

func (d *declarer) alone(s step) error {
	if err := d.open(); err != nil {
		return err
	}
	err := d.link.within(func() error { return d.run(d.ch, s, false) })
	if err == nil {
		return nil
	}
	d.ch = nil
	var refusal *amqp.Error
	if d.link.life.Err() == nil && errors.As(err, &refusal) && s.mayBeRefused(refusal.Code) {
		d.kept(s, refusal)
		return nil
	}
	return err
}

func (d *declarer) open() (err error) {
	if d.ch == nil {
		d.ch, err = d.link.channel()
	}
	return err
}

// run sends one step. Without waiting it is done when a later answer arrives.
func (d *declarer) run(ch *amqp.Channel, s step, noWait bool) (err error) {
	switch s.do {
	case declareExchange:
		return ch.ExchangeDeclare(s.name, d.exchangeType, true, false, false, noWait, nil)
	case declareFanout:
		// Not durable, which spares the broker's disk: it is there again before
		// the first frame after a restart, and only frames need it.
		return ch.ExchangeDeclare(s.name, amqp.ExchangeFanout, false, false, false, noWait, nil)
	case declareQueue:
		_, err = ch.QueueDeclare(s.name, true, false, false, noWait, nil)
	case declareDeadQueue:
		_, err = ch.QueueDeclare(s.name, true, false, false, noWait, amqp.Table{amqp.QueueMaxLenArg: deadLettersKept})
	case declareUserQueue:
		_, err = ch.QueueDeclare(s.name, true, false, false, noWait, amqp.Table{"x-expires": d.queueExpires.Milliseconds()})
	case bindExchange:
		return ch.ExchangeBind(s.name, s.key, s.from, noWait, nil)
	case bindQueue, bindForeignQueue:
		return ch.QueueBind(s.name, s.key, s.from, noWait, nil)
	case unbindExchange:
		return ch.ExchangeUnbind(s.name, s.key, s.from, noWait, nil)
	case unbindQueue:
		return ch.QueueUnbind(s.name, s.key, s.from, nil)
	case deleteExchange:
		return ch.ExchangeDelete(s.name, false, noWait)
	case deleteQueue:
		_, err = ch.QueueDelete(s.name, false, false, noWait)
	}
	return err
}

// mayBeRefused tells whether a refusal leaves the broker as good as the step
// would have: what is to be declared exists in another shape, which is kept;
// what is to be taken away is away; a queue of the client's own is gone, or
// belongs to its connection alone.
func (s step) mayBeRefused(code int) bool {
	switch s.do {
	case declareExchange, declareFanout, declareQueue, declareDeadQueue:
		return code == amqp.PreconditionFailed
	case declareUserQueue:
		return code == amqp.PreconditionFailed || code == amqp.ResourceLocked
	case bindQueue:
		return code == amqp.ResourceLocked
	case bindForeignQueue, unbindExchange, unbindQueue, deleteExchange, deleteQueue:
		return code == amqp.NotFound || code == amqp.ResourceLocked
	}
	return false
}
