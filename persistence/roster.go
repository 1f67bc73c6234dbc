package persistence

import (
	"fmt"
	"slices"

	"github.com/dgraph-io/badger/v4"

	"instantd/protocol"
)

// MembersAt are those who are to be sent the event at seq of a conversation,
// in the order of joining: its members after the event, and those whom it took
// out. It looks back as far as Retention. A feed has no list: it is empty.
func (s *Store) MembersAt(id protocol.ConversationID, seq protocol.Seq) (list []protocol.Member, err error) {
	err = s.views.read(func(txn *badger.Txn) error {
		list, err = allMembers(txn, id, func(m protocol.Member) bool { return m.At(seq) })
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("members of %s: %w", id, err)
	}
	return list, nil
}

// allMembers are the members of a conversation, present and former, that pass
// the test, in the order of joining.
func allMembers(txn *badger.Txn, id protocol.ConversationID, want func(protocol.Member) bool) ([]protocol.Member, error) {
	return scanMembers(txn, func(*badger.Item) bool { return true }, want, memberPrefix(tableMember, id), memberPrefix(tableFormer, id))
}

// ConversationsAt are the conversations that a user was a member of right after
// an event, and those that he joined only later; both in the order of joining.
// It looks back as far as Retention.
func (s *Store) ConversationsAt(user protocol.UserID, at protocol.MessageID) (in, later []protocol.ConversationID, err error) {
	err = s.views.read(func(txn *badger.Txn) error {
		newest, err := standings(txn, user)
		if err != nil {
			return err
		}
		for _, stay := range newest {
			was, err := wasIn(txn, stay, at)
			switch {
			case err != nil:
				return err
			case was:
				in = append(in, stay.Conversation)
			case stay.JoinedID > at:
				later = append(later, stay.Conversation)
			}
		}
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("conversations of %s at %s: %w", user, at, err)
	}
	return in, later, nil
}

// wasIn tells whether a user was a member right after an event. newest is his
// newest stay in the conversation; only when it began later can another count.
func wasIn(txn *badger.Txn, newest protocol.Standing, at protocol.MessageID) (bool, error) {
	if newest.JoinedID <= at {
		return newest.In(at), nil
	}
	list, err := stays(txn, newest.User, newest.Conversation)
	return slices.ContainsFunc(list, func(stay protocol.Member) bool { return stay.In(at) }), err
}

// Neighbours are all users that shared a conversation with a user right after
// an event; without him. It looks back as far as Retention.
func (s *Store) Neighbours(user protocol.UserID, at protocol.MessageID) (list []protocol.UserID, err error) {
	seen := map[protocol.UserID]struct{}{user: {}}
	err = s.views.read(func(txn *badger.Txn) error {
		newest, err := standings(txn, user)
		if err != nil {
			return err
		}
		for _, stay := range newest {
			was, err := wasIn(txn, stay, at)
			if err != nil {
				return err
			}
			if !was {
				continue
			}
			in, err := allMembers(txn, stay.Conversation, func(m protocol.Member) bool { return m.In(at) })
			if err != nil {
				return err
			}
			for _, m := range in {
				if _, known := seen[m.User]; !known {
					seen[m.User] = struct{}{}
					list = append(list, m.User)
				}
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
