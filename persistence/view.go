package persistence

import (
	"errors"
	"fmt"
	"sync"

	"github.com/dgraph-io/badger/v4"

	"instantd/protocol"
)

// views hands out the newest durable state for reading. Readers share one
// transaction per commit, because Badger lets a transaction that is begun
// during a sync wait for it. A read-only transaction is safe to share.
type views struct {
	mu      sync.Mutex
	current *view // nil when closed
	readers sync.WaitGroup
}

type view struct {
	txn   *badger.Txn
	users int // guarded by views.mu; the current view counts as one
}

// replace makes txn what is read from now on.
func (v *views) replace(txn *badger.Txn) {
	v.mu.Lock()
	defer v.mu.Unlock()
	old := v.current
	v.current = &view{txn: txn, users: 1}
	if old != nil {
		old.release()
	}
}

// close ends reading and waits for those who do.
func (v *views) close() {
	v.mu.Lock()
	if v.current != nil {
		v.current.release()
		v.current = nil
	}
	v.mu.Unlock()
	v.readers.Wait()
}

func (v *view) release() {
	v.users--
	if v.users == 0 {
		v.txn.Discard()
	}
}

func (v *views) read(f func(*badger.Txn) error) error {
	v.mu.Lock()
	current := v.current
	if current == nil {
		v.mu.Unlock()
		return errClosed
	}
	current.users++
	v.readers.Add(1)
	v.mu.Unlock()

	defer func() {
		v.mu.Lock()
		current.release()
		v.mu.Unlock()
		v.readers.Done()
	}()
	return f(current.txn)
}

var errClosed = protocol.Errorf(protocol.Unavailable, "the store is closed")

// get returns the value of a key, nil and false when there is none.
func get(txn *badger.Txn, key []byte) ([]byte, bool, error) {
	item, err := txn.Get(key)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("get table %c: %w", key[0], err)
	}
	value, err := item.ValueCopy(nil)
	if err != nil {
		return nil, false, fmt.Errorf("get table %c: %w", key[0], err)
	}
	return value, true, nil
}

// getAs returns the decoded value of a key.
func getAs[T any](txn *badger.Txn, key []byte) (T, bool, error) {
	var none T
	data, found, err := get(txn, key)
	if err != nil || !found {
		return none, false, err
	}
	value, err := decode[T](data)
	return value, err == nil, err
}

// errStop ends a scan without an error.
var errStop = errors.New("stop")

// scan calls visit for every key with the prefix, from the key start (nil: the
// first), until visit returns an error. Values are read only when asked for:
// prefetching them costs a page of history five times as much.
func scan(txn *badger.Txn, prefix, start []byte, visit func(*badger.Item) error) error {
	if start == nil {
		start = prefix
	}
	return iterate(txn, badger.IteratorOptions{Prefix: prefix}, start, visit)
}

// scanBack is scan downwards from the largest key that is not above start.
func scanBack(txn *badger.Txn, prefix, start []byte, visit func(*badger.Item) error) error {
	return iterate(txn, badger.IteratorOptions{Prefix: prefix, Reverse: true}, start, visit)
}

func iterate(txn *badger.Txn, options badger.IteratorOptions, start []byte, visit func(*badger.Item) error) error {
	it := txn.NewIterator(options)
	defer it.Close()
	for it.Seek(start); it.Valid(); it.Next() {
		err := visit(it.Item())
		if errors.Is(err, errStop) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// above is a key that no key with the prefix exceeds. Badger needs it to seek
// backwards: with the prefix alone it finds nothing.
func above(prefix []byte) []byte {
	k := append([]byte(nil), prefix...)
	return append(k, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF)
}
