package instant

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"instantd/protocol"
)

// Way is the name under which the AMQP side keeps its place in the outbox.
const Way = "amqp"

// Bounds of what is under way. When one is reached, publishing waits for
// confirmations.
const (
	readAtOnce      = 256      // records
	recordsUnderWay = 4_096    // not confirmed
	framesUnderWay  = 64 << 10 // not confirmed
	exchangesKnown  = 1 << 20  // then they are forgotten, and declared again when needed
	exchangesAtOnce = 64       // declared between two looks at the outbox
	gravesAtMost    = 4_096    // deletions that wait for their time; beyond, the earliest is done early
)

var errDrained = errors.New("the time to drain is over")

// publisher is the publishing half of a Broker for the time of one connection.
// One goroutine decides everything: so what a record changes in the topology
// comes before or after frames exactly as it should. Beside it the builder
// changes what concerns single users, and confirmations are collected.
type publisher struct {
	*Broker
	*builder
	link     *link
	turn     sync.Mutex       // for the use of frames, which the builder has a part in
	frames   *amqp.Channel    // in confirm mode
	closed   chan *amqp.Error // why frames was closed
	topology declarer
	idle     context.Context // ends with the connection, and when Run is to end

	declared map[string]bool                     // exchanges of conversations, since the connection began
	bound    map[protocol.UserID]map[string]bool // users who have queues, and which
	pending  map[string]*change                  // what frames must not overtake, by their key
	open     <-chan []protocol.ConversationID    // whose exchanges may be missing; nil when all are declared
	underWay chan receipts                       // in order of publishing
	room     *semaphore.Weighted                 // for frames
}

// publish works on one connection until it is lost, or until ctx has ended and
// the outbox is empty.
func (b *Broker) publish(ctx context.Context, l *link) error {
	idle, stop := context.WithCancel(l.life)
	finished := make(chan struct{})
	go b.drain(ctx, l, stop, finished) // ends with this function
	defer close(finished)
	defer stop()

	p := b.newPublisher(l, idle)
	var group errgroup.Group // ends below: nothing more is ordered
	group.Go(p.builder.run)
	err := p.work(ctx, stop)
	if err != nil {
		l.abort(err)
	}
	p.finish()
	return l.why(errors.Join(err, group.Wait()))
}

func (b *Broker) newPublisher(l *link, idle context.Context) *publisher {
	p := &publisher{
		Broker: b, link: l, idle: idle,
		declared: make(map[string]bool),
		bound:    make(map[protocol.UserID]map[string]bool),
		pending:  make(map[string]*change),
		underWay: make(chan receipts, recordsUnderWay),
		room:     semaphore.NewWeighted(framesUnderWay),
	}
	p.topology = declarer{link: l, exchangeType: b.ExchangeType, queueExpires: b.QueueExpires, kept: p.kept}
	p.builder = newBuilder(l, p.topology)
	return p
}

// work prepares the broker, publishes, and when that is over cleans up. stop
// ends idle.
func (p *publisher) work(ctx context.Context, stop func()) error {
	position, err := p.Outbox.Position(Way)
	if err != nil {
		return fmt.Errorf("outbox position: %w", err)
	}
	p.publishing.away(errPreparing)
	if err := p.prepare(position); err != nil {
		return err
	}
	p.progress.advance(position)
	p.publishing.up(p.link)
	p.Log.Info("amqp connected", "connection", p.publishing.name, "users", len(p.bound), "position", position)

	var group errgroup.Group // both end below: idle ends, underWay is closed
	p.open = p.openConversations(&group)
	group.Go(p.collect)
	err = p.follow(ctx, position)
	if err != nil {
		p.link.abort(err)
	}
	stop()
	close(p.underWay)
	if err := errors.Join(err, group.Wait()); err != nil {
		return err
	}
	return p.buryAll()
}

// drain bounds the time between the end of ctx and the end of the work.
func (b *Broker) drain(ctx context.Context, l *link, stop func(), finished <-chan struct{}) {
	select {
	case <-finished:
		return
	case <-ctx.Done():
		stop()
	}
	timeout := time.NewTimer(b.DrainTimeout)
	defer timeout.Stop()
	select {
	case <-finished:
	case <-timeout.C:
		l.abort(errDrained)
	}
}

