package persistence

import (
	"fmt"

	"github.com/dgraph-io/badger/v4"
)

// migration brings the store from one version of the stored form to the next.
// It may be interrupted and run again from its beginning: the version is
// written after it, so it must accept what it did already.
type migration func(*badger.DB) error

// migrations are in order: the first one makes version 2 of version 1.
// The list only grows.
var migrations []migration

// migrate brings a store to the newest version, and marks a new one with it.
func migrate(db *badger.DB, list []migration) error {
	newest := len(list) + 1
	version, err := schemaOf(db)
	if err != nil {
		return err
	}
	if version == 0 {
		return setSchema(db, newest)
	}
	if version > newest {
		return fmt.Errorf("the store has form %d, this server knows forms up to %d: start a newer server", version, newest)
	}
	for ; version < newest; version++ {
		if err := list[version-1](db); err != nil {
			return fmt.Errorf("bring the store from form %d to %d: %w", version, version+1, err)
		}
		if err := setSchema(db, version+1); err != nil {
			return err
		}
	}
	return nil
}

// schemaOf is the version of a store, 0 for an empty one.
func schemaOf(db *badger.DB) (version int, err error) {
	err = db.View(func(txn *badger.Txn) error {
		n, err := getState(txn, stateSchema)
		if err != nil {
			return err
		}
		version = int(n)
		if version != 0 {
			return nil
		}
		return scan(txn, nil, nil, func(*badger.Item) error {
			return fmt.Errorf("the store does not say its form: it was not written by this server")
		})
	})
	return version, err
}

func setSchema(db *badger.DB, version int) error {
	err := db.Update(func(txn *badger.Txn) error {
		return txn.Set(stateKey(stateSchema), num(nil, int64(version)))
	})
	if err != nil {
		return fmt.Errorf("mark the store with form %d: %w", version, err)
	}
	return nil
}
