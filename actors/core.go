package actors

import (
	"context"
	"log/slog"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/prometheus/client_golang/prometheus"

	"instantd/protocol"
)

// Options are what a Core is made of. Only Store is required.
type Options struct {
	Store      Store
	Log        *slog.Logger
	Registerer prometheus.Registerer // nil: the metrics are not exposed

	// OpenRoles lets every member do what otherwise only the owner may.
	OpenRoles bool
	// Shards is how many goroutines carry events to sessions; 0 means
	// GOMAXPROCS.
	Shards int
	// Idle is how long an actor that nobody asks stays in memory; 0 means 5
	// minutes.
	Idle time.Duration
	// MaxPending bounds the commands that wait for one actor; one more is
	// refused with Unavailable. 0 means 4,096.
	MaxPending int
	// MaxPendingTotal bounds the commands that wait for all actors together. 0
	// means 65,536.
	MaxPendingTotal int
	// MaxSessions bounds the live sessions of one user; one more replaces the
	// oldest. 0 means 64.
	MaxSessions int
	// ReplayLimit bounds the events of one conversation that a returning
	// session is sent; older ones are announced as trimmed. 0 means 1,000.
	ReplayLimit int
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

func (o Options) withDefaults() Options {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	setDefault(&o.Shards, runtime.GOMAXPROCS(0))
	setDefault(&o.Idle, 5*time.Minute)
	setDefault(&o.MaxPending, 4_096)
	setDefault(&o.MaxPendingTotal, 65_536)
	setDefault(&o.MaxSessions, 64)
	setDefault(&o.ReplayLimit, 1_000)
	return o
}

func setDefault[N int | time.Duration](value *N, otherwise N) {
	if *value == 0 {
		*value = otherwise
	}
}

// Core is every actor of this process. It implements protocol.Core and
// protocol.Authority.
type Core struct {
	Options
	system    *actor.ActorSystem
	directory *directory
	shards    shards
	metrics   *metrics

	sessionIDs atomic.Uint64
}

// New starts a core. Shutdown ends it.
func New(options Options) *Core {
	c := &Core{Options: options.withDefaults()}
	c.system = actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger {
		return slog.New(warnings{c.Log.Handler()}) // its life is no news
	}))
	c.metrics = newMetrics(c)
	c.shards = newShards(c.Shards, c.metrics, c.Log)
	c.directory = newDirectory(c)
	return c
}

// Shutdown refuses new commands, lets every actor finish what it was asked and
// store what it holds, and ends all goroutines. Sessions are to be closed
// before. When ctx ends first it returns its error and leaves the rest undone,
// for another call to go on with.
func (c *Core) Shutdown(ctx context.Context) error {
	if err := c.directory.close(ctx); err != nil {
		return err
	}
	c.shards.close()
	return nil
}

// Deliver implements protocol.Core.
func (c *Core) Deliver(ctx context.Context, key protocol.Key, command any) protocol.Pending {
	if err := check(command); err != nil {
		return protocol.Answered(nil, err)
	}
	switch command := command.(type) {
	case protocol.CreateConversation:
		return protocol.Answered(c.create(ctx, command))
	case protocol.AddMembers:
		return c.add(ctx, command)
	case protocol.OpenSession:
		return c.open(ctx, command)
	}
	return c.hand(ctx, key, command)
}

// hand enqueues a command as it is.
func (c *Core) hand(ctx context.Context, key protocol.Key, command any) protocol.Pending {
	reply := make(chan outcome, 1)
	if err := c.directory.send(ctx, key, envelope{command, reply}); err != nil {
		return protocol.Answered(nil, err)
	}
	return func(ctx context.Context) (any, error) { return await(ctx, reply) }
}

func await(ctx context.Context, reply <-chan outcome) (any, error) {
	select {
	case out := <-reply:
		if read, later := out.answer.(reading); later {
			return read()
		}
		return out.answer, out.err
	case <-ctx.Done():
		return nil, protocol.Errorf(protocol.Unavailable, "no answer in time")
	}
}

// open hands a session's opening over. A session whose asker gave up is closed
// again: nobody else knows that it exists.
func (c *Core) open(ctx context.Context, cmd protocol.OpenSession) protocol.Pending {
	reply := make(chan outcome, 1)
	if err := c.directory.send(ctx, cmd.Key(), envelope{cmd, reply}); err != nil {
		return protocol.Answered(nil, err)
	}
	return func(ctx context.Context) (any, error) {
		answer, err := await(ctx, reply)
		if err != nil && ctx.Err() != nil {
			go func() { // ends with the answer, which every command gets
				if opened, ok := (<-reply).answer.(protocol.Session); ok {
					c.ask(context.WithoutCancel(ctx), cmd.Key(), protocol.CloseSession{By: cmd.By, Session: opened.ID})
				}
			}()
		}
		return answer, err
	}
}

// ask hands a command over and waits for its answer.
func (c *Core) ask(ctx context.Context, key protocol.Key, command any) (any, error) {
	return c.hand(ctx, key, command)(ctx)
}

// Authenticate implements protocol.Authority.
func (c *Core) Authenticate(_ context.Context, token protocol.Token) (protocol.Principal, error) {
	if token == "" {
		return protocol.Principal{}, protocol.Errorf(protocol.Unauthenticated, "no token")
	}
	user, class, ok, err := c.Store.TokenOwner(token.Digest())
	if err != nil {
		return protocol.Principal{}, err
	}
	if !ok {
		return protocol.Principal{}, protocol.Errorf(protocol.Unauthenticated, "token is not in force")
	}
	return protocol.Principal{User: user, Class: class}, nil
}
