package persistence

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/dgraph-io/badger/v4"
)

func openRaw(t *testing.T, dir string) *badger.DB {
	t.Helper()
	db, err := openBadger(options(dir).withDefaults())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func TestAnOldStoreIsBroughtToTheNewestForm(t *testing.T) {
	t.Parallel()
	db := openRaw(t, t.TempDir())
	if err := migrate(db, nil); err != nil { // form 1
		t.Fatal(err)
	}
	var ran []string
	step := func(name string, err error) migration {
		return func(*badger.DB) error { ran = append(ran, name); return err }
	}
	broken := errors.New("interrupted")
	if err := migrate(db, []migration{step("1to2", nil), step("2to3", broken)}); !errors.Is(err, broken) {
		t.Fatalf("migrate: %v, want the error of the second step", err)
	}
	if version, err := schemaOf(db); version != 2 || err != nil {
		t.Fatalf("form is %d, %v, want 2", version, err)
	}
	for range 2 { // the second time there is nothing to do
		if err := migrate(db, []migration{step("1to2", nil), step("2to3", nil)}); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := fmt.Sprint(ran), "[1to2 2to3 2to3]"; got != want {
		t.Errorf("ran %s, want %s", got, want)
	}
	if version, err := schemaOf(db); version != 3 || err != nil {
		t.Errorf("form is %d, %v, want 3", version, err)
	}
}

func TestAStoreOfANewerServerIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	closeStore(t, open(t, options(dir)))
	db := openRaw(t, dir)
	if err := setSchema(db, len(migrations)+2); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(options(dir)); err == nil || !strings.Contains(err.Error(), "start a newer server") {
		t.Errorf("Open: %v", err)
	}
}

func TestAStoreOfAnotherProgramIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := openRaw(t, dir)
	if err := db.Update(func(txn *badger.Txn) error { return txn.Set([]byte("theirs"), []byte("data")) }); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(options(dir)); err == nil || !strings.Contains(err.Error(), "not written by this server") {
		t.Errorf("Open: %v", err)
	}
}
