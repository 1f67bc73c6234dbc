package persistence

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/dgraph-io/badger/v4"

	"instantd/protocol"
)

// member is a row of tableMember, tableFormer or tableStanding. Place is the
// position in the event that let the user in, so that members can be listed in
// the order of joining. The user stands in the key, not in the value.
type member struct {
	protocol.Member
	place uint32
}

func encodeMember(m member) ([]byte, error) {
	m.User = ""
	data, err := encode(m.Member)
	if err != nil {
		return nil, err
	}
	return append(binary.BigEndian.AppendUint32(nil, m.place), data...), nil
}

func decodeMember(user protocol.UserID, value []byte) (member, error) {
	if len(value) < 4 {
		return member{}, fmt.Errorf("member row of %d bytes is malformed", len(value))
	}
	stored, err := decode[protocol.Member](value[4:])
	if err != nil {
		return member{}, err
	}
	stored.User = user
	return member{Member: stored, place: binary.BigEndian.Uint32(value)}, nil
}

// byJoining orders members.
func byJoining(a, b member) int {
	return cmp.Or(cmp.Compare(a.Since, b.Since), cmp.Compare(a.place, b.place))
}

// members drafts the rows of those whom a record lets in and takes out.
func (d *draft) members(r protocol.Record) error {
	id := r.Conversation()
	for place, m := range r.Joined() {
		if err := d.join(id, member{Member: m, place: uint32(place)}); err != nil {
			return fmt.Errorf("member of %s: %w", id, err)
		}
	}
	for _, p := range r.Departed() {
		if err := d.depart(id, p.User, r); err != nil {
			return fmt.Errorf("member of %s: %w", id, err)
		}
	}
	return nil
}

// join lets a user in. Who is in already stays as he is. The former stay of
// one who comes back is kept aside, for ways out that are still behind it.
func (d *draft) join(id protocol.ConversationID, m member) error {
	if err := checkID("user id", m.User); err != nil {
		return err
	}
	old, known, err := d.member(id, m.User)
	if err != nil {
		return err
	}
	if known && old.Until == 0 {
		return nil
	}
	if known {
		value, err := encodeMember(old)
		if err != nil {
			return err
		}
		d.put(row{key: formerKey(id, m.User, old.Since), value: value, expires: d.expires})
	}
	return d.setMember(id, m)
}

// depart takes a user out by a record. Who is not in stays as he is.
func (d *draft) depart(id protocol.ConversationID, user protocol.UserID, by protocol.Record) error {
	m, known, err := d.member(id, user)
	if err != nil {
		return err
	}
	if !known || m.Until != 0 {
		return nil
	}
	m.Until, m.LeftID = by.Seq, by.ID
	return d.setMember(id, m)
}

func (d *draft) member(id protocol.ConversationID, user protocol.UserID) (member, bool, error) {
	value, found, err := d.get(memberKey(id, user))
	if err != nil || !found {
		return member{}, false, err
	}
	m, err := decodeMember(user, value)
	return m, err == nil, err
}

// setMember drafts the member row and the standing row, which are equal.
func (d *draft) setMember(id protocol.ConversationID, m member) error {
	value, err := encodeMember(m)
	if err != nil {
		return err
	}
	r := row{value: value}
	if m.Until != 0 {
		r.meta, r.expires = metaFormer, d.expires
	}
	r.key = memberKey(id, m.User)
	d.put(r)
	r.key = standingKey(m.User, id)
	d.put(r)
	return nil
}

// members are those who are in, in the order of joining.
func members(txn *badger.Txn, id protocol.ConversationID) ([]protocol.Member, error) {
	return scanMembers(txn, func(item *badger.Item) bool { return item.UserMeta() != metaFormer },
		func(m protocol.Member) bool { return m.Until == 0 }, memberPrefix(tableMember, id))
}

// scanMembers returns the members under the prefixes that pass both tests, the
// first of which needs no value.
func scanMembers(txn *badger.Txn, worth func(*badger.Item) bool, want func(protocol.Member) bool, prefixes ...[]byte) ([]protocol.Member, error) {
	var found []member
	for _, prefix := range prefixes {
		err := scan(txn, prefix, nil, func(item *badger.Item) error {
			if !worth(item) {
				return nil
			}
			user := item.Key()[len(prefix):]
			if prefix[0] == tableFormer {
				user = user[:len(user)-1-numberSize]
			}
			return item.Value(func(value []byte) error {
				m, err := decodeMember(protocol.UserID(user), value)
				if err != nil {
					return err
				}
				if want(m.Member) {
					found = append(found, m)
				}
				return nil
			})
		})
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(found, byJoining)
	list := make([]protocol.Member, len(found))
	for i, m := range found {
		list[i] = m.Member
	}
	return list, nil
}

// Standings are the conversations that a user is or, within Retention, was a
// member of, oldest first. Of several stays in one conversation it is the
// newest.
func (s *Store) Standings(user protocol.UserID) (list []protocol.Standing, err error) {
	err = s.views.read(func(txn *badger.Txn) error {
		list, err = standings(txn, user)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("standings of %s: %w", user, err)
	}
	return list, nil
}

func standings(txn *badger.Txn, user protocol.UserID) ([]protocol.Standing, error) {
	var list []protocol.Standing
	prefix := standingPrefix(user)
	err := scan(txn, prefix, nil, func(item *badger.Item) error {
		id := protocol.ConversationID(item.Key()[len(prefix):])
		return item.Value(func(value []byte) error {
			m, err := decodeMember(user, value)
			if err != nil {
				return err
			}
			list = append(list, protocol.Standing{Conversation: id, Member: m.Member})
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(list, func(a, b protocol.Standing) int { return cmp.Compare(a.JoinedID, b.JoinedID) })
	return list, nil
}

// Standing is a user's newest stay in one conversation.
func (s *Store) Standing(user protocol.UserID, id protocol.ConversationID) (standing protocol.Standing, found bool, err error) {
	err = s.views.read(func(txn *badger.Txn) error {
		value, ok, err := get(txn, standingKey(user, id))
		if err != nil || !ok {
			return err
		}
		m, err := decodeMember(user, value)
		standing, found = protocol.Standing{Conversation: id, Member: m.Member}, err == nil
		return err
	})
	if err != nil {
		return protocol.Standing{}, false, fmt.Errorf("standing of %s in %s: %w", user, id, err)
	}
	return standing, found, nil
}
