package actors

import (
	"instantd/protocol"
)

// check refuses a command whose form is wrong, before any actor hears of it.
func check(command any) error {
	switch c := command.(type) {
	case protocol.CreateConversation:
		return checkCreate(c)
	case protocol.AddMembers:
		return checkPersons(c.Conversation, c.Persons)
	case protocol.RemoveMembers:
		return checkPersons(c.Conversation, c.Persons)
	case protocol.LeaveConversation:
		return checkConversation(c.Conversation)
	case protocol.RenameConversation:
		return firstOf(checkConversation(c.Conversation), checkName(c.Name))
	case protocol.TransferOwnership:
		return firstOf(checkConversation(c.Conversation), protocol.CheckID("new owner", string(c.To)))
	case protocol.DissolveConversation:
		return checkConversation(c.Conversation)
	case protocol.ConversationOf:
		return checkConversation(c.Conversation)
	case protocol.History:
		return checkConversation(c.Conversation)
	case protocol.SendMessage:
		return checkSend(c)
	case protocol.UpdateMessage:
		return firstOf(checkConversation(c.Conversation), checkContent(c.Content))
	case protocol.RecallMessage:
		return checkConversation(c.Conversation)
	case protocol.DeleteMessage:
		return checkConversation(c.Conversation)
	case protocol.ImportUser:
		return firstOf(checkUser(c.User), checkName(c.Profile.Name), checkPlatform(c.Profile.Platform))
	case protocol.NameUser:
		return checkUser(c.User)
	case protocol.LogIn:
		return firstOf(checkUser(c.User), protocol.CheckID("device class", string(c.Class)),
			checkPlatform(c.Platform), checkQueueName(c.Queue))
	case protocol.BindQueue:
		return firstOf(checkUser(c.By.User), protocol.CheckID("queue", c.Queue.Name))
	case protocol.OpenSession:
		return firstOf(checkUser(c.By.User), checkQueueName(c.Queue))
	case protocol.SetWaterMark:
		return checkWaterMark(c.Raw)
	case protocol.SetPlatformBroker:
		return checkBroker(c.Broker)
	case interface{ Key() protocol.Key }:
		return protocol.CheckID(c.Key().Kind.String(), c.Key().ID)
	}
	return protocol.Errorf(protocol.Internal, "%T is no command", command)
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func checkConversation(id protocol.ConversationID) error {
	return protocol.CheckID("conversation_id", string(id))
}

func checkUser(id protocol.UserID) error { return protocol.CheckID("user", string(id)) }

func checkName(name string) error {
	if len(name) > protocol.MaxNameLength {
		return protocol.Errorf(protocol.Invalid, "name is longer than %d bytes", protocol.MaxNameLength)
	}
	return protocol.CheckText("name", name)
}

func checkQueueName(name string) error {
	if name == "" {
		return nil
	}
	if len(name) > 255 {
		return protocol.Errorf(protocol.Invalid, "queue is longer than 255 bytes")
	}
	return protocol.CheckText("queue", name)
}

func checkClientID(id string) error {
	if len(id) > protocol.MaxClientIDLength {
		return protocol.Errorf(protocol.Invalid, "client_msg_id is longer than %d bytes", protocol.MaxClientIDLength)
	}
	return protocol.CheckText("client_msg_id", id)
}

func checkContent(c protocol.Content) error {
	switch {
	case len(c.Parts) == 0 && len(c.Payload) == 0:
		return protocol.Errorf(protocol.Invalid, "the message says nothing")
	case len(c.Parts) > protocol.MaxParts:
		return protocol.Errorf(protocol.TooLarge, "a message has at most %d parts", protocol.MaxParts)
	case c.Size() > protocol.MaxContentSize:
		return protocol.Errorf(protocol.TooLarge, "a message has at most %d bytes", protocol.MaxContentSize)
	}
	return nil
}

func checkSend(c protocol.SendMessage) error {
	return firstOf(checkConversation(c.Conversation), protocol.CheckID("sender", string(senderOf(c))),
		checkClientID(c.ClientID), checkContent(c.Content), checkPersonList(c.To))
}

func checkPlatform(id protocol.PlatformID) error {
	if id == "" {
		return nil
	}
	return protocol.CheckID("platform_id", string(id))
}

// maxWaterMark bounds the JSON of a water mark, in bytes.
const maxWaterMark = 64 << 10

func checkWaterMark(raw []byte) error {
	if len(raw) > maxWaterMark {
		return protocol.Errorf(protocol.TooLarge, "a water mark has at most %d bytes", maxWaterMark)
	}
	return nil
}

func checkBroker(b protocol.PlatformBroker) error {
	if err := protocol.CheckID("platform_id", string(b.Platform)); err != nil {
		return err
	}
	for what, text := range map[string]string{
		"mq_host": b.Host, "mq_user": b.User, "mq_password": b.Password, "mq_vhost": b.Vhost,
	} {
		if len(text) > protocol.MaxNameLength {
			return protocol.Errorf(protocol.Invalid, "%s is longer than %d bytes", what, protocol.MaxNameLength)
		}
		if err := protocol.CheckText(what, text); err != nil {
			return err
		}
	}
	return nil
}

func checkPersons(id protocol.ConversationID, persons []protocol.UserID) error {
	if err := checkConversation(id); err != nil {
		return err
	}
	if len(persons) == 0 {
		return protocol.Errorf(protocol.Invalid, "persons is missing")
	}
	return checkPersonList(persons)
}

func checkPersonList(persons []protocol.UserID) error {
	if len(persons) > protocol.MaxMembers {
		return protocol.Errorf(protocol.TooLarge, "a conversation has at most %d members", protocol.MaxMembers)
	}
	for _, id := range persons {
		if err := protocol.CheckID("person", string(id)); err != nil {
			return err
		}
	}
	return nil
}

func checkCreate(c protocol.CreateConversation) error {
	if c.ID != "" {
		if err := checkConversation(c.ID); err != nil {
			return err
		}
		if c.ID.IsReserved() {
			return protocol.Errorf(protocol.Invalid, "conversation_id is reserved")
		}
	}
	if err := firstOf(checkName(c.Name), checkPersonList(c.Persons)); err != nil {
		return err
	}
	if c.By.User == "" && c.Owner == "" {
		return protocol.Errorf(protocol.Invalid, "the owner is missing")
	}
	if c.Owner != "" {
		if err := protocol.CheckID("owner", string(c.Owner)); err != nil {
			return err
		}
	}
	members := len(personsOf(c))
	switch {
	case c.Kind != protocol.Direct && c.Kind != protocol.Group:
		return protocol.Errorf(protocol.Invalid, "the kind of conversation is unknown")
	case c.Kind == protocol.Direct && members != 2:
		return protocol.Errorf(protocol.Invalid, "a direct conversation has exactly two members")
	case members > protocol.MaxMembers:
		return protocol.Errorf(protocol.TooLarge, "a conversation has at most %d members", protocol.MaxMembers)
	}
	return nil
}
