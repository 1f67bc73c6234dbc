package actors

import (
	"slices"

	"instantd/protocol"
)

// conversation are the rules of one conversation or feed.
type conversation struct {
	id        protocol.ConversationID
	openRoles bool
	history   func(protocol.History, func(protocol.Message) bool) ([]protocol.Message, error)

	protocol.Conversation
	newest  protocol.Seq
	members map[protocol.UserID]protocol.Member
	order   []protocol.UserID // of members: as they joined
}

func newConversation(c *Core, id protocol.ConversationID) *conversation {
	return &conversation{id: id, openRoles: c.OpenRoles, history: c.history}
}

func (c *conversation) load(store Store) error {
	view, found, err := store.Conversation(c.id)
	if err != nil {
		return err
	}
	if !found {
		view = protocol.ConversationView{}
	}
	if c.id.IsFeed() {
		view.Conversation = protocol.Conversation{ID: c.id, Kind: protocol.Feed}
	}
	c.Conversation = view.Conversation
	c.members = make(map[protocol.UserID]protocol.Member, len(view.Members))
	c.order = c.order[:0]
	for _, m := range view.Members {
		c.join(m)
	}
	c.newest, _, err = store.Head(c.id)
	return err
}

func (c *conversation) facts(store Store, command any) (facts, error) {
	switch cmd := command.(type) {
	case protocol.SendMessage:
		name := nameOf(cmd)
		if name.id == "" {
			return facts{}, nil
		}
		sent, found, err := store.Sent(c.id, name.sender, name.id)
		if err != nil || !found {
			return facts{}, err
		}
		return facts{prior: &sent}, nil
	case protocol.RecallMessage:
		return c.message(store, cmd.Message)
	case protocol.UpdateMessage:
		return c.message(store, cmd.Message)
	case protocol.DeleteMessage:
		return c.message(store, cmd.Message)
	}
	return facts{}, nil
}

// message finds a message of this conversation; an erased one is not there.
func (c *conversation) message(store Store, id protocol.MessageID) (facts, error) {
	record, found, err := store.Find(id)
	if err != nil || !found {
		return facts{}, err
	}
	msg, ok := record.Message()
	if !ok || msg.Conversation != c.id || msg.State == protocol.MessageErased {
		return facts{}, nil
	}
	return facts{msg: &msg}, nil
}

func (c *conversation) decide(command any, f facts) (decision, error) {
	if create, ok := command.(protocol.CreateConversation); ok {
		return c.create(create)
	}
	if c.Kind == 0 {
		return decision{}, protocol.Errorf(protocol.NotFound, "no such conversation")
	}
	if c.Ended != 0 {
		return decision{}, protocol.Errorf(protocol.Gone, "the conversation was dissolved")
	}
	switch cmd := command.(type) {
	case protocol.SendMessage:
		return c.send(cmd, f)
	case protocol.History:
		return c.page(cmd)
	case protocol.RecallMessage:
		return c.recall(cmd, f)
	case protocol.UpdateMessage:
		return c.update(cmd, f)
	case protocol.DeleteMessage:
		return c.erase(cmd, f)
	}
	if c.Kind == protocol.Feed {
		return decision{}, protocol.Errorf(protocol.Forbidden, "a feed has no members")
	}
	switch cmd := command.(type) {
	case protocol.ConversationOf:
		if err := c.member(cmd.By); err != nil {
			return decision{}, err
		}
		return answer(c.view(true))
	case protocol.AddMembers:
		return c.add(cmd)
	case protocol.RemoveMembers:
		return c.remove(cmd)
	case protocol.LeaveConversation:
		return c.leave(cmd)
	case protocol.RenameConversation:
		return c.rename(cmd)
	case protocol.TransferOwnership:
		return c.transfer(cmd)
	case protocol.DissolveConversation:
		return c.dissolve(cmd)
	}
	return decision{}, protocol.Errorf(protocol.Internal, "a conversation knows no %T", command)
}

