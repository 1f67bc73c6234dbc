package actors

import (
	"fmt"
	"runtime/debug"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"instantd/protocol"
)

// rules decide for one actor. They are called by its owner only, one call at
// a time.
type rules interface {
	// load takes the state from the store and forgets what was not committed.
	load(Store) error
	// facts reads from the store what decide needs beside the state.
	facts(Store, any) (facts, error)
	// decide says what a command does, or why not. It changes nothing that is
	// committed.
	decide(command any, f facts) (decision, error)
	// apply changes the state as a committed record says.
	apply(protocol.Record)
	// publication is what sessions are to hear of an applied record.
	publication(protocol.Record) *protocol.Publication
	// head is the newest Seq; always 0 where events have none.
	head() protocol.Seq
	// exists tells whether there is something to own; what is not there is not
	// kept in memory.
	exists() bool
	// busy tells whether the actor holds what must outlive an idle spell.
	busy() bool
	// unsaved is the command that saves what the rules hold back, nil when
	// there is nothing.
	unsaved() any
}

// facts are what the store knows beside the state of the actor.
type facts struct {
	now   time.Time
	prior *protocol.Sent    // the message that this client id already sent
	msg   *protocol.Message // the message that the command is about
	taken bool              // the token is the login of somebody else
	in    bool              // the user is or was a member of the conversation that the command is about
	head  protocol.Seq      // newest Seq of that conversation
}

// decision is what a command does: events, or an answer only.
type decision struct {
	events []protocol.Event
	// answer makes the reply from the committed records; nil means Done. The
	// state has them applied already.
	answer func([]protocol.Record) (any, error)
}

// reading is an answer that is yet to be read from the store. The one who
// asked runs it, so that a long page holds up no actor.
type reading func() (any, error)

// answer is a decision that changes nothing.
func answer(a any) (decision, error) {
	return decision{answer: func([]protocol.Record) (any, error) { return a, nil }}, nil
}

// envelope is a command on its way to an actor; reply has room for one.
type envelope struct {
	command any
	reply   chan<- outcome // nil: nobody waits
}

type outcome struct {
	answer any // a reading is to be run
	err    error
}

// committed is the store's word on the oldest commit in flight.
type committed struct {
	records []protocol.Record
	err     error
}

type (
	retire struct{} // stop after what was sent before
	save   struct{} // time to save what the rules hold back
)

// saveEvery is how often at most held-back state is saved.
const saveEvery = time.Second

// owner is the actor around the rules of one key. Commands are decided in the
// order of arrival. A message changes nothing but the head of its
// conversation, so the next command may be decided while sends are in flight;
// everything else waits for what is in flight, and is waited for. So rules see
// committed state only, and a refused commit needs no undoing: the commits
// behind it are refused by the store, and the state is loaded again.
type owner struct {
	core  *Core
	key   protocol.Key
	entry *entry
	rules rules

	loaded   bool
	retiring bool
	lost     bool // what was held back could not be saved while retiring
	waiting  []envelope
	flying   []flight            // handed to the store, oldest first
	naming   map[clientName]bool // messages in flight that their client named
	timer    *time.Timer
}

// flight is a commit that the store has not answered yet.
type flight struct {
	env      envelope
	decision decision
	client   clientName
	started  time.Time
	alone    bool // nothing may be decided before it landed
}

// clientName is a message as its sender named it.
type clientName struct {
	sender protocol.UserID
	id     string
}

func newOwner(c *Core, key protocol.Key, e *entry) *owner {
	o := &owner{core: c, key: key, entry: e}
	switch key.Kind {
	case protocol.KindConversation:
		o.rules = newConversation(c, protocol.ConversationID(key.ID))
	case protocol.KindUser:
		o.rules = newUser(c, protocol.UserID(key.ID), e)
	case protocol.KindSite:
		o.rules = &site{}
	}
	return o
}

// Receive implements actor.Actor.
func (o *owner) Receive(ctx actor.Context) {
	switch msg := ctx.Message().(type) {
	case envelope:
		o.waiting = append(o.waiting, msg)
	case committed:
		o.land(msg)
	case retire:
		o.retiring = true
	case save:
		o.timer = nil
		o.waiting = append(o.waiting, envelope{command: o.rules.unsaved()})
	case *actor.Stopped:
		o.core.directory.stopped(o.key, o.entry)
		return
	default:
		return
	}
	o.work(ctx)
	o.rest(ctx)
}

// guard runs one step of one command. A panic harms that command alone: it is
// answered with Internal, and the state is loaded again.
func (o *owner) guard(env *envelope, step func()) {
	defer func() {
		reason := recover()
		if reason == nil {
			return
		}
		o.core.metrics.panics.Inc()
		o.core.Log.Error("actor panicked", "actor", o.key.Kind.String(),
			"command", fmt.Sprintf("%T", env.command), "reason", reason, "stack", string(debug.Stack()))
		o.loaded = false
		o.reply(env, outcome{err: protocol.Errorf(protocol.Internal, "%T panicked", env.command)})
	}()
	step()
}

// work decides what waits, as far as what is in flight allows.
func (o *owner) work(ctx actor.Context) {
	for len(o.waiting) > 0 {
		env := o.waiting[0]
		if env.command == nil {
			o.waiting = o.waiting[1:]
			continue
		}
		if len(o.flying) > 0 && (!o.loaded || o.flying[len(o.flying)-1].alone || !o.ahead(env.command)) {
			return
		}
		o.waiting[0] = envelope{}
		o.waiting = o.waiting[1:]
		o.guard(&env, func() { o.do(ctx, &env) })
	}
	o.waiting = nil
}

