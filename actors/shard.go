package actors

import (
	"hash/maphash"
	"log/slog"
	"sync"

	"instantd/protocol"
)

// shards carry committed events to live sessions. A user's sessions are all
// in one shard, which knows the conversations that the user is a member of
// from the very events that it carries: so nobody is sent what follows his
// removal, and nobody misses what follows his joining.
type shards struct {
	seed maphash.Seed
	all  []*shard
}

// shardQueue is how many events may wait for one shard. A full queue holds the
// publishing actor up, whose own queue then fills and refuses.
const shardQueue = 4_096

func newShards(n int, m *metrics, log *slog.Logger) shards {
	s := shards{seed: maphash.MakeSeed()}
	for range n {
		sh := &shard{
			in: make(chan any, shardQueue), stop: make(chan struct{}), stopped: make(chan struct{}), metrics: m, log: log,
			users: map[protocol.UserID]*listener{}, audiences: map[protocol.ConversationID][]*listener{},
		}
		s.all = append(s.all, sh)
		go sh.run() // ends when stop is closed
	}
	return s
}

func (s shards) close() {
	for _, sh := range s.all {
		sh.once.Do(func() { close(sh.stop) })
		<-sh.stopped
	}
}

func (s shards) of(user protocol.UserID) *shard {
	return s.all[maphash.Comparable(s.seed, user)%uint64(len(s.all))]
}

// publish hands an event to every shard that may have sessions to tell. Events
// of one actor reach each shard in the order of the calls.
func (s shards) publish(p *protocol.Publication) {
	if p.Key.Kind == protocol.KindUser && len(p.Conversations) == 0 {
		s.of(protocol.UserID(p.Key.ID)).send(p)
		return
	}
	for _, sh := range s.all {
		sh.send(p)
	}
}

// shard owns the index of its users' sessions. Only run touches it.
type shard struct {
	in      chan any
	once    sync.Once // closes stop
	stop    chan struct{}
	stopped chan struct{}
	metrics *metrics
	log     *slog.Logger

	users     map[protocol.UserID]*listener
	audiences map[protocol.ConversationID][]*listener
}

// listener is a user with at least one live session.
type listener struct {
	user     protocol.UserID
	sessions []*session
	// places are his conversations, and where he stands in their audience.
	places map[protocol.ConversationID]int
	// moved are the conversations that he joined or left since he is here,
	// until the list from the store arrives: of them the events know better.
	moved map[protocol.ConversationID]bool
}

type (
	// register adds a session; it holds what arrives until take finds nothing.
	register struct{ session *session }
	// subscribe brings the user's conversations as the store had them after
	// register was sent.
	subscribe struct {
		user          protocol.UserID
		conversations []protocol.ConversationID
	}
	// unregister removes a session.
	unregister struct{ session *session }
	// take asks for what a session holds.
	take struct {
		session *session
		ready   bool                                     // everything before was sent: go live when nothing is held
		brought map[protocol.ConversationID]protocol.Seq // the shard's from then on
		reply   chan<- taken
	}
	taken struct {
		held     []*protocol.Publication
		overflow bool // held was thrown away: read from the store again
		live     bool
	}
)

// send queues a message for the shard, or drops it when the shard has ended.
func (s *shard) send(message any) {
	select {
	case s.in <- message:
	case <-s.stop:
	}
}

func (s *shard) run() {
	defer close(s.stopped)
	for {
		select {
		case <-s.stop:
			return
		case message := <-s.in:
			s.handle(message)
		}
	}
}

func (s *shard) handle(message any) {
	switch m := message.(type) {
	case *protocol.Publication:
		s.deliver(m)
	case register:
		l := s.users[m.session.user]
		if l == nil {
			l = &listener{
				user:   m.session.user,
				places: map[protocol.ConversationID]int{}, moved: map[protocol.ConversationID]bool{},
			}
			s.users[l.user] = l
		}
		l.sessions = append(l.sessions, m.session)
	case subscribe:
		s.subscribe(m)
	case unregister:
		s.unregister(m.session)
	case take:
		m.reply <- m.session.take(m)
	}
}

func (s *shard) subscribe(m subscribe) {
	l := s.users[m.user]
	if l == nil || l.moved == nil {
		return
	}
	for _, id := range m.conversations {
		if !l.moved[id] {
			s.join(l, id)
		}
	}
	l.moved = nil
}