func (c *conversation) create(cmd protocol.CreateConversation) (decision, error) {
	switch {
	case c.Kind == 0:
	case c.Ended != 0:
		return decision{}, protocol.Errorf(protocol.Conflict, "conversation_id names a dissolved conversation")
	case c.Kind == protocol.Direct && cmd.Kind == protocol.Direct && c.isPair(cmd):
		return answer(c.view(true))
	case c.Kind == cmd.Kind && c.Creator == cmd.By.User && c.member(cmd.By) == nil:
		return answer(c.view(true))
	default:
		return decision{}, protocol.Errorf(protocol.Conflict, "conversation_id is taken")
	}
	owner := cmd.Owner
	if owner == "" {
		owner = cmd.By.User
	}
	created := protocol.ConversationCreated{
		Kind: cmd.Kind, Name: cmd.Name, Owner: owner, Creator: cmd.By.User,
		Line: cmd.Line, Type: cmd.Type, Members: cmd.Members,
	}
	return decision{
		events: []protocol.Event{created},
		answer: func([]protocol.Record) (any, error) { return c.view(false), nil },
	}, nil
}

// isPair tells whether a command asks for the very pair that talks here.
func (c *conversation) isPair(cmd protocol.CreateConversation) bool {
	for _, user := range personsOf(cmd) {
		if _, in := c.members[user]; !in {
			return false
		}
	}
	return c.Line == cmd.Line
}

func (c *conversation) add(cmd protocol.AddMembers) (decision, error) {
	if err := c.member(cmd.By); err != nil {
		return decision{}, err
	}
	if c.Kind == protocol.Direct {
		return decision{}, protocol.Errorf(protocol.Forbidden, "a direct conversation takes nobody in")
	}
	if len(cmd.Members) == 0 {
		// He became a member after the look that found him a stranger.
		return decision{}, protocol.Errorf(protocol.Unavailable, "the members changed this very moment")
	}
	added := slices.DeleteFunc(slices.Clone(cmd.Members), func(p protocol.Person) bool {
		_, in := c.members[p.User]
		return in
	})
	if len(added) == 0 {
		return decision{}, nil
	}
	if len(c.members)+len(added) > protocol.MaxMembers {
		return decision{}, protocol.Errorf(protocol.TooLarge, "a conversation has at most %d members", protocol.MaxMembers)
	}
	return events(protocol.MembersAdded{By: cmd.By.User, Members: added})
}

func (c *conversation) remove(cmd protocol.RemoveMembers) (decision, error) {
	if err := c.owner(cmd.By, "expel"); err != nil {
		return decision{}, err
	}
	if c.Kind == protocol.Direct {
		return decision{}, protocol.Errorf(protocol.Forbidden, "nobody is expelled from a direct conversation")
	}
	var removed []protocol.Person
	for _, user := range unique(cmd.Persons) {
		if user == c.Owner && !cmd.By.System {
			return decision{}, protocol.Errorf(protocol.Invalid, "persons names the owner, who leaves or hands over instead")
		}
		if m, in := c.members[user]; in {
			removed = append(removed, protocol.Person{User: user, Number: m.Number})
		}
	}
	if len(removed) == 0 {
		return decision{}, nil
	}
	return c.without(removed, protocol.MembersRemoved{By: cmd.By.User, Members: removed})
}

func (c *conversation) leave(cmd protocol.LeaveConversation) (decision, error) {
	user := cmd.User
	if user == "" {
		user = cmd.By.User
	}
	if user != cmd.By.User && !cmd.By.System {
		return decision{}, protocol.Errorf(protocol.Forbidden, "users take out only themselves")
	}
	m, in := c.members[user]
	if !in {
		return decision{}, protocol.Errorf(protocol.Forbidden, "not a member of the conversation")
	}
	if c.Kind == protocol.Direct {
		return decision{}, protocol.Errorf(protocol.Forbidden, "a direct conversation is dissolved, not left")
	}
	left := protocol.Person{User: user, Number: m.Number}
	return c.without([]protocol.Person{left}, protocol.MemberLeft{Member: left})
}

// without adds to a departure what it entails: the longest-standing member
// follows an owner, and a conversation without members is dissolved.
func (c *conversation) without(gone []protocol.Person, departure protocol.Event) (decision, error) {
	if len(gone) == len(c.members) {
		return events(departure, protocol.ConversationDissolved{})
	}
	isGone := func(user protocol.UserID) bool {
		return slices.ContainsFunc(gone, func(p protocol.Person) bool { return p.User == user })
	}
	if !isGone(c.Owner) {
		return events(departure)
	}
	for _, m := range c.inOrder() {
		if !isGone(m.User) {
			return events(departure, protocol.OwnerChanged{Owner: m.User})
		}
	}
	return events(departure)
}

