package persistence

import (
	"context"
	"fmt"
	"maps"
	"sync"

	"github.com/dgraph-io/badger/v4"

	"instantd/protocol"
)

// outbox knows the newest durable id and how far each way out confirmed.
// Confirmations are stored by the committer.
type outbox struct {
	mu        sync.Mutex
	last      protocol.MessageID
	news      chan struct{} // closed when last moves, or when the store closes
	closed    bool
	positions map[string]protocol.MessageID
	dirty     map[string]bool // not stored yet
}

// MaxDepth is where Depth stops counting.
const MaxDepth = 1_000_000

// maxWays bounds the ways out. They are the server's own parts.
const maxWays = 128

func (o *outbox) load(txn *badger.Txn, last protocol.MessageID) error {
	o.last, o.news = last, make(chan struct{})
	o.positions, o.dirty = map[string]protocol.MessageID{}, map[string]bool{}
	return scan(txn, []byte{tablePosition}, nil, func(item *badger.Item) error {
		return item.Value(func(value []byte) error {
			id, err := decodeNumber(value)
			o.positions[string(item.Key()[1:])] = protocol.MessageID(id)
			return err
		})
	})
}

func (o *outbox) newest() protocol.MessageID {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.last
}

// advance tells those who wait that there is something newer.
func (o *outbox) advance(last protocol.MessageID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if last <= o.last {
		return
	}
	o.last = last
	close(o.news)
	o.news = make(chan struct{})
}

func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	close(o.news)
}

func (o *outbox) isDirty() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.dirty) > 0
}

// unsaved returns at most limit positions that are not stored yet.
func (o *outbox) unsaved(limit int) map[string]protocol.MessageID {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.dirty) == 0 {
		return nil
	}
	positions := map[string]protocol.MessageID{}
	for way := range o.dirty {
		if len(positions) == limit {
			break
		}
		positions[way] = o.positions[way]
	}
	return positions
}

// saved notes what was stored. What moved on meanwhile stays to be stored.
func (o *outbox) saved(positions map[string]protocol.MessageID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for way, id := range positions {
		if o.positions[way] == id {
			delete(o.dirty, way)
		}
	}
}

// Position is the last id that a way out confirmed. A new way begins at the
// newest id, and that is stored before Position returns.
func (s *Store) Position(way string) (protocol.MessageID, error) {
	id, unsaved, err := s.outbox.position(way)
	if err != nil || !unsaved {
		return id, err
	}
	if err := s.Ready(); err != nil {
		return 0, err
	}
	stored := make(chan error, 1)
	s.Commit(protocol.Commit{Done: func(_ []protocol.Record, err error) { stored <- err }})
	if err := <-stored; err != nil {
		return 0, err
	}
	return id, nil
}

// position returns a way's position, which is new or not stored yet when unsaved.
func (o *outbox) position(way string) (id protocol.MessageID, unsaved bool, err error) {
	if err := checkID("way", way); err != nil {
		return 0, false, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if id, known := o.positions[way]; known {
		return id, o.dirty[way], nil
	}
	if len(o.positions) >= maxWays {
		return 0, false, protocol.Errorf(protocol.TooLarge, "there are %d ways out already", maxWays)
	}
	o.positions[way], o.dirty[way] = o.last, true
	return o.last, true, nil
}

// Read returns at most limit records after an id, oldest first, as they are
// stored now.
func (s *Store) Read(after protocol.MessageID, limit int) (records []protocol.Record, err error) {
	if limit <= 0 {
		return nil, nil
	}
	err = s.views.read(func(txn *badger.Txn) error {
		return scan(txn, []byte{tableOrder}, orderKey(max(after, 0)+1), func(item *badger.Item) error {
			id := orderID(item.Key())
			return item.Value(func(value []byte) error {
				r, err := recordAt(txn, id, value)
				if err != nil {
					return fmt.Errorf("record %s: %w", id, err)
				}
				records = append(records, r)
				if len(records) == limit {
					return errStop
				}
				return nil
			})
		})
	})
	if err != nil {
		return nil, fmt.Errorf("read outbox: %w", err)
	}
	return records, nil
}

// Wait returns when something newer than after is committed, with the error of
// ctx, or with Unavailable when the store closes.
func (s *Store) Wait(ctx context.Context, after protocol.MessageID) error {
	for {
		s.outbox.mu.Lock()
		last, news, closed := s.outbox.last, s.outbox.news, s.outbox.closed
		s.outbox.mu.Unlock()
		if last > after {
			return nil
		}
		if closed {
			return errClosed
		}
		select {
		case <-news:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Confirm notes that a way out got as far as id, and never steps back. It is
// stored with the next commit, within about a second, and on Close.
func (s *Store) Confirm(way string, id protocol.MessageID) error {
	if err := checkID("way", way); err != nil {
		return err
	}
	o := &s.outbox
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return errClosed
	}
	if id > o.last {
		return protocol.Errorf(protocol.Invalid, "%s is newer than anything that was committed", id)
	}
	old, known := o.positions[way]
	if !known && len(o.positions) >= maxWays {
		return protocol.Errorf(protocol.TooLarge, "there are %d ways out already", maxWays)
	}
	if known && id <= old {
		return nil
	}
	o.positions[way], o.dirty[way] = id, true
	return nil
}

// Depth counts the records after a way out's position, up to MaxDepth. It reads
// keys only. A way that is not known has everything before it.
func (s *Store) Depth(way string) (depth int, err error) {
	s.outbox.mu.Lock()
	after, last := s.outbox.positions[way], s.outbox.last
	s.outbox.mu.Unlock()
	if after >= last {
		return 0, nil
	}
	err = s.views.read(func(txn *badger.Txn) error {
		return scan(txn, []byte{tableOrder}, orderKey(after+1), func(*badger.Item) error {
			depth++
			if depth == MaxDepth {
				return errStop
			}
			return nil
		})
	})
	return depth, err
}

// Ways are the ways out with their positions.
func (s *Store) Ways() map[string]protocol.MessageID {
	s.outbox.mu.Lock()
	defer s.outbox.mu.Unlock()
	return maps.Clone(s.outbox.positions)
}
