package instant

import (
	"slices"

	"instantd/protocol"
)

// inTalk carries out what concerns one conversation that exists.
func (m *memory) inTalk(command any) (any, error) {
	key := command.(interface{ Key() protocol.Key }).Key()
	t, ok := m.talks[protocol.ConversationID(key.ID)]
	if !ok {
		return nil, protocol.Errorf(protocol.NotFound, "no such conversation")
	}
	if t.Ended != 0 {
		return nil, protocol.Errorf(protocol.Gone, "the conversation was dissolved")
	}
	switch c := command.(type) {
	case protocol.SendMessage:
		return m.send(t, c)
	case protocol.History:
		return t.history(c)
	case protocol.AddMembers:
		added := slices.DeleteFunc(c.Persons, t.has)
		return m.change(t, c.By, t.has(c.By.User), len(added) > 0, protocol.MembersAdded{By: c.By.User, Members: m.persons(added)})
	case protocol.RemoveMembers:
		gone := slices.DeleteFunc(c.Persons, func(u protocol.UserID) bool { return !t.has(u) })
		return m.change(t, c.By, t.Owner == c.By.User, len(gone) > 0, protocol.MembersRemoved{By: c.By.User, Members: m.persons(gone)})
	case protocol.RenameConversation:
		return m.change(t, c.By, t.has(c.By.User), c.Name != t.Name, protocol.ConversationRenamed{By: c.By.User, Name: c.Name})
	case protocol.TransferOwnership:
		if !t.has(c.To) {
			return nil, protocol.Errorf(protocol.Invalid, "the new owner is not a member")
		}
		return m.change(t, c.By, t.Owner == c.By.User, c.To != t.Owner, protocol.OwnerChanged{By: c.By.User, Owner: c.To})
	case protocol.DissolveConversation:
		return m.change(t, c.By, t.Owner == c.By.User, true, protocol.ConversationDissolved{By: c.By.User, Members: t.everyone()})
	case protocol.LeaveConversation:
		return m.leave(t, c)
	}
	return nil, protocol.Errorf(protocol.Internal, "the test's core knows no %T", command)
}

func (m *memory) change(t *talk, by protocol.Principal, allowed, needed bool, event protocol.Event) (any, error) {
	if !allowed {
		return nil, protocol.Errorf(protocol.Forbidden, "%s may not", by.User)
	}
	if needed {
		m.commit(protocol.ConversationKey(t.ID), event)
	}
	return protocol.Done{}, nil
}

func (m *memory) leave(t *talk, c protocol.LeaveConversation) (any, error) {
	if c.User != c.By.User || !t.has(c.User) {
		return nil, protocol.Errorf(protocol.Forbidden, "users take out only themselves")
	}
	m.commit(c.Key(), protocol.MemberLeft{Member: m.persons([]protocol.UserID{c.User})[0]})
	switch {
	case len(t.Members) == 0:
		m.commit(c.Key(), protocol.ConversationDissolved{})
	case t.Owner == c.User:
		m.commit(c.Key(), protocol.OwnerChanged{Owner: t.Members[0].User})
	}
	return protocol.Done{}, nil
}

func (t *talk) everyone() []protocol.Person {
	var persons []protocol.Person
	for _, member := range t.Members {
		persons = append(persons, protocol.Person{User: member.User, Number: member.Number})
	}
	return persons
}

func (m *memory) send(t *talk, c protocol.SendMessage) (any, error) {
	if c.Sender == "" {
		c.Sender = c.By.User
	}
	if c.Sender != c.By.User {
		return nil, protocol.Errorf(protocol.Forbidden, "publisher_standard_id is somebody else")
	}
	if t.Kind != protocol.Feed && !t.has(c.Sender) {
		return nil, protocol.Errorf(protocol.Forbidden, "not a member of the conversation")
	}
	if c.Content.Size() > protocol.MaxContentSize {
		return nil, protocol.Errorf(protocol.TooLarge, "the content is too large")
	}
	for _, r := range t.log {
		if sent, ok := r.Event.(protocol.MessageSent); ok && c.ClientID != "" && sent.ClientID == c.ClientID && sent.Sender == c.Sender {
			return protocol.Sent{ID: r.ID, Seq: r.Seq, Repeated: true}, nil
		}
	}
	r := m.commit(c.Key(), protocol.MessageSent{Sender: c.Sender, ClientID: c.ClientID, Content: c.Content, To: c.To})
	return protocol.Sent{ID: r.ID, Seq: r.Seq}, nil
}

func (t *talk) history(c protocol.History) (any, error) {
	if t.Kind != protocol.Feed && !t.has(c.By.User) {
		return nil, protocol.Errorf(protocol.Forbidden, "not a member of the conversation")
	}
	var page []protocol.Message
	for _, r := range slices.Backward(t.log) {
		if msg, ok := r.Message(); ok && len(page) < c.Limit && (c.Before == 0 || msg.ID < c.Before) {
			page = append(page, msg)
		}
	}
	return page, nil
}
