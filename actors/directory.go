package actors

import (
	"context"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"instantd/protocol"
)

// directory knows every living actor. It alone starts and retires them. The
// look-up, the spawn and the enqueuing of a command happen under one lock, and
// who wants an actor that is retiring waits until it is gone: so two actors of
// one key never overlap, and no command falls between two of them.
type directory struct {
	core    *Core
	seed    maphash.Seed
	parts   [64]part // by key, so that the locks are rarely contended
	pending atomic.Int64
	closed  atomic.Bool

	stop  chan struct{} // ends sweep
	swept chan struct{} // sweep has ended
}

type part struct {
	mu      sync.Mutex
	entries map[protocol.Key]*entry
}

// entry is one living actor. All but the atomics is guarded by its part's lock.
type entry struct {
	pid     *actor.PID
	used    time.Time
	retired bool
	gone    chan struct{} // closed when the actor has stopped and the entry is out

	pending atomic.Int64 // commands that were sent and not yet answered
	busy    atomic.Bool  // holds what must not be forgotten: sessions, unsaved watermarks
}

func newDirectory(c *Core) *directory {
	d := &directory{core: c, seed: maphash.MakeSeed(), stop: make(chan struct{}), swept: make(chan struct{})}
	for i := range d.parts {
		d.parts[i].entries = map[protocol.Key]*entry{}
	}
	go d.sweep() // ends when stop is closed
	return d
}

func (d *directory) part(key protocol.Key) *part {
	return &d.parts[maphash.Comparable(d.seed, key)%uint64(len(d.parts))]
}

// send enqueues a command at the actor of key, which it starts when there is
// none. It waits only for an actor of that key that is retiring.
func (d *directory) send(ctx context.Context, key protocol.Key, env envelope) error {
	for {
		gone, err := d.trySend(key, env)
		if gone == nil {
			return err
		}
		select {
		case <-gone:
		case <-ctx.Done():
			return protocol.Errorf(protocol.Unavailable, "no answer in time")
		}
	}
}

func (d *directory) trySend(key protocol.Key, env envelope) (retiring <-chan struct{}, err error) {
	p := d.part(key)
	p.mu.Lock()
	defer p.mu.Unlock()
	if d.closed.Load() {
		return nil, protocol.Errorf(protocol.Unavailable, "the server is shutting down")
	}
	e := p.entries[key]
	if e != nil && e.retired {
		return e.gone, nil
	}
	// The end of a session makes room; and there are no more ends than sessions.
	_, ends := env.command.(protocol.CloseSession)
	if !ends && d.pending.Load() >= int64(d.core.MaxPendingTotal) {
		d.core.metrics.refused.Inc()
		return nil, protocol.Errorf(protocol.Unavailable, "the server is overloaded")
	}
	if e == nil {
		e = d.spawn(p, key)
	}
	if !ends && e.pending.Load() >= int64(d.core.MaxPending) {
		d.core.metrics.refused.Inc()
		return nil, protocol.Errorf(protocol.Unavailable, "the %s is overloaded", key.Kind)
	}
	d.pending.Add(1)
	e.pending.Add(1)
	e.used = time.Now()
	d.core.system.Root.Send(e.pid, env)
	return nil, nil
}

// spawn starts the actor of a key. The caller holds the part's lock.
func (d *directory) spawn(p *part, key protocol.Key) *entry {
	e := &entry{gone: make(chan struct{})}
	o := newOwner(d.core, key, e)
	e.pid = d.core.system.Root.SpawnPrefix(actor.PropsFromProducer(func() actor.Actor { return o }), key.Kind.String())
	p.entries[key] = e
	d.core.metrics.actors.WithLabelValues(key.Kind.String()).Inc()
	return e
}

// answered tells that a command of an entry got its answer.
func (d *directory) answered(e *entry) {
	e.pending.Add(-1)
	d.pending.Add(-1)
}

// release retires an actor that has nothing to own, unless a command is on its
// way to it. The actor itself asks, and stops when it is told so.
func (d *directory) release(key protocol.Key, e *entry) bool {
	p := d.part(key)
	p.mu.Lock()
	defer p.mu.Unlock()
	if e.retired || e.pending.Load() > 0 {
		return false
	}
	e.retired = true
	return true
}

// stopped takes an actor out that has stopped. The actor calls it last.
func (d *directory) stopped(key protocol.Key, e *entry) {
	p := d.part(key)
	p.mu.Lock()
	delete(p.entries, key)
	p.mu.Unlock()
	d.core.metrics.actors.WithLabelValues(key.Kind.String()).Dec()
	close(e.gone)
}

// sweep retires idle actors until the directory closes.
func (d *directory) sweep() {
	defer close(d.swept)
	tick := time.NewTicker(max(d.core.Idle/4, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-d.stop:
			return
		case now := <-tick.C:
			for i := range d.parts {
				d.retire(&d.parts[i], func(e *entry) bool {
					return now.Sub(e.used) >= d.core.Idle && e.pending.Load() == 0 && !e.busy.Load()
				})
			}
		}
	}
}

// retire asks the actors of a part to stop after what they were sent.
func (d *directory) retire(p *part, which func(*entry) bool) []*entry {
	p.mu.Lock()
	defer p.mu.Unlock()
	var retired []*entry
	for _, e := range p.entries {
		if !e.retired && which(e) {
			e.retired = true
			d.core.system.Root.Send(e.pid, retire{})
		}
		if e.retired {
			retired = append(retired, e)
		}
	}
	return retired
}

// close refuses new commands and waits until every actor has stopped.
func (d *directory) close(ctx context.Context) error {
	if !d.closed.Swap(true) {
		close(d.stop)
	}
	<-d.swept
	for i := range d.parts {
		for _, e := range d.retire(&d.parts[i], func(*entry) bool { return true }) {
			select {
			case <-e.gone:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return nil
}
