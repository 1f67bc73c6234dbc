package persistence

import (
	"fmt"
	"sync"

	"github.com/dgraph-io/badger/v4"

	"instantd/protocol"
)

// pair drafts the index row of a direct conversation, which is unique per pair
// and line.
func (d *draft) pair(id protocol.ConversationID, e protocol.ConversationCreated) error {
	if e.Kind != protocol.Direct {
		return nil
	}
	if len(e.Members) != 2 {
		return protocol.Errorf(protocol.Invalid, "a direct conversation has two members, not %d", len(e.Members))
	}
	key := pairKey(e.Members[0].User, e.Members[1].User, e.Line)
	_, taken, err := d.get(key)
	if err != nil {
		return err
	}
	if taken {
		return protocol.Errorf(protocol.Conflict, "the two have a conversation on line %d already", e.Line)
	}
	d.set(key, []byte(id))
	return nil
}

// unpair drafts that the pair of a dissolved direct conversation may open
// another one.
func (d *draft) unpair(c protocol.Conversation, e protocol.ConversationDissolved) error {
	if c.Kind != protocol.Direct || len(e.Members) != 2 {
		return nil
	}
	key := pairKey(e.Members[0].User, e.Members[1].User, c.Line)
	id, found, err := d.get(key)
	if err != nil {
		return err
	}
	if found && protocol.ConversationID(id) == c.ID {
		d.drop(key)
	}
	return nil
}

// Conversation returns a conversation with its members in the order of
// joining. A dissolved one has none.
func (s *Store) Conversation(id protocol.ConversationID) (view protocol.ConversationView, found bool, err error) {
	err = s.views.read(func(txn *badger.Txn) error {
		view.Conversation, found, err = getAs[protocol.Conversation](txn, conversationKey(id))
		if err != nil || !found {
			return err
		}
		at, err := headOf(txn, id)
		if err != nil {
			return err
		}
		view.Head = at.seq
		if view.Ended == 0 {
			view.Members, err = members(txn, id)
		}
		return err
	})
	if err != nil {
		return protocol.ConversationView{}, false, fmt.Errorf("conversation %s: %w", id, err)
	}
	return view, found, nil
}

// Direct returns the direct conversation of a pair on a line.
func (s *Store) Direct(a, b protocol.UserID, line int) (id protocol.ConversationID, found bool, err error) {
	err = s.views.read(func(txn *badger.Txn) error {
		data, ok, err := get(txn, pairKey(a, b, line))
		id, found = protocol.ConversationID(data), ok
		return err
	})
	return id, found, err
}

// Head is the newest Seq of a conversation and its id, 0 when it has none.
func (s *Store) Head(id protocol.ConversationID) (protocol.Seq, protocol.MessageID, error) {
	if at, known := s.heads.get(id); known {
		return at.seq, at.id, nil
	}
	var at head
	err := s.views.read(func(txn *badger.Txn) (err error) {
		at, err = headOf(txn, id)
		return err
	})
	if err != nil {
		return 0, 0, fmt.Errorf("head of %s: %w", id, err)
	}
	return at.seq, at.id, nil
}

// head is the newest record of a conversation.
type head struct {
	seq protocol.Seq
	id  protocol.MessageID
}

func headOf(txn *badger.Txn, id protocol.ConversationID) (at head, err error) {
	prefix := logPrefix(id)
	err = scanBack(txn, prefix, above(prefix), func(item *badger.Item) error {
		at.id, at.seq = placeOf(item.Key())
		return errStop
	})
	return at, err
}

// maxHeads bounds the cache of heads.
const maxHeads = 1 << 16

// heads caches the durable heads of conversations. Only the committer adds to
// it, so that a slow reader cannot put back an old one.
type heads struct {
	mu sync.RWMutex
	at map[protocol.ConversationID]head
}

func (h *heads) get(id protocol.ConversationID) (head, bool) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	at, known := h.at[id]
	return at, known
}

// fill returns a head, and reads it when it is not known. The conversation has
// no row in the transaction yet.
func (h *heads) fill(txn *badger.Txn, id protocol.ConversationID) (head, error) {
	if at, known := h.get(id); known {
		return at, nil
	}
	at, err := headOf(txn, id)
	if err != nil {
		return head{}, fmt.Errorf("head of %s: %w", id, err)
	}
	h.advance(map[protocol.ConversationID]head{id: at})
	return at, nil
}

func (h *heads) advance(to map[protocol.ConversationID]head) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.at == nil {
		h.at = map[protocol.ConversationID]head{}
	}
	for id, at := range to {
		h.at[id] = at
	}
	for id := range h.at { // any order is as good as another
		if len(h.at) <= maxHeads {
			break
		}
		delete(h.at, id)
	}
}

// forget drops what a failed batch touched.
func (h *heads) forget(touched map[protocol.ConversationID]head) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for id := range touched {
		delete(h.at, id)
	}
}
