package persistence

import (
	"sync"

	"instantd/protocol"
)

// What one transaction takes from the queue at most.
const (
	batchCommits = 256
	batchBytes   = 1 << 20 // estimated; one larger commit is a batch of its own
)

// queue holds commits between the actors and the committer, in the order in
// which they were handed over.
type queue struct {
	mu      sync.Mutex
	limit   int
	waiting []handed
	count   uint64        // handed over so far
	closed  bool          // what comes is refused
	ended   bool          // nobody takes any more
	wake    chan struct{} // holds one token when there may be something to take
}

// handed is a commit in the queue. Number counts them.
type handed struct {
	protocol.Commit
	number  uint64
	size    int   // estimated bytes
	refusal error // set: it only waits for its turn to be refused
}

func newQueue(limit int) *queue {
	return &queue{limit: limit, wake: make(chan struct{}, 1)}
}

// put queues a commit, and never blocks. One that is refused, because the limit
// is reached or the store closes, waits without its events for its turn, so that
// Done keeps its order: callers tell their commits apart by it. Those are as many
// as the callers have outstanding. Only when nobody takes any more is the refusal
// returned.
func (q *queue) put(c protocol.Commit) (refusal error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.ended {
		return errClosed
	}
	q.count++
	h := handed{Commit: c, number: q.count}
	switch {
	case q.closed:
		h.Events, h.refusal = nil, errClosed
	case len(q.waiting) >= q.limit:
		h.Events, h.refusal = nil, errQueueFull
	}
	h.size = sizeOf(h.Events)
	q.waiting = append(q.waiting, h)
	q.signal()
	return nil
}

var errQueueFull = protocol.Errorf(protocol.Unavailable, "too many commits are waiting for the disk")

// take returns what the next transaction holds, nothing when nothing waits.
func (q *queue) take() []handed {
	q.mu.Lock()
	defer q.mu.Unlock()
	n, size := 0, 0
	for n < len(q.waiting) && n < batchCommits {
		size += q.waiting[n].size
		if n > 0 && size > batchBytes {
			break
		}
		n++
	}
	batch := q.waiting[:n:n]
	q.waiting = q.waiting[n:]
	if len(q.waiting) == 0 {
		q.waiting = nil // let the array go with the batch
	}
	return batch
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default: // a token is there already
	}
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.signal()
}

// end tells whether a closed queue is empty; from then on nobody takes from it.
func (q *queue) end() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ended = q.closed && len(q.waiting) == 0
	return q.ended
}

func (q *queue) isClosed() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.closed
}

func (q *queue) length() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting)
}

// newest is the number of the commit handed over last.
func (q *queue) newest() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.count
}

// sizeOf estimates what events take in the store.
func sizeOf(events []protocol.Event) int {
	const row, member = 256, 512
	size := 0
	for _, e := range events {
		size += row
		switch e := e.(type) {
		case protocol.MessageSent:
			size += e.Content.Size()
		case protocol.MessageUpdated:
			size += e.Content.Size()
		case protocol.ConversationCreated:
			size += member * len(e.Members)
		case protocol.MembersAdded:
			size += member * len(e.Members)
		case protocol.MembersRemoved:
			size += member * len(e.Members)
		case protocol.ConversationDissolved:
			size += member * len(e.Members)
		case protocol.ReceiptsAdvanced:
			size += row * len(e.Receipts)
		}
	}
	return size
}
