package persistence

import (
	"encoding/binary"
	"fmt"

	"github.com/dgraph-io/badger/v4"

	"instantd/protocol"
)

// sent drafts a message with the index row of its client's name for it.
func (d *draft) sent(r protocol.Record, e protocol.MessageSent) error {
	if e.ClientID == "" {
		return d.inLog(r)
	}
	if err := checkID("sender", e.Sender); err != nil {
		return err
	}
	if len(e.ClientID) > protocol.MaxClientIDLength {
		return protocol.Errorf(protocol.Invalid, "the client's message id is longer than %d bytes", protocol.MaxClientIDLength)
	}
	d.set(clientKey(r.Conversation(), e.Sender, e.ClientID), num(num(nil, r.ID), r.Seq))
	return d.inLog(r)
}

// rewrite changes the row of an earlier message.
func (d *draft) rewrite(id protocol.ConversationID, at protocol.MessageID, seq protocol.Seq, state protocol.MessageState, content protocol.Content) error {
	key := logKey(id, at, seq)
	sent, found, err := sentAt(d.get, key)
	if err != nil {
		return fmt.Errorf("message %s: %w", at, err)
	}
	if !found {
		return protocol.Errorf(protocol.NotFound, "conversation %s has no message %s at %d", id, at, seq)
	}
	sent.State, sent.Content = state, content
	value, err := encodeEvent(sent)
	if err != nil {
		return err
	}
	d.set(key, value)
	return nil
}

// sentAt reads the message of a log key with get. What is no message is not
// found.
func sentAt(get func([]byte) ([]byte, bool, error), key []byte) (protocol.MessageSent, bool, error) {
	value, found, err := get(key)
	if err != nil || !found {
		return protocol.MessageSent{}, false, err
	}
	event, err := decodeEvent(value)
	if err != nil {
		return protocol.MessageSent{}, false, err
	}
	sent, is := event.(protocol.MessageSent)
	return sent, is, nil
}

// resolve completes a record that was read from the log. The content of an
// update stands in the message's row, where later events change it, so that
// nothing of a recalled message is left behind.
func resolve(txn *badger.Txn, r protocol.Record) (protocol.Record, error) {
	e, is := r.Event.(protocol.MessageUpdated)
	if !is {
		return r, nil
	}
	sent, _, err := sentAt(func(key []byte) ([]byte, bool, error) { return get(txn, key) }, logKey(r.Conversation(), e.Message, e.Target))
	if err != nil {
		return protocol.Record{}, fmt.Errorf("message %s: %w", e.Message, err)
	}
	e.Content = sent.Content
	r.Event = e
	return r, nil
}

// Sent returns the message that a sender named clientID in a conversation, as
// the answer to a command that repeats it.
func (s *Store) Sent(id protocol.ConversationID, sender protocol.UserID, clientID string) (sent protocol.Sent, found bool, err error) {
	err = s.views.read(func(txn *badger.Txn) error {
		value, ok, err := get(txn, clientKey(id, sender, clientID))
		if err != nil || !ok {
			return err
		}
		if sent, err = decodeSent(value); err != nil {
			return err
		}
		found = true
		return nil
	})
	if err != nil {
		return protocol.Sent{}, false, fmt.Errorf("message by client id in %s: %w", id, err)
	}
	return sent, found, nil
}

func decodeSent(value []byte) (protocol.Sent, error) {
	if len(value) != 2*numberSize {
		return protocol.Sent{}, fmt.Errorf("client row of %d bytes is malformed", len(value))
	}
	return protocol.Sent{
		ID:       protocol.MessageID(binary.BigEndian.Uint64(value)),
		Seq:      protocol.Seq(binary.BigEndian.Uint64(value[numberSize:])),
		Repeated: true,
	}, nil
}

// Find returns a committed record by its id.
func (s *Store) Find(id protocol.MessageID) (r protocol.Record, found bool, err error) {
	err = s.views.read(func(txn *badger.Txn) error {
		value, ok, err := get(txn, orderKey(id))
		if err != nil || !ok {
			return err
		}
		found = true
		r, err = recordAt(txn, id, value)
		return err
	})
	if err != nil {
		return protocol.Record{}, false, fmt.Errorf("record %s: %w", id, err)
	}
	return r, found, nil
}

// recordAt returns the record of an order row as it is stored now.
func recordAt(txn *badger.Txn, id protocol.MessageID, order []byte) (protocol.Record, error) {
	r, err := decodeOrder(id, order)
	if err != nil || r.Event != nil {
		return r, err
	}
	value, found, err := get(txn, logKey(r.Conversation(), id, r.Seq))
	if err != nil {
		return protocol.Record{}, err
	}
	if !found {
		return protocol.Record{}, fmt.Errorf("conversation %s has no row for record %s", r.Conversation(), id)
	}
	if r.Event, err = decodeEvent(value); err != nil {
		return protocol.Record{}, err
	}
	return resolve(txn, r)
}