// ahead tells whether a command may be decided while sends are in flight.
func (o *owner) ahead(command any) bool {
	switch c := command.(type) {
	case protocol.SendMessage:
		return !o.naming[nameOf(c)] // a retry waits for the first answer
	case protocol.History, protocol.ConversationOf:
		return true
	}
	return false
}

// do decides one command and hands its events to the store.
func (o *owner) do(ctx actor.Context, env *envelope) {
	if !o.loaded {
		if err := o.rules.load(o.core.Store); err != nil {
			o.fail(env, err)
			return
		}
		o.loaded = true
	}
	f, err := o.rules.facts(o.core.Store, env.command)
	if err != nil {
		o.fail(env, err)
		return
	}
	f.now = o.core.Now()
	d, err := o.rules.decide(env.command, f)
	switch {
	case err != nil:
		o.fail(env, err)
	case len(d.events) == 0:
		o.answer(env, d, nil)
	default:
		o.commit(ctx, env, d)
	}
}

func (o *owner) commit(ctx actor.Context, env *envelope, d decision) {
	send, isSend := env.command.(protocol.SendMessage)
	f := flight{env: *env, decision: d, started: time.Now(), alone: !isSend}
	env.reply = nil // the flight's from now on
	if isSend && send.ClientID != "" {
		f.client = nameOf(send)
		if o.naming == nil {
			o.naming = map[clientName]bool{}
		}
		o.naming[f.client] = true
	}
	var seq protocol.Seq
	if o.key.Kind == protocol.KindConversation {
		seq = o.rules.head() + 1
		for _, earlier := range o.flying {
			seq += protocol.Seq(len(earlier.decision.events))
		}
	}
	o.flying = append(o.flying, f)
	root, self := o.core.system.Root, ctx.Self()
	o.core.Store.Commit(protocol.Commit{
		Key: o.key, Seq: seq, Events: d.events,
		Done: func(records []protocol.Record, err error) { root.Send(self, committed{records, err}) },
	})
}

// land ends the oldest flight: apply, answer, publish. What is committed is
// published whatever happens to the command.
func (o *owner) land(c committed) {
	f := o.flying[0]
	o.flying[0] = flight{}
	o.flying = o.flying[1:]
	delete(o.naming, f.client)
	if len(o.flying) == 0 {
		o.flying = nil
	}
	if c.err != nil {
		o.loaded = false
		if _, saves := f.env.command.(saveReceipts); saves {
			o.lost = o.retiring
		}
		o.fail(&f.env, c.err)
		return
	}
	o.guard(&f.env, func() {
		if o.loaded {
			for _, r := range c.records {
				o.rules.apply(r)
			}
		}
		o.answer(&f.env, f.decision, c.records)
	})
	o.core.metrics.committed(c.records, f.started)
	for _, r := range c.records {
		o.guard(&f.env, func() {
			if p := o.rules.publication(r); p != nil {
				o.core.shards.publish(p)
			}
		})
	}
}

// rest is what an actor does at the end of each message: it tells whether it
// may be retired, sees to what it holds back, and stops when it is to.
func (o *owner) rest(ctx actor.Context) {
	unsaved := o.rules.unsaved() != nil && !o.lost
	o.entry.busy.Store(unsaved || o.rules.busy())
	if len(o.waiting) > 0 || len(o.flying) > 0 {
		return
	}
	switch {
	case o.retiring && unsaved:
		o.waiting = append(o.waiting, envelope{command: o.rules.unsaved()})
		o.work(ctx)
		if len(o.flying) == 0 { // nothing was handed over: the store cannot even be read
			o.stop(ctx)
		}
	case o.retiring:
		o.stop(ctx)
	case !o.rules.exists() && !o.entry.busy.Load():
		if o.core.directory.release(o.key, o.entry) {
			o.retiring = true
			o.stop(ctx)
		}
	}
	if unsaved && o.timer == nil && !o.retiring {
		root, self := o.core.system.Root, ctx.Self()
		o.timer = time.AfterFunc(saveEvery, func() { root.Send(self, save{}) })
	}
}

// stop ends the actor. Nothing can arrive any more: the directory sends nothing
// to a retired actor, and nothing is in flight.
func (o *owner) stop(ctx actor.Context) {
	if o.timer != nil {
		o.timer.Stop()
	}
	ctx.Stop(ctx.Self())
}

func (o *owner) answer(env *envelope, d decision, records []protocol.Record) {
	if d.answer == nil {
		o.reply(env, outcome{answer: protocol.Done{}})
		return
	}
	a, err := d.answer(records)
	o.reply(env, outcome{answer: a, err: err})
}

func (o *owner) fail(env *envelope, err error) {
	if protocol.CodeOf(err) == protocol.Internal {
		o.core.Log.Error("command failed", "actor", o.key.Kind.String(), "error", err)
	}
	o.reply(env, outcome{err: err})
}

// reply answers a command; a second answer to it is none.
func (o *owner) reply(env *envelope, out outcome) {
	if env.reply == nil {
		return
	}
	o.core.directory.answered(o.entry) // first: who has his answer may ask again
	env.reply <- out
	env.reply = nil
}
