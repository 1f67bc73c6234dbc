package persistence

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/dgraph-io/badger/v4"

	"instantd/protocol"
)

// Report is what Check found.
type Report struct {
	Conversations int
	Records       int // in the order of the server
	Members       int
	Users         int
	Tokens        int
	Problems      []string // one printable line each; at most maxProblems
}

const maxProblems = 1000

// OK tells whether nothing is wrong.
func (r Report) OK() bool { return len(r.Problems) == 0 }

// Check checks the store of a folder that no server uses. It changes nothing
// but what opening it does after a crash.
func Check(dir string) (Report, error) {
	if _, err := os.Stat(filepath.Join(dir, storeName)); err != nil {
		return Report{}, fmt.Errorf("check: %w", err)
	}
	options := Options{Dir: dir}.withDefaults()
	lock, err := lockDir(dir)
	if err != nil {
		return Report{}, fmt.Errorf("check: %w", err)
	}
	defer lock.Close()
	if err := verifyTables(filepath.Join(dir, storeName)); err != nil {
		// Badger takes a damaged block for the end of a table, or panics over it:
		// it is not asked.
		return Report{Problems: []string{printable(fmt.Sprintf("the store is damaged: %v", err))}}, nil
	}
	db, err := openBadger(options)
	if err != nil {
		return Report{}, fmt.Errorf("check: %w", err)
	}
	version, err := schemaOf(db)
	if newest := len(migrations) + 1; err == nil && version != newest {
		err = fmt.Errorf("the store has form %d, this program checks form %d", version, newest)
	}
	var report Report
	if err == nil {
		err = db.View(func(txn *badger.Txn) (err error) {
			report, err = check(txn)
			return err
		})
	}
	return report, errors.Join(err, db.Close())
}

// Check checks the newest durable state while the server goes on.
func (s *Store) Check() (report Report, err error) {
	err = s.views.read(func(txn *badger.Txn) (err error) {
		report, err = check(txn)
		return err
	})
	return report, err
}

// check reads the whole store once. What it cannot read or what contradicts
// itself is a problem, not an error.
func check(txn *badger.Txn) (Report, error) {
	c := &checking{txn: txn}
	for _, part := range []func() error{
		c.log, c.order, c.conversations, c.members, c.standings, c.users, c.tokens, c.indices, c.clients, c.pairs,
	} {
		if err := part(); err != nil {
			return c.report, fmt.Errorf("check: %w", err)
		}
	}
	return c.report, nil
}

type checking struct {
	txn    *badger.Txn
	report Report
}

func (c *checking) problem(format string, args ...any) {
	if len(c.report.Problems) < maxProblems {
		c.report.Problems = append(c.report.Problems, printable(fmt.Sprintf(format, args...)))
	}
}

