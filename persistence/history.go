package persistence

import (
	"fmt"
	"math"

	"github.com/dgraph-io/badger/v4"

	"instantd/protocol"
)

// Before calls visit for the messages of a conversation with a smaller id,
// newest first, until visit returns false. Before 0 starts at the newest.
// Erased messages are left out. A page costs the same wherever it begins.
func (s *Store) Before(id protocol.ConversationID, before protocol.MessageID, visit func(protocol.Message) bool) error {
	prefix := logPrefix(id)
	start := above(prefix)
	if before > 0 {
		// Keys of before itself are longer, hence larger, and left out.
		start = num(logPrefix(id), before)
	}
	err := s.views.read(func(txn *badger.Txn) error {
		return scanBack(txn, prefix, start, func(item *badger.Item) error {
			m := protocol.Message{Conversation: id}
			m.ID, m.Seq = placeOf(item.Key())
			is, err := readMessage(item, &m)
			if err != nil {
				return fmt.Errorf("message %s: %w", m.ID, err)
			}
			if is && !visit(m) {
				return errStop
			}
			return nil
		})
	})
	if err != nil {
		return fmt.Errorf("history of %s: %w", id, err)
	}
	return nil
}

// readMessage tells whether a log row is a message that histories show.
func readMessage(item *badger.Item, m *protocol.Message) (is bool, err error) {
	err = item.Value(func(value []byte) error {
		if len(value) == 0 || value[0] != numberSent {
			return nil
		}
		m.MessageSent, err = decode[protocol.MessageSent](value[1:])
		is = m.State != protocol.MessageErased
		return err
	})
	return is && err == nil, err
}

// After calls visit for the records of a conversation with a larger id, oldest
// first, until visit returns false.
func (s *Store) After(id protocol.ConversationID, after protocol.MessageID, visit func(protocol.Record) bool) error {
	if after == math.MaxInt64 {
		return nil
	}
	prefix := logPrefix(id)
	start := num(logPrefix(id), max(after, 0)+1)
	err := s.views.read(func(txn *badger.Txn) error {
		return scan(txn, prefix, start, func(item *badger.Item) error {
			r := protocol.Record{Key: protocol.ConversationKey(id)}
			r.ID, r.Seq = placeOf(item.Key())
			err := item.Value(func(value []byte) (err error) {
				r.Event, err = decodeEvent(value)
				return err
			})
			if err != nil {
				return fmt.Errorf("record %s: %w", r.ID, err)
			}
			if r, err = resolve(txn, r); err != nil {
				return err
			}
			if !visit(r) {
				return errStop
			}
			return nil
		})
	})
	if err != nil {
		return fmt.Errorf("log of %s: %w", id, err)
	}
	return nil
}

// Locate finds where to go on after seq, looking back over at most limit
// records: After(id, at) then begins with the record at Seq first. Records
// between seq and first are beyond the limit. When nothing follows seq, first
// is seq+1. It reads keys only.
func (s *Store) Locate(id protocol.ConversationID, seq protocol.Seq, limit int) (at protocol.MessageID, first protocol.Seq, err error) {
	prefix := logPrefix(id)
	first = seq + 1 // of an empty log
	err = s.views.read(func(txn *badger.Txn) error {
		passed := 0
		return scanBack(txn, prefix, above(prefix), func(item *badger.Item) error {
			here, place := placeOf(item.Key())
			if passed == 0 {
				at, first = here, max(place, seq)+1 // after everything
			}
			if place <= seq || passed >= limit {
				return errStop
			}
			// Ids grow with seq: what comes after here-1 begins here.
			at, first = here-1, place
			passed++
			return nil
		})
	})
	if err != nil {
		return 0, 0, fmt.Errorf("log of %s: %w", id, err)
	}
	return at, first, nil
}
