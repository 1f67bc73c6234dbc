package instant

import (
	"sync"

	"instantd/protocol"
)

// progress is how far the broker has confirmed, and who waits for it.
type progress struct {
	mu      sync.Mutex
	settled protocol.MessageID
	waiters map[chan struct{}]protocol.MessageID
}

func (p *progress) position() protocol.MessageID {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.settled
}

func (p *progress) advance(id protocol.MessageID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.settled = max(p.settled, id)
	for waiter, wanted := range p.waiters {
		if wanted <= p.settled {
			close(waiter)
			delete(p.waiters, waiter)
		}
	}
}

// wake lets go everybody who waits: the broker is away.
func (p *progress) wake() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for waiter := range p.waiters {
		close(waiter)
	}
	clear(p.waiters)
}

// reach returns a channel that is closed when id is confirmed, or when waiting
// has become useless.
func (p *progress) reach(id protocol.MessageID) (done <-chan struct{}, forget func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	waiter := make(chan struct{})
	if id <= p.settled {
		close(waiter)
		return waiter, func() {}
	}
	if p.waiters == nil {
		p.waiters = make(map[chan struct{}]protocol.MessageID)
	}
	p.waiters[waiter] = id
	return waiter, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.waiters, waiter)
	}
}