// printable escapes, as Go does, what is not to reach a terminal: a damaged
// name may be any bytes.
func printable(line string) string {
	var b strings.Builder
	for len(line) > 0 {
		r, n := utf8.DecodeRuneInString(line)
		if strconv.IsPrint(r) && (r != utf8.RuneError || n > 1) {
			b.WriteString(line[:n])
		} else {
			quoted := strconv.Quote(line[:n])
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		line = line[n:]
	}
	return b.String()
}

// each calls look for every row of a table. An error of look is a problem.
func (c *checking) each(table byte, look func(key, value []byte, item *badger.Item) error) error {
	return scan(c.txn, []byte{table}, nil, func(item *badger.Item) error {
		value, err := item.ValueCopy(nil)
		if err != nil {
			c.problem("table %c: a value cannot be read: %v", table, err)
			return nil
		}
		if err := look(item.Key(), value, item); err != nil {
			c.problem("table %c: %v", table, err)
		}
		return nil
	})
}

func (c *checking) has(key []byte) bool {
	_, found, err := get(c.txn, key)
	return found && err == nil
}

// log checks that every conversation's records are dense in seq, ascending in
// id, readable, and in the order of the server, and that nothing is left of
// what was taken back.
func (c *checking) log() error {
	var (
		current protocol.ConversationID
		last    head
	)
	return c.each(tableLog, func(key, value []byte, _ *badger.Item) error {
		id, at, seq, err := splitLog(key)
		if err != nil {
			return err
		}
		if id != current {
			current, last = id, head{}
			c.report.Conversations++
			if !id.IsFeed() && !c.has(conversationKey(id)) {
				c.problem("conversation %s has a log, but is not known", id)
			}
		}
		if seq != last.seq+1 {
			c.problem("conversation %s: seq %d follows %d", id, seq, last.seq)
		}
		if at <= last.id {
			c.problem("conversation %s: id %s of seq %d does not follow %s", id, at, seq, last.id)
		}
		last = head{seq: seq, id: at}
		event, err := decodeEvent(value)
		if err != nil {
			c.problem("conversation %s: seq %d: %v", id, seq, err)
		}
		if sent, is := event.(protocol.MessageSent); is && sent.State >= protocol.MessageTakenBack && sent.Content.Size() > 0 {
			c.problem("conversation %s: seq %d was taken back, and still has content", id, seq)
		}
		order, found, err := get(c.txn, orderKey(at))
		if err != nil {
			return err
		}
		if !found || !bytes.Equal(order, pointer(id, seq)) {
			c.problem("conversation %s: seq %d is not in the order of the server", id, seq)
		}
		return nil
	})
}

// order checks that every record in the order of the server can be read.
func (c *checking) order() error {
	last, err := getState(c.txn, stateLast)
	if err != nil {
		return err
	}
	return c.each(tableOrder, func(key, value []byte, _ *badger.Item) error {
		c.report.Records++
		if len(key) != 1+numberSize {
			return fmt.Errorf("key of %d bytes is malformed", len(key))
		}
		id := orderID(key)
		if uint64(id) > last {
			c.problem("record %s is newer than the last id %d", id, last)
		}
		if _, err := recordAt(c.txn, id, value); err != nil {
			c.problem("record %s: %v", id, err)
		}
		return nil
	})
}

func (c *checking) conversations() error {
	return c.each(tableConversation, func(key, value []byte, _ *badger.Item) error {
		id := protocol.ConversationID(key[1:])
		known, err := decode[protocol.Conversation](value)
		if err != nil {
			return fmt.Errorf("conversation %s: %w", id, err)
		}
		if known.ID != id {
			c.problem("conversation %s is stored as %s", known.ID, id)
		}
		at, err := headOf(c.txn, id)
		if err != nil {
			return err
		}
		if at.seq == 0 {
			c.problem("conversation %s is known, but has no log", id)
		}
		return nil
	})
}

// ending tells whether a row may be gone already in another table: both expire
// in the same second, but are not read in the same one.
func ending(item *badger.Item) bool {
	return item.ExpiresAt() != 0 && item.ExpiresAt() < uint64(time.Now().Add(time.Hour).Unix())
}

func (c *checking) members() error {
	return c.each(tableMember, func(key, value []byte, item *badger.Item) error {
		c.report.Members++
		id, user, err := splitTwo(key)
		if err != nil {
			return err
		}
		m, err := decodeMember(protocol.UserID(user), value)
		if err != nil {
			return fmt.Errorf("member %s of %s: %w", user, id, err)
		}
		at, err := headOf(c.txn, protocol.ConversationID(id))
		if err != nil {
			return err
		}
		if m.Since == 0 || m.Since > at.seq || m.Until > at.seq || m.Until != 0 && m.Until < m.Since {
			c.problem("member %s of %s was in from %d until %d, the newest seq is %d", user, id, m.Since, m.Until, at.seq)
		}
		if m.LeftID != 0 && (m.Until == 0 || m.LeftID <= m.JoinedID) {
			c.problem("member %s of %s joined with %s and left with %s, at seq %d", user, id, m.JoinedID, m.LeftID, m.Until)
		}
		if (m.Until != 0) != (item.UserMeta() == metaFormer) {
			c.problem("member %s of %s is marked wrongly", user, id)
		}
		standing, found, err := get(c.txn, standingKey(protocol.UserID(user), protocol.ConversationID(id)))
		if err != nil {
			return err
		}
		if (!found || !bytes.Equal(standing, value)) && !ending(item) {
			c.problem("member %s of %s is not in his list of conversations", user, id)
		}
		return nil
	})
}

func (c *checking) standings() error {
	return c.each(tableStanding, func(key, value []byte, item *badger.Item) error {
		user, id, err := splitTwo(key)
		if err != nil {
			return err
		}
		m, found, err := get(c.txn, memberKey(protocol.ConversationID(id), protocol.UserID(user)))
		if err != nil {
			return err
		}
		if (!found || !bytes.Equal(m, value)) && !ending(item) {
			c.problem("user %s lists conversation %s, which does not list him", user, id)
		}
		return nil
	})
}

// users checks every user against the index rows about him.
func (c *checking) users() error {
	newest, err := getState(c.txn, stateNumber)
	if err != nil {
		return err
	}
	return c.each(tableUser, func(key, value []byte, _ *badger.Item) error {
		c.report.Users++
		id := protocol.UserID(key[1:])
		user, err := decode[protocol.User](value)
		if err != nil {
			return fmt.Errorf("user %s: %w", id, err)
		}
		if user.ID != id {
			c.problem("user %s is stored as %s", user.ID, id)
		}
		if user.Number < 1 || uint64(user.Number) > newest {
			c.problem("user %s has number %d, the newest is %d", id, user.Number, newest)
		}
		if user.Online != c.has(userKey(tableOnline, id)) {
			c.problem("user %s: the online index contradicts him", id)
		}
		if user.Deleted != c.has(userKey(tableDeleted, id)) {
			c.problem("user %s: the index of deleted accounts contradicts him", id)
		}
		queues, _, err := getAs[[]protocol.Queue](c.txn, userKey(tableQueues, id))
		if err != nil {
			return fmt.Errorf("queues of %s: %w", id, err)
		}
		if !slices.Equal(queues, user.Queues) {
			c.problem("user %s: the queue index contradicts him", id)
		}
		return nil
	})
}

// indices checks that the index rows about users are about known ones.
func (c *checking) indices() error {
	for _, table := range []byte{tableOnline, tableDeleted, tableQueues} {
		err := c.each(table, func(key, _ []byte, _ *badger.Item) error {
			if id := protocol.UserID(key[1:]); !c.has(userKey(tableUser, id)) {
				c.problem("table %c lists the unknown user %s", table, id)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// tokens checks that every token belongs to a login that has it. Its digest is
// not told.
func (c *checking) tokens() error {
	return c.each(tableToken, func(key, value []byte, _ *badger.Item) error {
		c.report.Tokens++
		id, class, err := decodeToken(value)
		if err != nil {
			return err
		}
		user, found, err := getAs[protocol.User](c.txn, userKey(tableUser, id))
		if err != nil {
			return fmt.Errorf("user %s: %w", id, err)
		}
		login, has := user.Login(class)
		if !found || !has || login.Token != protocol.TokenDigest(key[1:]) {
			c.problem("a token names user %s, class %s, who does not have it", id, class)
		}
		return nil
	})
}

// clients checks that every client's name of a message leads to that message.
func (c *checking) clients() error {
	return c.each(tableClient, func(key, value []byte, _ *badger.Item) error {
		parts := bytes.SplitN(key[1:], []byte{0}, 3)
		if len(parts) != 3 {
			return fmt.Errorf("key of %d parts is malformed", len(parts))
		}
		place, err := decodeSent(value)
		if err != nil {
			return err
		}
		id := protocol.ConversationID(parts[0])
		read := func(key []byte) ([]byte, bool, error) { return get(c.txn, key) }
		sent, found, err := sentAt(read, logKey(id, place.ID, place.Seq))
		if err != nil {
			return fmt.Errorf("conversation %s: seq %d: %w", id, place.Seq, err)
		}
		if !found || string(sent.Sender) != string(parts[1]) || sent.ClientID != string(parts[2]) {
			c.problem("conversation %s: a client's message id leads to seq %d, which does not have it", id, place.Seq)
		}
		return nil
	})
}

// pairs checks that every pair leads to a conversation.
func (c *checking) pairs() error {
	return c.each(tablePair, func(_, value []byte, _ *badger.Item) error {
		if !c.has(conversationKey(protocol.ConversationID(value))) {
			c.problem("a pair leads to the unknown conversation %s", value)
		}
		return nil
	})
}
