package persistence

import (
	"fmt"

	"github.com/dgraph-io/badger/v4"

	"instantd/protocol"
)

// draft is what one commit would write, on top of the batch's transaction. It
// can be thrown away without a trace, which a transaction cannot.
type draft struct {
	txn     *badger.Txn
	rows    []row
	at      map[string]int // key → index in rows
	bytes   int64
	number  int64 // newest User.Number
	deleted map[protocol.UserID]bool
	expires uint64 // when rows that do not last go, in Unix seconds
}

// row is one key to be set, or deleted when gone.
type row struct {
	key, value []byte
	gone       bool
	meta       byte
	expires    uint64 // Unix seconds; 0 never
}

func (r row) put(txn *badger.Txn) error {
	if r.gone {
		return txn.Delete(r.key)
	}
	return txn.SetEntry(&badger.Entry{Key: r.key, Value: r.value, UserMeta: r.meta, ExpiresAt: r.expires})
}

func (d *draft) put(r row) {
	// What Badger counts for an entry, and a little more.
	d.bytes += int64(len(r.key)+len(r.value)) + 24
	if i, drafted := d.at[string(r.key)]; drafted {
		d.rows[i] = r
		return
	}
	if d.at == nil {
		d.at = map[string]int{}
	}
	d.at[string(r.key)] = len(d.rows)
	d.rows = append(d.rows, r)
}

func (d *draft) set(key, value []byte) { d.put(row{key: key, value: value}) }

func (d *draft) drop(key []byte) { d.put(row{key: key, gone: true}) }

func (d *draft) setAs(key []byte, value any) error {
	data, err := encode(value)
	if err != nil {
		return err
	}
	d.set(key, data)
	return nil
}

// get reads a key as the draft leaves it.
func (d *draft) get(key []byte) ([]byte, bool, error) {
	if i, drafted := d.at[string(key)]; drafted {
		return d.rows[i].value, !d.rows[i].gone, nil
	}
	return get(d.txn, key)
}

func draftGet[T any](d *draft, key []byte) (T, bool, error) {
	var none T
	data, found, err := d.get(key)
	if err != nil || !found {
		return none, false, err
	}
	value, err := decode[T](data)
	return value, err == nil, err
}

// record drafts the rows of one event with everything that follows from it. It
// returns the record with what the commit stamped into the event.
func (d *draft) record(r protocol.Record) (protocol.Record, error) {
	switch r.Key.Kind {
	case protocol.KindConversation:
		return r, d.conversation(r)
	case protocol.KindUser:
		return d.user(r)
	case protocol.KindSite:
		return r, d.site(r)
	}
	return r, protocol.Errorf(protocol.Invalid, "%s owns nothing that is stored", r.Key)
}

// inOrder drafts the order row of a user's or the site's record.
func (d *draft) inOrder(r protocol.Record) error {
	event, err := encodeEvent(r.Event)
	if err != nil {
		return err
	}
	d.put(row{key: orderKey(r.ID), value: inline(r.Key, event), expires: d.expires})
	return nil
}

// inLog drafts the log row of a conversation's record, and the pointer to it.
func (d *draft) inLog(r protocol.Record) error {
	event, err := encodeEvent(r.Event)
	if err != nil {
		return err
	}
	id := r.Conversation()
	d.set(logKey(id, r.ID, r.Seq), event)
	d.set(orderKey(r.ID), pointer(id, r.Seq))
	return nil
}

// conversation drafts a record of a conversation. Messages come first: they
// are nearly all there is.
func (d *draft) conversation(r protocol.Record) error {
	switch e := r.Event.(type) {
	case protocol.MessageSent:
		return d.sent(r, e)
	case protocol.MessageUpdated:
		if err := d.rewrite(r.Conversation(), e.Message, e.Target, protocol.MessageEdited, e.Content); err != nil {
			return err
		}
		// The content stands in the message's row alone; see resolve.
		e.Content = protocol.Content{}
		r.Event = e
		return d.inLog(r)
	case protocol.MessageRecalled:
		if err := d.rewrite(r.Conversation(), e.Message, e.Target, protocol.MessageTakenBack, protocol.Content{}); err != nil {
			return err
		}
		return d.inLog(r)
	case protocol.MessageDeleted:
		if err := d.rewrite(r.Conversation(), e.Message, e.Target, protocol.MessageErased, protocol.Content{}); err != nil {
			return err
		}
		return d.inLog(r)
	case protocol.ConversationCreated:
		if err := d.pair(r.Conversation(), e); err != nil {
			return err
		}
	}
	if err := d.members(r); err != nil {
		return err
	}
	before, _, err := draftGet[protocol.Conversation](d, conversationKey(r.Conversation()))
	if err != nil {
		return fmt.Errorf("conversation %s: %w", r.Conversation(), err)
	}
	if e, is := r.Event.(protocol.ConversationDissolved); is {
		if err := d.unpair(before, e); err != nil {
			return err
		}
	}
	if after := before.Apply(r); after != before {
		if err := d.setAs(conversationKey(r.Conversation()), after); err != nil {
			return err
		}
	}
	return d.inLog(r)
}