// prepare puts in order what must be there before the first frame: what
// everybody meets at, and all that hangs on users who have queues, as it was at
// the position from which publishing goes on. A broker that kept its data, and
// that confirmed all that it was given, is told nothing new.
func (p *publisher) prepare(position protocol.MessageID) (err error) {
	p.forgetAfter(position)
	if p.frames, err = p.link.channel(); err != nil {
		return err
	}
	p.closed = p.frames.NotifyClose(make(chan *amqp.Error, 1))
	if err := p.link.within(func() error { return p.frames.Confirm(false) }); err != nil {
		return err
	}
	if err := p.topology.apply(baseSteps()...); err != nil {
		return err
	}
	var bindings []binding
	bind := func() error {
		_, err := p.bind(position, bindings...)
		bindings = bindings[:0]
		return err
	}
	err = p.Roster.EachQueue(func(user protocol.UserID, queues []protocol.Queue) error {
		for _, queue := range queues {
			bindings = append(bindings, binding{user, queue})
		}
		if len(bindings) < bindingsAtOnce {
			return nil
		}
		return bind()
	})
	if err != nil {
		return err
	}
	if err := bind(); err != nil {
		return err
	}
	return p.wait(p.last)
}

// openConversations lists, in portions, the conversations whose exchanges
// legacy clients bind to by themselves.
func (p *publisher) openConversations(group *errgroup.Group) <-chan []protocol.ConversationID {
	portions := make(chan []protocol.ConversationID, 1)
	group.Go(func() error {
		defer close(portions)
		var portion []protocol.ConversationID
		give := func() error {
			select {
			case portions <- portion:
				portion = nil
				return nil
			case <-p.idle.Done():
				return p.idle.Err()
			}
		}
		err := p.Roster.EachConversation(func(id protocol.ConversationID) error {
			if portion = append(portion, id); len(portion) < exchangesAtOnce {
				return nil
			}
			return give()
		})
		if err == nil {
			err = give()
		}
		if err != nil && p.idle.Err() == nil {
			p.Log.Error("amqp exchanges of conversations", "error", err) // they are declared when used
		}
		return nil
	})
	return portions
}

// follow publishes what follows a position, as it comes.
func (p *publisher) follow(ctx context.Context, after protocol.MessageID) error {
	for {
		records, err := p.Outbox.Read(after, readAtOnce)
		if err != nil {
			return fmt.Errorf("read outbox: %w", err)
		}
		if err := p.ready(records); err != nil {
			return err
		}
		for i, r := range records {
			sent, err := p.handle(r)
			if err != nil {
				return err
			}
			after = r.ID
			if sent.isEmpty() && i < len(records)-1 {
				continue // the next one confirms it as well
			}
			if err := p.hand(sent); err != nil {
				return err
			}
		}
		now := time.Now()
		if err := p.bury(func(g grave) bool { return !g.due.After(now) }); err != nil {
			return err
		}
		if err := context.Cause(p.link.life); err != nil {
			return err
		}
		switch {
		case p.open != nil:
			err = p.declareSome()
		case len(records) > 0:
		case !p.past.done():
			err = p.recallSome()
		case ctx.Err() != nil:
			return nil
		default:
			p.link.worked.Store(true)
			err = p.rest(after)
		}
		if err != nil {
			return err
		}
	}
}

// rest returns when there is something to do.
func (p *publisher) rest(after protocol.MessageID) error {
	ctx := p.idle
	if next, ok := p.nextGrave(); ok {
		deadline, cancel := context.WithDeadline(ctx, next.due)
		defer cancel()
		ctx = deadline
	}
	if err := p.Outbox.Wait(ctx, after); err != nil && ctx.Err() == nil {
		return fmt.Errorf("wait for the outbox: %w", err)
	}
	return nil
}

func (p *publisher) declareSome() error {
	select {
	case portion, ok := <-p.open:
		if !ok {
			p.open = nil
		}
		return p.topology.apply(p.missing(portion...)...)
	case <-p.idle.Done():
		p.open = nil
		return nil
	}
}

// missing are the steps that declare those of the conversations whose exchange
// was not declared on this connection. They count as declared from now on.
func (p *publisher) missing(ids ...protocol.ConversationID) []step {
	var steps []step
	for _, id := range ids {
		s := conversationStep(declareExchange, id)
		if id.IsFeed() || p.declared[s.name] {
			continue
		}
		if len(p.declared) >= exchangesKnown {
			clear(p.declared)
		}
		p.declared[s.name] = true
		steps = append(steps, s)
	}
	return steps
}

// ready declares, in one go, the exchanges of the conversations that some
// records need.
func (p *publisher) ready(records []protocol.Record) error {
	maps.DeleteFunc(p.pending, func(_ string, c *change) bool { return c.isDone() })
	var ids []protocol.ConversationID
	for _, r := range records {
		if needsExchange(r) {
			ids = append(ids, r.Conversation())
		}
	}
	return p.topology.apply(p.missing(ids...)...)
}

// needsExchange tells whether the exchange of a record's conversation must be
// there for it.
func needsExchange(r protocol.Record) bool {
	switch r.Event.(type) {
	case protocol.ConversationCreated, protocol.MembersAdded:
		return true
	}
	to := Route(r, nil)
	return len(to) > 0 && to[0].Exchange != exchangeBase
}

