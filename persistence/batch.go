package persistence

import (
	"errors"
	"maps"
	"time"

	"github.com/dgraph-io/badger/v4"

	"instantd/protocol"
)

// batch is one transaction and the commits in it.
type batch struct {
	store *Store
	txn   *badger.Txn

	last      protocol.MessageID
	number    int64
	heads     map[protocol.ConversationID]head
	deleted   map[protocol.UserID]bool
	refused   map[protocol.Key]bool
	positions map[string]protocol.MessageID

	rows, bytes int64 // in txn
	commits     int   // that put rows
	spoiled     error // why the transaction must not be committed
	outcomes    []outcome
}

// outcome is what became of a commit.
type outcome struct {
	handed
	records []protocol.Record
	err     error
}

// errFull tells that a commit finds no room in the batch.
var errFull = errors.New("the transaction is full")

// Room that a batch keeps for the rows that seal it.
const (
	sealRows  = 256
	sealBytes = 64 << 10
)

func (s *Store) newBatch() *batch {
	return &batch{
		store: s, txn: s.db.NewTransaction(true),
		last: s.committer.last, number: s.committer.number,
		heads:   map[protocol.ConversationID]head{},
		deleted: map[protocol.UserID]bool{},
		refused: map[protocol.Key]bool{},
	}
}

func (b *batch) isEmpty() bool { return b.rows == 0 }

// add drafts a commit and puts it into the transaction, all of it or nothing.
func (b *batch) add(c protocol.Commit) ([]protocol.Record, error) {
	if err := checkID(c.Key.Kind.String()+" id", c.Key.ID); err != nil {
		return nil, err
	}
	if err := b.checkSeq(c); err != nil {
		return nil, err
	}
	d := &draft{txn: b.txn, number: b.number, expires: uint64(time.Now().Add(Retention).Unix())}
	records := make([]protocol.Record, len(c.Events))
	last := b.last
	for i, event := range c.Events {
		last = protocol.NextMessageID(last, b.store.options.Now())
		if last > protocol.MaxMessageID {
			return nil, protocol.Errorf(protocol.Unavailable, "the clock is beyond the range of message ids")
		}
		r := protocol.Record{ID: last, Key: c.Key, Event: event}
		if c.Key.Kind == protocol.KindConversation {
			r.Seq = c.Seq + protocol.Seq(i)
		}
		stamped, err := d.record(r)
		if err != nil {
			return nil, err
		}
		records[i] = stamped
	}
	if err := b.store.disk.refusal(); err != nil {
		return nil, err
	}
	if err := b.put(d); err != nil {
		return nil, err
	}
	b.last, b.number = last, d.number
	maps.Copy(b.deleted, d.deleted)
	if c.Key.Kind == protocol.KindConversation {
		b.heads[protocol.ConversationID(c.Key.ID)] = head{seq: records[len(records)-1].Seq, id: last}
	}
	b.commits++
	return records, nil
}

// checkSeq refuses a commit that does not go on where its conversation ends.
func (b *batch) checkSeq(c protocol.Commit) error {
	if c.Key.Kind != protocol.KindConversation {
		if c.Seq != 0 {
			return protocol.Errorf(protocol.Invalid, "only conversations have a seq, %s has not", c.Key.Kind)
		}
		return nil
	}
	id := protocol.ConversationID(c.Key.ID)
	at, known := b.heads[id]
	if !known {
		var err error
		if at, err = b.store.heads.fill(b.txn, id); err != nil {
			return err
		}
	}
	if c.Seq != at.seq+1 {
		return errGap
	}
	return nil
}

// put moves the draft's rows into the transaction.
func (b *batch) put(d *draft) error {
	rows, bytes := int64(len(d.rows)), d.bytes
	db := b.store.db
	if b.rows+rows > db.MaxBatchCount()-sealRows || b.bytes+bytes > db.MaxBatchSize()-sealBytes {
		return errFull
	}
	b.rows, b.bytes = b.rows+rows, b.bytes+bytes
	for _, row := range d.rows {
		if err := row.put(b.txn); err != nil {
			// The room was counted before. Half a commit must not reach the disk,
			// so the batch fails as a whole when it is sealed.
			b.spoiled = err
			return err
		}
	}
	return nil
}

// seal adds the rows that a batch ends with: the counters, and the
// confirmations of ways out that are not stored yet.
func (b *batch) seal() error {
	if b.spoiled != nil {
		return protocol.Errorf(protocol.Unavailable, "the transaction could not be put together: %v", b.spoiled)
	}
	var ends []row
	if b.rows > 0 {
		ends = append(ends,
			row{key: stateKey(stateLast), value: num(nil, b.last)},
			row{key: stateKey(stateNumber), value: num(nil, b.number)})
	}
	if b.store.committer.broken() == nil && b.store.disk.refusal() == nil {
		b.positions = b.store.outbox.unsaved(sealRows - len(ends) - 1)
	}
	for way, id := range b.positions {
		ends = append(ends, row{key: positionKey(way), value: num(nil, id)})
	}
	for _, row := range ends {
		if err := row.put(b.txn); err != nil {
			return protocol.Errorf(protocol.Unavailable, "the transaction could not be put together: %v", err)
		}
	}
	b.rows += int64(len(ends))
	return nil
}