func (c *conversation) rename(cmd protocol.RenameConversation) (decision, error) {
	if err := c.member(cmd.By); err != nil {
		return decision{}, err
	}
	if cmd.Name == c.Name {
		return decision{}, nil
	}
	return events(protocol.ConversationRenamed{By: cmd.By.User, Name: cmd.Name})
}

func (c *conversation) transfer(cmd protocol.TransferOwnership) (decision, error) {
	if err := c.owner(cmd.By, "hand the conversation over"); err != nil {
		return decision{}, err
	}
	if c.Kind == protocol.Direct {
		return decision{}, protocol.Errorf(protocol.Forbidden, "a direct conversation is not handed over")
	}
	if _, in := c.members[cmd.To]; !in {
		return decision{}, protocol.Errorf(protocol.Invalid, "the new owner is not a member")
	}
	if cmd.To == c.Owner {
		return decision{}, nil
	}
	return events(protocol.OwnerChanged{By: cmd.By.User, Owner: cmd.To})
}

func (c *conversation) dissolve(cmd protocol.DissolveConversation) (decision, error) {
	if err := c.owner(cmd.By, "dissolve the conversation"); err != nil {
		return decision{}, err
	}
	everyone := make([]protocol.Person, 0, len(c.members))
	for _, m := range c.inOrder() {
		everyone = append(everyone, protocol.Person{User: m.User, Number: m.Number})
	}
	return events(protocol.ConversationDissolved{By: cmd.By.User, Members: everyone})
}

// member refuses who is not in. A feed has everybody in.
func (c *conversation) member(by protocol.Principal) error {
	if _, in := c.members[by.User]; in || by.System || (c.Kind == protocol.Feed && by.User != "") {
		return nil
	}
	return protocol.Errorf(protocol.Forbidden, "not a member of the conversation")
}

// owner refuses who is not the owner. what says what he wanted to do.
func (c *conversation) owner(by protocol.Principal, what string) error {
	if err := c.member(by); err != nil {
		return err
	}
	if by.System || by.User == c.Owner || c.openRoles {
		return nil
	}
	return protocol.Errorf(protocol.Forbidden, "only the owner may %s", what)
}

func (c *conversation) view(existed bool) protocol.ConversationView {
	return protocol.ConversationView{
		Conversation: c.Conversation, Members: c.inOrder(), Head: c.newest, Existed: existed,
	}
}

// inOrder are the members in the order of joining.
func (c *conversation) inOrder() []protocol.Member {
	all := make([]protocol.Member, len(c.order))
	for i, user := range c.order {
		all[i] = c.members[user]
	}
	return all
}

func (c *conversation) join(m protocol.Member) {
	c.members[m.User] = m
	c.order = append(c.order, m.User)
}

func (c *conversation) apply(r protocol.Record) {
	c.newest = r.Seq
	if c.Kind != protocol.Feed {
		c.Conversation = c.Conversation.Apply(r)
	}
	for _, m := range r.Joined() {
		c.join(m)
	}
	departed := r.Departed()
	if len(departed) == 0 {
		return
	}
	for _, p := range departed {
		delete(c.members, p.User)
	}
	c.order = slices.DeleteFunc(c.order, func(user protocol.UserID) bool {
		_, in := c.members[user]
		return !in
	})
}

func (c *conversation) publication(r protocol.Record) *protocol.Publication {
	return protocol.NewPublication(r)
}

func (c *conversation) head() protocol.Seq { return c.newest }
func (c *conversation) exists() bool       { return c.Kind != 0 }
func (c *conversation) busy() bool         { return false }
func (c *conversation) unsaved() any       { return nil }

func events(all ...protocol.Event) (decision, error) { return decision{events: all}, nil }

func unique(users []protocol.UserID) []protocol.UserID {
	seen := make(map[protocol.UserID]bool, len(users))
	return slices.DeleteFunc(slices.Clone(users), func(u protocol.UserID) bool {
		was := seen[u]
		seen[u] = true
		return was
	})
}

// personsOf are all members that a creation names, each once: who creates, the
// owner, the persons.
func personsOf(cmd protocol.CreateConversation) []protocol.UserID {
	all := append([]protocol.UserID{cmd.By.User, cmd.Owner}, cmd.Persons...)
	return slices.DeleteFunc(unique(all), func(u protocol.UserID) bool { return u == "" })
}
