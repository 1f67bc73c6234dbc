package persistence

import (
	"fmt"

	"github.com/dgraph-io/badger/v4"

	"instantd/protocol"
)

// MembersAt are those who are to be sent the event at seq of a conversation,
// in the order of joining: its members after the event, and those whom it took
// out. It looks back as far as Retention. A feed has no list: it is empty.
func (s *Store) MembersAt(id protocol.ConversationID, seq protocol.Seq) (list []protocol.Member, err error) {
	err = s.views.read(func(txn *badger.Txn) error {
		list, err = scanMembers(txn, func(*badger.Item) bool { return true },
			func(m protocol.Member) bool { return m.At(seq) }, memberPrefix(tableMember, id), memberPrefix(tableFormer, id))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("members of %s: %w", id, err)
	}
	return list, nil
}

// ConversationsOf are the conversations that a user is a member of, by id.
func (s *Store) ConversationsOf(user protocol.UserID) (ids []protocol.ConversationID, err error) {
	err = s.views.read(func(txn *badger.Txn) error {
		ids, err = conversationsOf(txn, user)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("conversations of %s: %w", user, err)
	}
	return ids, nil
}

func conversationsOf(txn *badger.Txn, user protocol.UserID) (ids []protocol.ConversationID, err error) {
	prefix := standingPrefix(user)
	err = scan(txn, prefix, nil, func(item *badger.Item) error {
		if item.UserMeta() != metaFormer {
			ids = append(ids, protocol.ConversationID(item.Key()[len(prefix):]))
		}
		return nil
	})
	return ids, err
}

// Neighbours are all users that shared a conversation with a user at the time
// of an event, and do so still; without him.
func (s *Store) Neighbours(user protocol.UserID, at protocol.MessageID) ([]protocol.UserID, error) {
	var list []protocol.UserID
	seen := map[protocol.UserID]struct{}{user: {}}
	err := s.views.read(func(txn *badger.Txn) error {
		stays, err := standings(txn, user)
		if err != nil {
			return err
		}
		for _, stay := range stays {
			if stay.Until != 0 || stay.JoinedID > at {
				continue
			}
			in, err := members(txn, stay.Conversation)
			if err != nil {
				return err
			}
			for _, m := range in {
				if _, known := seen[m.User]; known || m.JoinedID > at {
					continue
				}
				seen[m.User] = struct{}{}
				list = append(list, m.User)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("neighbours of %s: %w", user, err)
	}
	return list, nil
}

// EachQueue calls visit for every user that has queues, in order of user id,
// until it returns an error.
func (s *Store) EachQueue(visit func(protocol.UserID, []protocol.Queue) error) error {
	return s.views.read(func(txn *badger.Txn) error {
		return scan(txn, []byte{tableQueues}, nil, func(item *badger.Item) error {
			user := protocol.UserID(item.Key()[1:])
			queues, err := itemAs[[]protocol.Queue](item)
			if err != nil {
				return fmt.Errorf("queues of %s: %w", user, err)
			}
			return visit(user, queues)
		})
	})
}

// EachConversation calls visit for every open conversation, by id, until it
// returns an error.
func (s *Store) EachConversation(visit func(protocol.ConversationID) error) error {
	return s.views.read(func(txn *badger.Txn) error {
		return scan(txn, []byte{tableConversation}, nil, func(item *badger.Item) error {
			c, err := itemAs[protocol.Conversation](item)
			if err != nil {
				return fmt.Errorf("conversation %s: %w", item.Key()[1:], err)
			}
			if c.Ended != 0 {
				return nil
			}
			return visit(c.ID)
		})
	})
}

// EachOnline calls visit for every user whose stored presence is online, by id,
// until it returns an error.
func (s *Store) EachOnline(visit func(protocol.UserID) error) error {
	return s.views.read(func(txn *badger.Txn) error {
		return scan(txn, []byte{tableOnline}, nil, func(item *badger.Item) error {
			return visit(protocol.UserID(item.Key()[1:]))
		})
	})
}
