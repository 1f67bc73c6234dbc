package persistence

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/badger/v4"

	"instantd/protocol"
)

// committer is what the one goroutine that writes knows. Everything but failed
// is its own.
type committer struct {
	last    protocol.MessageID // newest id given out
	number  int64              // newest User.Number given out
	refused map[protocol.Key]uint64
	failed  atomic.Pointer[error] // why nothing is written any more; nil while all is well

	write func(*badger.Txn) error // Commit of the transaction, unless a test makes it fail
}

func (c *committer) load(txn *badger.Txn) error {
	c.refused = map[protocol.Key]uint64{}
	c.write = (*badger.Txn).Commit
	last, err := getState(txn, stateLast)
	if err != nil {
		return err
	}
	number, err := getState(txn, stateNumber)
	if err != nil {
		return err
	}
	c.last, c.number = protocol.MessageID(last), int64(number)
	return nil
}

// broken is nil while the committer works.
func (c *committer) broken() error {
	if err := c.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// Commit queues a commit without blocking. Its Done is called exactly once, in
// the order in which commits were handed over, refused ones included. When
// Options.QueueLimit commits wait, or the store closes, it is refused with
// Unavailable in its turn; when the store is closed, before Commit returns.
//
// A commit that was handed over before the refusal of an earlier one of the same
// key was announced is refused with it: it was decided on what did not happen.
//
// A commit without events changes nothing; its Done tells that everything
// before it is decided.
func (s *Store) Commit(c protocol.Commit) {
	err := s.queue.put(c)
	if err == nil {
		return
	}
	s.metrics.refuse(err)
	c.Done(nil, err)
}

// runCommitter is the only writer. It takes what waits, syncs once, reports,
// and takes what came meanwhile. Confirmations of ways out travel with the next
// batch, or alone when there was none for a second. It ends when the queue is
// closed and empty.
func (s *Store) runCommitter() {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-s.queue.wake:
		case <-ticker.C:
			if s.outbox.isDirty() {
				s.commit(nil)
			}
		}
		for batch := s.queue.take(); len(batch) > 0; batch = s.queue.take() {
			s.commit(batch)
		}
		if s.queue.end() {
			s.commit(nil)
			return
		}
	}
}

// commit makes commits durable: in one transaction, or in several when they
// are too large for one.
func (s *Store) commit(commits []handed) {
	b := s.newBatch()
	for _, h := range commits {
		records, err := s.admit(b, h)
		if errors.Is(err, errFull) && !b.isEmpty() {
			s.finish(b)
			b = s.newBatch()
			records, err = s.admit(b, h)
		}
		if errors.Is(err, errFull) {
			b.refused[h.Key] = true
			err = protocol.Errorf(protocol.TooLarge, "the change is larger than one transaction may be")
		}
		b.outcomes = append(b.outcomes, outcome{h, records, err})
	}
	s.finish(b)
}

// admit puts a commit into the batch, or tells why it is refused. A commit
// that follows a refused one is refused, in this batch or a later one.
func (s *Store) admit(b *batch, h handed) ([]protocol.Record, error) {
	if h.refusal != nil {
		return nil, h.refusal
	}
	if len(h.Events) == 0 {
		return nil, nil
	}
	if err := s.committer.broken(); err != nil {
		return nil, err
	}
	if b.refused[h.Key] || h.number <= s.committer.refused[h.Key] {
		return nil, errFollows
	}
	records, err := b.add(h.Commit)
	if err != nil && !errors.Is(err, errFull) {
		b.refused[h.Key] = true
	}
	return records, err
}

var (
	errFollows = protocol.Errorf(protocol.Unavailable, "the change follows one that was refused")
	errGap     = protocol.Errorf(protocol.Unavailable, "the change does not go on where the conversation ends: it follows one that was refused")
)

// finish writes the batch and reports what became of its commits.
func (s *Store) finish(b *batch) {
	if err := s.write(b); err != nil {
		for i := range b.outcomes {
			if o := &b.outcomes[i]; o.err == nil {
				o.records, o.err = nil, err
			}
		}
	}
	s.remember(b.outcomes)
	for _, o := range b.outcomes {
		if o.err != nil {
			s.metrics.refuse(o.err)
			if protocol.CodeOf(o.err) == protocol.Internal {
				s.log.Error("commit refused", "key", o.Key.String(), "error", o.err)
			}
		}
		o.Done(o.records, o.err)
	}
}

// remember keeps up to which number commits of a refused key follow a refusal,
// and forgets what is past. One that was refused for following another has no
// followers of its own: what is handed over after the first refusal was
// announced may be decided on the state without both.
func (s *Store) remember(outcomes []outcome) {
	if len(outcomes) == 0 {
		return
	}
	past := outcomes[len(outcomes)-1].number
	for key, until := range s.committer.refused {
		if until <= past {
			delete(s.committer.refused, key)
		}
	}
	for _, o := range outcomes {
		if o.err != nil && !errors.Is(o.err, errFollows) {
			s.committer.refused[o.Key] = s.queue.newest()
		}
	}
}

// write makes the batch durable and shows it to readers.
func (s *Store) write(b *batch) error {
	if err := b.seal(); err != nil {
		b.txn.Discard()
		s.heads.forget(b.heads)
		return err
	}
	if b.isEmpty() {
		b.txn.Discard()
		return nil
	}
	began := time.Now()
	if err := s.committer.write(b.txn); err != nil {
		// Badger shows what it could not sync. Only reading the disk anew tells
		// what is on it.
		failure := protocol.Errorf(protocol.Unavailable, "the store cannot write until the server is started anew")
		s.committer.failed.Store(&failure)
		s.heads.forget(b.heads)
		s.log.Error("commit failed, writes are refused until restart", "error", err)
		return failure
	}
	s.metrics.observe(time.Since(began), b.commits)

	s.committer.last, s.committer.number = b.last, b.number
	s.views.replace(s.db.NewTransaction(false))
	s.heads.advance(b.heads)
	s.deleted.change(b.deleted)
	s.outbox.saved(b.positions)
	s.outbox.advance(b.last)
	return nil
}

func getState(txn *badger.Txn, name string) (uint64, error) {
	data, found, err := get(txn, stateKey(name))
	if err != nil || !found {
		return 0, err
	}
	n, err := decodeNumber(data)
	if err != nil {
		return 0, fmt.Errorf("state %s: %w", name, err)
	}
	return n, nil
}
