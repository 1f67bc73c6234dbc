package actors

import (
	"instantd/protocol"
)

// history reads a page, newest first.
func (c *Core) history(q protocol.History, visible func(protocol.Message) bool) ([]protocol.Message, error) {
	limit := q.Limit
	if limit <= 0 {
		limit = protocol.DefaultPage
	}
	limit = min(limit, protocol.MaxPage)
	page := make([]protocol.Message, 0, limit)
	err := c.Store.Before(q.Conversation, q.Before, func(m protocol.Message) bool {
		if visible(m) {
			page = append(page, m)
		}
		return len(page) < limit
	})
	return page, err
}

// conversations lists what a user is a member of, oldest first.
func (c *Core) conversations(user protocol.UserID) ([]protocol.Listed, error) {
	in, err := currentConversations(c.Store, user)
	if err != nil {
		return nil, err
	}
	list := make([]protocol.Listed, 0, len(in))
	members := 0
	for _, id := range in {
		view, found, err := c.Store.Conversation(id)
		if err != nil {
			return nil, err
		}
		if !found {
			continue
		}
		listed := protocol.Listed{ConversationView: view}
		if members += len(view.Members); members > protocol.MaxListed {
			listed.Members, listed.Cut = nil, true
		}
		for _, m := range listed.Members {
			if c.Store.IsDeleted(m.User) {
				if listed.Deleted == nil {
					listed.Deleted = map[protocol.UserID]bool{}
				}
				listed.Deleted[m.User] = true
			}
		}
		list = append(list, listed)
	}
	return list, nil
}

func (u *user) unread(q protocol.Unread) (decision, error) {
	after := q.After
	if after == 0 {
		after = u.OfflineAt
	}
	c := catchUp{core: u.core, user: u.User, after: after, until: protocol.MaxMessageID}
	return answer(reading(func() (any, error) {
		if q.Conversation == "" {
			return c.everywhere()
		}
		return c.in(q.Conversation)
	}))
}

// offline closes the offline window with the first question after the user
// came online.
func (u *user) offline(q protocol.Offline) (decision, error) {
	if q.Feed != "" && !q.Feed.IsFeed() {
		return decision{}, protocol.Errorf(protocol.Invalid, "%s is not a feed", q.Feed)
	}
	d := decision{answer: func([]protocol.Record) (any, error) {
		c := catchUp{core: u.core, user: u.User, after: u.OfflineAt, until: u.Caught, withoutOwn: true}
		return reading(func() (any, error) {
			if q.Feed == "" {
				return c.everywhere()
			}
			return c.in(q.Feed)
		}), nil
	}}
	if u.Caught == 0 {
		d.events = []protocol.Event{protocol.OfflineCaught{}}
	}
	return d, nil
}

// catchUp collects the messages of a user between two ids, oldest first, at
// most MaxCatchUp and MaxCatchUpSize.
type catchUp struct {
	core       *Core
	user       protocol.User
	after      protocol.MessageID // only larger ids
	until      protocol.MessageID // only these and smaller ids
	withoutOwn bool

	protocol.CaughtUp
	count int // messages
	size  int // bytes of content
}

// everywhere reads all conversations that the user is a member of.
func (c *catchUp) everywhere() (any, error) {
	standings, err := c.core.Store.Standings(c.user.ID)
	if err != nil {
		return nil, err
	}
	for _, s := range standings {
		if s.Until != 0 {
			continue
		}
		if err := c.read(s.Conversation, s.Since); err != nil {
			return nil, err
		}
	}
	return c.CaughtUp, nil
}

// in reads one conversation or feed.
func (c *catchUp) in(id protocol.ConversationID) (any, error) {
	since, err := c.since(id)
	if err == nil {
		err = c.read(id, since)
	}
	return c.CaughtUp, err
}

// since is the first Seq of a conversation that the user is to see.
func (c *catchUp) since(id protocol.ConversationID) (protocol.Seq, error) {
	if id.IsFeed() {
		c.after = max(c.after, c.user.Created)
		return 0, nil
	}
	s, found, err := c.core.Store.Standing(c.user.ID, id)
	if err != nil {
		return 0, err
	}
	if found && s.Until == 0 {
		return s.Since, nil
	}
	_, exists, err := c.core.Store.Conversation(id)
	if err != nil {
		return 0, err
	}
	if !exists {
		return 0, protocol.Errorf(protocol.NotFound, "no such conversation")
	}
	return 0, protocol.Errorf(protocol.Forbidden, "not a member of the conversation")
}

func (c *catchUp) read(id protocol.ConversationID, since protocol.Seq) error {
	var run []protocol.Message
	err := c.core.Store.After(id, c.after, func(r protocol.Record) bool {
		if r.ID > c.until || c.More {
			return false
		}
		m, ok := r.Message()
		if !ok || r.Seq < since || m.State == protocol.MessageErased || !m.For(c.user.ID) {
			return true
		}
		if c.withoutOwn && m.Sender == c.user.ID {
			return true
		}
		c.count++
		c.size += m.Content.Size()
		if c.count > protocol.MaxCatchUp || c.size > protocol.MaxCatchUpSize && c.count > 1 {
			c.More = true
			return false
		}
		run = append(run, m)
		return true
	})
	if len(run) > 0 {
		c.Runs = append(c.Runs, protocol.Conversational{Conversation: id, Messages: run})
	}
	return err
}
