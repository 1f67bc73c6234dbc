package actors

import (
	"slices"

	"instantd/protocol"
)

func nameOf(cmd protocol.SendMessage) clientName {
	return clientName{senderOf(cmd), cmd.ClientID}
}

func senderOf(cmd protocol.SendMessage) protocol.UserID {
	if cmd.Sender != "" {
		return cmd.Sender
	}
	return cmd.By.User
}

func (c *conversation) send(cmd protocol.SendMessage, f facts) (decision, error) {
	sender := senderOf(cmd)
	if sender != cmd.By.User && !cmd.By.System {
		return decision{}, protocol.Errorf(protocol.Forbidden, "the sender is somebody else")
	}
	if err := c.member(cmd.By); err != nil {
		return decision{}, err
	}
	if f.prior != nil {
		prior := *f.prior
		prior.Repeated = true
		return answer(prior)
	}
	sent := protocol.MessageSent{Sender: sender, ClientID: cmd.ClientID, Content: cmd.Content}
	if len(cmd.To) > 0 {
		sent.To = slices.DeleteFunc(unique(cmd.To), func(u protocol.UserID) bool {
			_, in := c.members[u]
			return !in && c.Kind != protocol.Feed
		})
		if len(sent.To) == 0 {
			sent.To = []protocol.UserID{sender} // none of them is in; an empty list would mean everyone
		}
	}
	return decision{
		events: []protocol.Event{sent},
		answer: func(records []protocol.Record) (any, error) {
			return protocol.Sent{ID: records[0].ID, Seq: records[0].Seq}, nil
		},
	}, nil
}

func (c *conversation) recall(cmd protocol.RecallMessage, f facts) (decision, error) {
	if err := c.mayTakeBack(cmd.By, f.msg); err != nil {
		return decision{}, err
	}
	if f.msg.State == protocol.MessageTakenBack {
		return decision{}, nil
	}
	return events(protocol.MessageRecalled{
		By: cmd.By.User, Target: f.msg.Seq, Message: f.msg.ID, Sender: f.msg.Sender, To: f.msg.To,
	})
}

func (c *conversation) update(cmd protocol.UpdateMessage, f facts) (decision, error) {
	if err := c.known(cmd.By, f.msg); err != nil {
		return decision{}, err
	}
	if cmd.By.User != f.msg.Sender && !cmd.By.System {
		return decision{}, protocol.Errorf(protocol.Forbidden, "only its sender may change a message")
	}
	if f.msg.State == protocol.MessageTakenBack {
		return decision{}, protocol.Errorf(protocol.Gone, "the message was recalled")
	}
	return events(protocol.MessageUpdated{
		By: cmd.By.User, Target: f.msg.Seq, Message: f.msg.ID, Content: cmd.Content, Sender: f.msg.Sender, To: f.msg.To,
	})
}

func (c *conversation) erase(cmd protocol.DeleteMessage, f facts) (decision, error) {
	if err := c.mayTakeBack(cmd.By, f.msg); err != nil {
		return decision{}, err
	}
	return events(protocol.MessageDeleted{
		By: cmd.By.User, Target: f.msg.Seq, Message: f.msg.ID, Sender: f.msg.Sender, To: f.msg.To,
	})
}

// known refuses who is not in, and a message that is not there or was not for him.
func (c *conversation) known(by protocol.Principal, msg *protocol.Message) error {
	if err := c.member(by); err != nil {
		return err
	}
	if msg == nil || (!by.System && !msg.For(by.User)) {
		return protocol.Errorf(protocol.NotFound, "no such message")
	}
	return nil
}

func (c *conversation) mayTakeBack(by protocol.Principal, msg *protocol.Message) error {
	if err := c.known(by, msg); err != nil {
		return err
	}
	if by.System || by.User == msg.Sender || by.User == c.Owner {
		return nil
	}
	return protocol.Errorf(protocol.Forbidden, "only its sender and the owner may take a message back")
}

// page decides who may read the history, and leaves the reading to the asker.
func (c *conversation) page(q protocol.History) (decision, error) {
	if err := c.member(q.By); err != nil {
		return decision{}, err
	}
	visible := func(m protocol.Message) bool { return q.By.System || m.For(q.By.User) }
	return answer(reading(func() (any, error) { return c.history(q, visible) }))
}
