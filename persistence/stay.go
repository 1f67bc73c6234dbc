package persistence

import (
	"fmt"

	"github.com/dgraph-io/badger/v4"

	"instantd/protocol"
)

// Stays are the stays of a user in a conversation, oldest first: those that
// ended within Retention, and the one that goes on.
func (s *Store) Stays(user protocol.UserID, id protocol.ConversationID) (list []protocol.Member, err error) {
	err = s.views.read(func(txn *badger.Txn) error {
		list, err = stays(txn, user, id)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("stays of %s in %s: %w", user, id, err)
	}
	return list, nil
}

func stays(txn *badger.Txn, user protocol.UserID, id protocol.ConversationID) (list []protocol.Member, err error) {
	prefix := part(memberPrefix(tableFormer, id), user)
	err = scan(txn, prefix, nil, func(item *badger.Item) error {
		return item.Value(func(value []byte) error {
			m, err := decodeMember(user, value)
			list = append(list, m.Member)
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	value, found, err := get(txn, memberKey(id, user))
	if err != nil || !found {
		return list, err
	}
	m, err := decodeMember(user, value)
	return append(list, m.Member), err
}
