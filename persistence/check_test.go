package persistence

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/dgraph-io/badger/v4"

	"instantd/protocol"
)

func TestCheckFindsDamage(t *testing.T) {
	t.Parallel()
	encoded := func(t *testing.T, e protocol.Event) []byte {
		t.Helper()
		data, err := encodeEvent(e)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	for _, c := range []struct {
		name   string
		damage func(t *testing.T, txn *badger.Txn, ids []protocol.MessageID) error
		want   string
	}{
		{"a record that is missing", func(_ *testing.T, txn *badger.Txn, ids []protocol.MessageID) error {
			return txn.Delete(logKey("c", ids[3], 3))
		}, "seq 4 follows 2"},
		{"an order row that is missing", func(_ *testing.T, txn *badger.Txn, ids []protocol.MessageID) error {
			return txn.Delete(orderKey(ids[3]))
		}, "seq 3 is not in the order"},
		{"an order row that leads nowhere", func(_ *testing.T, txn *badger.Txn, ids []protocol.MessageID) error {
			return txn.Set(orderKey(ids[1]-1), pointer("c", 77))
		}, "has no row for record"},
		{"an order row beyond the last id", func(_ *testing.T, txn *badger.Txn, ids []protocol.MessageID) error {
			return txn.Set(orderKey(protocol.MaxMessageID), pointer("c", 2))
		}, "newer than the last id"},
		{"a record that is torn", func(_ *testing.T, txn *badger.Txn, ids []protocol.MessageID) error {
			return txn.Set(logKey("c", ids[2], 2), []byte{numberSent, 0xff})
		}, "malformed"},
		{"content that should be gone", func(t *testing.T, txn *badger.Txn, ids []protocol.MessageID) error {
			m := text1("ann", "secret")
			m.State = protocol.MessageTakenBack
			return txn.Set(logKey("c", ids[2], 2), encoded(t, m))
		}, "still has content"},
		{"a conversation that is forgotten", func(_ *testing.T, txn *badger.Txn, _ []protocol.MessageID) error {
			return txn.Delete(conversationKey("c"))
		}, "is not known"},
		{"a member without a standing", func(_ *testing.T, txn *badger.Txn, _ []protocol.MessageID) error {
			return txn.Delete(standingKey("ann", "c"))
		}, "is not in his list"},
		{"a standing without a member", func(_ *testing.T, txn *badger.Txn, _ []protocol.MessageID) error {
			return txn.Delete(memberKey("c", "ann"))
		}, "does not list him"},
		{"a member from beyond the newest record", func(t *testing.T, txn *badger.Txn, _ []protocol.MessageID) error {
			value, err := encodeMember(member{Member: protocol.Member{User: "ann", Since: 99}})
			if err != nil {
				return err
			}
			return txn.Set(memberKey("c", "ann"), value)
		}, "was in from 99"},
		{"a member that is marked wrongly", func(t *testing.T, txn *badger.Txn, _ []protocol.MessageID) error {
			value, err := encodeMember(member{Member: protocol.Member{User: "ann", Since: 1}})
			if err != nil {
				return err
			}
			return txn.SetEntry(badger.NewEntry(memberKey("c", "ann"), value).WithMeta(metaFormer))
		}, "marked wrongly"},
		{"a token of nobody", func(_ *testing.T, txn *badger.Txn, _ []protocol.MessageID) error {
			return txn.Set(tokenKey("stray"), []byte("eve\x00pc"))
		}, "a token names user eve"},
		{"a token that its login does not have", func(_ *testing.T, txn *badger.Txn, _ []protocol.MessageID) error {
			return txn.Set(tokenKey("other"), []byte("ann\x00pc"))
		}, "who does not have it"},
		{"an online index that lies", func(_ *testing.T, txn *badger.Txn, _ []protocol.MessageID) error {
			return txn.Set(userKey(tableOnline, "ann"), nil)
		}, "the online index contradicts"},
		{"a queue index that lies", func(_ *testing.T, txn *badger.Txn, _ []protocol.MessageID) error {
			return txn.Delete(userKey(tableQueues, "ann"))
		}, "the queue index contradicts"},
		{"an index of deleted accounts that lies", func(_ *testing.T, txn *badger.Txn, _ []protocol.MessageID) error {
			return txn.Set(userKey(tableDeleted, "eve"), nil)
		}, "unknown user eve"},
		{"a number that was not given out", func(_ *testing.T, txn *badger.Txn, _ []protocol.MessageID) error {
			return txn.Set(stateKey(stateNumber), num(nil, int64(0)))
		}, "has number 1, the newest is 0"},
		{"a client id that leads astray", func(_ *testing.T, txn *badger.Txn, ids []protocol.MessageID) error {
			return txn.Set(clientKey("c", "ann", "x"), num(num(nil, ids[2]), protocol.Seq(2)))
		}, "does not have it"},
		{"a pair that leads nowhere", func(_ *testing.T, txn *badger.Txn, _ []protocol.MessageID) error {
			return txn.Set(pairKey("ann", "bob", 0), []byte("gone"))
		}, "unknown conversation gone"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s := open(t, options(dir))
			commit(t, s, protocol.UserKey("ann"), 0, protocol.UserImported{}, protocol.LoggedIn{Class: protocol.ClassPC, Token: "t"}, protocol.QueueBound{Queue: protocol.Queue{Name: "q"}})
			ids := talk(t, s, "c", 5)
			wantSound(t, s)
			closeStore(t, s)

			db, err := openBadger(options(dir).withDefaults())
			if err != nil {
				t.Fatal(err)
			}
			if err := db.Update(func(txn *badger.Txn) error { return c.damage(t, txn, ids) }); err != nil {
				t.Fatal(err)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			report, err := Check(dir)
			if err != nil {
				t.Fatal(err)
			}
			if found := strings.Join(report.Problems, "\n"); !strings.Contains(found, c.want) {
				t.Errorf("Check found:\n%s\nwant %q", found, c.want)
			}
		})
	}
}

func TestCheckPrintsNothingThatIsNotPrintable(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	talk(t, s, "c", 2)
	const id = "a\x1b[2J\xff\u202eß\u2029z"
	err := s.db.Update(func(txn *badger.Txn) error {
		return errors.Join(
			txn.Set(logKey(id, 5, 1), []byte{0xff}),
			txn.Set(append([]byte{tableStanding}, id...), nil), // no second part
			txn.Set(userKey(tableOnline, id), nil))
	})
	if err != nil {
		t.Fatal(err)
	}
	s.views.replace(s.db.NewTransaction(false))
	report, err := s.Check()
	if err != nil || len(report.Problems) < 3 {
		t.Fatalf("Check: %+v, %v", report, err)
	}
	for _, problem := range report.Problems {
		for _, r := range problem {
			if !strconv.IsPrint(r) || r == utf8.RuneError {
				t.Errorf("%q contains %q", problem, r)
			}
		}
	}
	want := `table n lists the unknown user a\x1b[2J\xff\u202eß\u2029z`
	if !slices.Contains(report.Problems, want) {
		t.Errorf("Check found:\n%s\nwant %s", strings.Join(report.Problems, "\n"), want)
	}
}

func TestCheckFindsDamageOfATable(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, options(dir))
	talk(t, s, "c", 50)
	closeStore(t, s)
	tables, err := filepath.Glob(filepath.Join(dir, storeName, "*.sst"))
	if err != nil || len(tables) == 0 {
		t.Fatalf("the tables are %v, %v", tables, err)
	}
	whole, err := os.ReadFile(tables[0])
	if err != nil {
		t.Fatal(err)
	}
	const places = 16
	for i := range places {
		const torn = 8 // a single bit of compressed data may mean nothing
		at := i * (len(whole) - torn) / (places - 1)
		damaged := slices.Clone(whole)
		for j := range torn {
			damaged[at+j] ^= 0xff
		}
		if err := os.WriteFile(tables[0], damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		report, err := Check(dir)
		if err != nil || report.OK() {
			t.Errorf("damage at %d of %d is not found: %v", at, len(whole), err)
		}
	}

	if err := os.Remove(tables[0]); err != nil {
		t.Fatal(err)
	}
	if report, err := Check(dir); err != nil || report.OK() {
		t.Errorf("a missing table is not found: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, storeName, badger.ManifestFilename), []byte("Bdgr and more"), 0o600); err != nil {
		t.Fatal(err)
	}
	if report, err := Check(dir); err != nil || report.OK() {
		t.Errorf("a damaged manifest is not found: %v", err)
	}
}

func TestCheckRefusesWhatItCannotCheck(t *testing.T) {
	t.Parallel()
	if _, err := Check(t.TempDir()); err == nil {
		t.Error("an empty folder was checked")
	}
	dir := t.TempDir()
	open(t, options(dir))
	if _, err := Check(dir); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a store in use: %v", err)
	}
}
