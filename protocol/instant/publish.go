package instant

import (
	"context"
	"errors"
	"fmt"
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
	recordsUnderWay = 1_024    // not confirmed
	framesUnderWay  = 16 << 10 // not confirmed
	exchangesKnown  = 1 << 20  // then they are forgotten, and declared again when needed
	exchangesAtOnce = 64       // declared between two looks at the outbox
	gravesAtMost    = 4_096    // deletions that wait for their time; beyond, the earliest is done early
)

var errDrained = errors.New("the time to drain is over")

// publisher is the publishing half of a Broker for the time of one connection.
// One goroutine does everything but collecting confirmations: so what a record
// changes in the topology comes before or after frames exactly as it should.
type publisher struct {
	*Broker
	link     *link
	frames   *amqp.Channel    // in confirm mode
	closed   chan *amqp.Error // why frames was closed
	topology declarer
	idle     context.Context // ends with the connection, and when Run is to end

	declared map[string]bool                     // exchanges of conversations, since the connection began
	bound    map[protocol.UserID]map[string]bool // users who have queues, and which
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

	p := &publisher{
		Broker: b, link: l, idle: idle,
		declared: make(map[string]bool),
		bound:    make(map[protocol.UserID]map[string]bool),
		underWay: make(chan receipts, recordsUnderWay),
		room:     semaphore.NewWeighted(framesUnderWay),
	}
	p.topology = declarer{link: l, exchangeType: b.ExchangeType, queueExpires: b.QueueExpires, kept: p.kept}
	position, err := b.Outbox.Position(Way)
	if err != nil {
		return fmt.Errorf("outbox position: %w", err)
	}
	b.publishing.away(errPreparing)
	if err := p.prepare(position); err != nil {
		return err
	}
	b.progress.advance(position)
	b.publishing.up(l)
	b.Log.Info("amqp connected", "connection", b.publishing.name, "users", len(p.bound), "position", position)

	var group errgroup.Group // both end below: idle ends, underWay is closed
	p.open = p.openConversations(&group)
	group.Go(p.collect)
	err = p.follow(ctx, position)
	if err != nil {
		l.abort(err)
	}
	stop()
	close(p.underWay)
	err = errors.Join(err, group.Wait())
	if err == nil {
		err = p.bury(func(grave) bool { return true })
	}
	return l.why(err)
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
	return p.Roster.EachQueue(func(user protocol.UserID, queues []protocol.Queue) error {
		for _, queue := range queues {
			if err := p.bind(user, queue, position, false); err != nil {
				return err
			}
		}
		return nil
	})
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
		for _, r := range records {
			if err := p.handle(r); err != nil {
				return err
			}
			after = r.ID
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
			err = p.wait(after)
		}
		if err != nil {
			return err
		}
	}
}

// wait returns when there is something to do.
func (p *publisher) wait(after protocol.MessageID) error {
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

// handle does everything that a record asks for: it readies the topology, gives
// its frame to the broker, and takes away what nobody needs afterwards.
func (p *publisher) handle(r protocol.Record) error {
	switch e := r.Event.(type) {
	case protocol.ConversationCreated, protocol.MembersAdded:
		if err := p.join(r.Conversation(), r.Joined()); err != nil {
			return err
		}
	case protocol.QueueBound:
		if err := p.bind(protocol.UserID(r.Key.ID), e.Queue, r.ID, true); err != nil {
			return err
		}
	}
	sent, err := p.send(r)
	if err != nil {
		return err
	}
	switch e := r.Event.(type) {
	case protocol.MembersRemoved, protocol.MemberLeft:
		err = p.part(r.Conversation(), r.Departed())
	case protocol.QueueReleased:
		err = p.release(protocol.UserID(r.Key.ID), e.Queue, r.ID)
	case protocol.ConversationDissolved:
		err = p.inter(conversationStep(deleteExchange, r.Conversation()), r.ID, p.Linger)
	}
	if err != nil {
		return err
	}
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
func (p *publisher) send(r protocol.Record) (receipts, error) {
	sent := receipts{id: r.ID}
	frame, err := protocol.Render(p.Encoder, r)
	if err != nil { // a defect that must not stop everything behind it
		p.Log.Error("amqp event not published", "error", err)
	}
	if frame == nil {
		return sent, nil
	}
	recipients, err := p.recipients(r)
	if err != nil {
		return sent, err
	}
	publications := Route(r, recipients)
	if len(publications) == 0 {
		return sent, nil
	}
	if publications[0].Exchange != exchangeBase {
		// A frame for an exchange that does not exist closes the channel.
		if err := p.topology.apply(p.missing(r.Conversation())...); err != nil {
			return sent, err
		}
	}
	weight := min(int64(len(publications)), framesUnderWay)
	if err := p.room.Acquire(p.link.life, weight); err != nil {
		return sent, p.link.why(err)
	}
	sent.weight = weight
	message := amqp.Publishing{
		ContentType:  "application/json",
		DeliveryMode: amqp.Persistent,
		MessageId:    r.ID.String(),
		Timestamp:    r.ID.Time(),
		Body:         frame,
	}
	for _, to := range publications {
		receipt, err := p.frames.PublishWithDeferredConfirm(to.Exchange, to.Key, false, false, message)
		if err != nil {
			return sent, p.whyClosed(err)
		}
		sent.frames = append(sent.frames, receipt)
	}
	p.metrics.published.Add(float64(len(publications)))
	p.metrics.unconfirmed.Add(float64(len(publications)))
	return sent, nil
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
