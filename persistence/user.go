package persistence

import (
	"fmt"
	"slices"
	"sync"

	"github.com/dgraph-io/badger/v4"

	"instantd/protocol"
)

// user drafts a record of a user. It stamps the number of a new one.
func (d *draft) user(r protocol.Record) (protocol.Record, error) {
	id := protocol.UserID(r.Key.ID)
	if e, is := r.Event.(protocol.ReceiptsAdvanced); is {
		if err := d.receipts(id, e); err != nil {
			return r, err
		}
		return r, d.inOrder(r)
	}
	before, _, err := draftGet[protocol.User](d, userKey(tableUser, id))
	if err != nil {
		return r, fmt.Errorf("user %s: %w", id, err)
	}
	if e, is := r.Event.(protocol.UserImported); is {
		e.Number = before.Number
		if before.ID == "" {
			d.number++
			e.Number = d.number
		}
		r.Event = e
	}
	after := before.Apply(r)
	if after.ID == "" {
		return r, protocol.Errorf(protocol.NotFound, "user %s is not known", id)
	}
	if err := d.tokens(before, r); err != nil {
		return r, err
	}
	if err := d.setAs(userKey(tableUser, id), after); err != nil {
		return r, err
	}
	if err := d.userIndices(before, after); err != nil {
		return r, err
	}
	return r, d.inOrder(r)
}

// userIndices drafts the index rows in which two states of a user differ.
func (d *draft) userIndices(before, after protocol.User) error {
	id := after.ID
	if !slices.Equal(before.Queues, after.Queues) {
		d.drop(userKey(tableQueues, id))
		if len(after.Queues) > 0 {
			if err := d.setAs(userKey(tableQueues, id), after.Queues); err != nil {
				return err
			}
		}
	}
	if before.Online != after.Online {
		d.mark(userKey(tableOnline, id), after.Online)
	}
	if before.Deleted != after.Deleted {
		d.mark(userKey(tableDeleted, id), after.Deleted)
		if d.deleted == nil {
			d.deleted = map[protocol.UserID]bool{}
		}
		d.deleted[id] = after.Deleted
	}
	return nil
}

// mark drafts an index row without a value.
func (d *draft) mark(key []byte, present bool) {
	if present {
		d.set(key, nil)
		return
	}
	d.drop(key)
}

// User returns a user as his events left him.
func (s *Store) User(id protocol.UserID) (user protocol.User, found bool, err error) {
	err = s.views.read(func(txn *badger.Txn) error {
		user, found, err = getAs[protocol.User](txn, userKey(tableUser, id))
		return err
	})
	if err != nil {
		return protocol.User{}, false, fmt.Errorf("user %s: %w", id, err)
	}
	return user, found, nil
}

// Users calls visit for every user, in order of user id, until it returns an
// error.
func (s *Store) Users(visit func(protocol.User) error) error {
	return s.views.read(func(txn *badger.Txn) error {
		return scan(txn, []byte{tableUser}, nil, func(item *badger.Item) error {
			user, err := itemAs[protocol.User](item)
			if err != nil {
				return fmt.Errorf("user %s: %w", item.Key()[1:], err)
			}
			return visit(user)
		})
	})
}

func itemAs[T any](item *badger.Item) (value T, err error) {
	err = item.Value(func(data []byte) (err error) {
		value, err = decode[T](data)
		return err
	})
	return value, err
}

// IsDeleted tells whether an account was deleted. It costs a map look-up.
func (s *Store) IsDeleted(id protocol.UserID) bool { return s.deleted.has(id) }

// deletedAccounts is tableDeleted in memory.
type deletedAccounts struct {
	mu  sync.RWMutex
	ids map[protocol.UserID]struct{}
}

func (d *deletedAccounts) load(txn *badger.Txn) error {
	d.ids = map[protocol.UserID]struct{}{}
	return scan(txn, []byte{tableDeleted}, nil, func(item *badger.Item) error {
		d.ids[protocol.UserID(item.Key()[1:])] = struct{}{}
		return nil
	})
}

func (d *deletedAccounts) has(id protocol.UserID) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	_, is := d.ids[id]
	return is
}

func (d *deletedAccounts) change(changes map[protocol.UserID]bool) {
	if len(changes) == 0 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for id, deleted := range changes {
		if deleted {
			d.ids[id] = struct{}{}
		} else {
			delete(d.ids, id)
		}
	}
}