func (s *shard) unregister(gone *session) {
	gone.phase = closed
	gone.held = nil
	l := s.users[gone.user]
	if l == nil {
		return
	}
	for i, other := range l.sessions {
		if other == gone {
			l.sessions = append(l.sessions[:i:i], l.sessions[i+1:]...)
			break
		}
	}
	if len(l.sessions) > 0 {
		return
	}
	for id := range l.places {
		s.leave(l, id)
	}
	delete(s.users, l.user)
}

func (s *shard) join(l *listener, id protocol.ConversationID) {
	if _, in := l.places[id]; in {
		return
	}
	l.places[id] = len(s.audiences[id])
	s.audiences[id] = append(s.audiences[id], l)
}

func (s *shard) leave(l *listener, id protocol.ConversationID) {
	place, in := l.places[id]
	if !in {
		return
	}
	delete(l.places, id)
	audience := s.audiences[id]
	last := len(audience) - 1
	if place != last {
		audience[place] = audience[last]
		audience[place].places[id] = place
	}
	audience[last] = nil
	if last == 0 {
		delete(s.audiences, id)
		return
	}
	s.audiences[id] = audience[:last]
}

// deliver carries an event to the sessions that are to hear of it. Who joins
// by it is sent it, and who departs by it as well.
func (s *shard) deliver(p *protocol.Publication) {
	out := delivery{p: p, metrics: s.metrics, log: s.log}
	switch p.Key.Kind {
	case protocol.KindConversation:
		s.deliverToMembers(&out)
	case protocol.KindUser:
		s.deliverToNeighbours(&out)
	case protocol.KindSite:
		for _, l := range s.users {
			out.to(l)
		}
	}
	out.count()
}

func (s *shard) deliverToMembers(out *delivery) {
	id := out.p.Conversation()
	for _, m := range out.p.Joined() {
		if l := s.users[m.User]; l != nil {
			l.move(id)
			s.join(l, id)
		}
	}
	switch receivers := out.p.Receivers(); {
	case receivers != nil:
		for _, user := range receivers {
			if l := s.users[user]; l != nil && l.hears(id) {
				out.to(l)
			}
		}
	case id.IsFeed():
		for _, l := range s.users {
			out.to(l)
		}
	default:
		for _, l := range s.audiences[id] {
			out.to(l)
		}
	}
	for _, person := range out.p.Departed() {
		if l := s.users[person.User]; l != nil {
			l.move(id)
			s.leave(l, id)
		}
	}
}

// deliverToNeighbours carries a user's event to those that share one of the
// named conversations with him, each once; without any, to himself.
func (s *shard) deliverToNeighbours(out *delivery) {
	self := protocol.UserID(out.p.Key.ID)
	if len(out.p.Conversations) == 0 {
		if l := s.users[self]; l != nil {
			out.to(l)
		}
		return
	}
	told := map[*listener]bool{s.users[self]: true}
	for _, id := range out.p.Conversations {
		for _, l := range s.audiences[id] {
			if !told[l] {
				told[l] = true
				out.to(l)
			}
		}
	}
}

func (l *listener) hears(id protocol.ConversationID) bool {
	_, in := l.places[id]
	return in || id.IsFeed()
}

func (l *listener) move(id protocol.ConversationID) {
	if l.moved != nil {
		l.moved[id] = true
	}
}

// delivery is one event on its way to the sessions of one shard.
type delivery struct {
	p       *protocol.Publication
	metrics *metrics
	log     *slog.Logger

	by        protocol.Encoder // of frame
	frame     []byte
	transport string // of n
	n         int
}

func (d *delivery) to(l *listener) {
	for _, s := range l.sessions {
		switch s.phase {
		case holding:
			s.hold(d.p)
		case live:
			d.push(s)
		}
	}
}

func (d *delivery) push(s *session) {
	if d.by != s.encoder {
		var err error
		d.by = s.encoder
		if d.frame, err = d.p.Frame(s.encoder); err != nil {
			d.metrics.panics.Inc()
			d.log.Error("event not delivered", "error", err)
		}
	}
	if d.frame == nil || s.has(d.p) {
		return
	}
	if !s.sink.Push(d.frame) {
		s.phase = closed
		s.sink.Close(protocol.CloseSlow) // or it is closed already, and this counts for nothing
		return
	}
	if d.transport != s.transport {
		d.count()
		d.transport = s.transport
	}
	d.n++
}

// count adds what was pushed to the metrics.
func (d *delivery) count() {
	if d.n > 0 {
		d.metrics.deliveries.WithLabelValues(d.transport).Add(float64(d.n))
	}
	d.n = 0
}