// handle does everything that a record asks for: it readies the topology, gives
// its frame to the broker, and takes away what nobody needs afterwards.
func (p *publisher) handle(r protocol.Record) (receipts, error) {
	sent := receipts{id: r.ID}
	user, err := protocol.UserID(r.Key.ID), error(nil)
	switch e := r.Event.(type) {
	case protocol.ConversationCreated, protocol.MembersAdded:
		_, created := e.(protocol.ConversationCreated)
		sent.change, err = p.join(r.Conversation(), created, r.Joined())
	case protocol.QueueBound:
		sent.change, err = p.bind(r.ID, binding{user, e.Queue})
	case protocol.QueueReleased:
		sent.change, err = p.release(user, e.Queue, r.ID)
	}
	if err != nil {
		return sent, err
	}
	if err := p.send(r, &sent); err != nil {
		return sent, err
	}
	switch r.Event.(type) {
	case protocol.MembersRemoved, protocol.MemberLeft:
		err = p.part(r.Conversation(), r.Departed())
	case protocol.ConversationDissolved:
		err = p.inter(r.Key, r.ID, p.Linger)
	}
	return sent, err
}

// hand has the broker's answers for a record awaited.
func (p *publisher) hand(sent receipts) error {
	p.metrics.unconfirmed.Add(float64(len(sent.frames)))
	select {
	case p.underWay <- sent:
		return nil
	case <-p.link.life.Done():
		p.metrics.unconfirmed.Sub(float64(len(sent.frames)))
		return context.Cause(p.link.life)
	}
}

// send gives the frame of a record to the broker, as often as there are places
// for it.
func (p *publisher) send(r protocol.Record, sent *receipts) error {
	frame, err := protocol.Render(p.Encoder, r)
	if err != nil { // a defect that must not stop everything behind it
		p.Log.Error("amqp event not published", "error", err)
	}
	if frame == nil {
		return nil
	}
	recipients, err := p.recipients(r)
	if err != nil {
		return err
	}
	publications := Route(r, recipients)
	if len(publications) == 0 {
		return nil
	}
	if publications[0].Exchange != exchangeBase {
		// A frame for an exchange that does not exist closes the channel.
		if err := p.topology.apply(p.missing(r.Conversation())...); err != nil {
			return err
		}
	}
	sent.weight = min(int64(len(publications)), framesUnderWay)
	if err := p.room.Acquire(p.link.life, sent.weight); err != nil {
		return p.link.why(err)
	}
	message := amqp.Publishing{
		ContentType:  "application/json",
		DeliveryMode: amqp.Persistent,
		MessageId:    r.ID.String(),
		Timestamp:    r.ID.Time(),
		Body:         frame,
	}
	confirmations := make([]*amqp.DeferredConfirmation, len(publications))
	sent.frames = confirmations
	for i, to := range publications {
		obstacle := p.obstacle(to.Key)
		if !to.isPersonal() { // what is for one user alone holds up nobody else
			if err := p.wait(obstacle); err != nil {
				return err
			}
		}
		waits, err := p.inLine(obstacle, func(frames *amqp.Channel) (err error) {
			confirmations[i], err = frames.PublishWithDeferredConfirm(to.Exchange, to.Key, false, false, message)
			return err
		})
		if err != nil {
			return err
		}
		if waits == nil {
			p.ahead = confirmations[i]
		}
		sent.change = newer(sent.change, waits)
	}
	p.metrics.published.Add(float64(len(publications)))
	return nil
}

// routed returns when the broker has put everything that was published into the
// queues it is for.
func (p *publisher) routed() error {
	// It changes nothing here; its answer comes after everything before.
	return p.link.within(func() error {
		return p.now(func(frames *amqp.Channel) error { return frames.Qos(1, 0, false) })
	})
}

// recipients are those whom Route asks for.
func (p *publisher) recipients(r protocol.Record) ([]protocol.UserID, error) {
	if !wantsRecipients(r) {
		return nil, nil
	}
	if r.Key.Kind == protocol.KindUser {
		neighbours, err := p.Roster.Neighbours(protocol.UserID(r.Key.ID), r.ID)
		if err != nil {
			return nil, fmt.Errorf("neighbours of %s: %w", r.Key.ID, err)
		}
		return neighbours, nil
	}
	members, err := p.Roster.MembersAt(r.Conversation(), r.Seq)
	if err != nil {
		return nil, fmt.Errorf("members of %s at %d: %w", r.Conversation(), r.Seq, err)
	}
	users := make([]protocol.UserID, 0, len(members))
	for _, m := range members {
		users = append(users, m.User)
	}
	return users, nil
}

// kept is told of steps that the broker refused rightly.
func (p *publisher) kept(s step, why *amqp.Error) {
	p.Log.Debug("amqp topology kept as it is", "name", s.name, "exchange", s.from, "code", why.Code)
}
