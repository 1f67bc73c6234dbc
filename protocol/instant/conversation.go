package instant

import (
	"net/http"
	"strings"

	"instantd/protocol"
)

// DecodeConversation reads a body of c_conversation (SPEC §2.2). Exactly one of
// the two is set when there is no error. A POST without an action creates.
func DecodeConversation(method string, by protocol.Principal, body []byte) (*protocol.CreateConversation, protocol.Command[protocol.Done], error) {
	o, err := parseObject(body)
	if err != nil {
		return nil, nil, err
	}
	action, present, err := o.text("action")
	if err != nil {
		return nil, nil, err
	}
	action = strings.TrimSpace(action)
	if !present && method == http.MethodPost {
		action = "create"
	}
	if action == "create" {
		create, err := decodeCreate(o, by)
		return create, nil, err
	}
	order, err := decodeChange(o, action, by)
	return nil, order, err
}

func decodeCreate(o object, by protocol.Principal) (*protocol.CreateConversation, error) {
	id, err := o.id("conversation_id")
	if err != nil {
		return nil, err
	}
	kind, err := decodeKind(o)
	if err != nil {
		return nil, err
	}
	name, _, err := o.label("name")
	if err != nil {
		return nil, err
	}
	master, err := o.id("master_standard_id")
	if err != nil {
		return nil, err
	}
	persons, err := o.persons()
	if err != nil {
		return nil, err
	}
	return &protocol.CreateConversation{
		ID: protocol.ConversationID(id), By: by, Kind: kind, Name: name,
		Owner: protocol.UserID(master), Persons: persons,
	}, nil
}

func decodeKind(o object) (protocol.ConversationKind, error) {
	text, present, err := o.text("type")
	if err != nil {
		return 0, err
	}
	if !present {
		return 0, o.missing("type")
	}
	switch strings.TrimSpace(text) {
	case "single":
		return protocol.Direct, nil
	case "group":
		return protocol.Group, nil
	}
	return 0, protocol.Errorf(protocol.Invalid, "type is neither single nor group")
}

// decodeChange reads every action on a conversation that exists.
func decodeChange(o object, action string, by protocol.Principal) (protocol.Command[protocol.Done], error) {
	decode, known := map[string]func(object, protocol.ConversationID, protocol.Principal) (protocol.Command[protocol.Done], error){
		"add": decodeAdd, "delete": decodeKick, "quit": decodeQuit, "update_name": decodeRename,
		"dissolution": decodeDissolution, "change_master": decodeTransfer,
	}[action]
	if action == "" {
		return nil, o.missing("action")
	}
	if !known {
		return nil, protocol.Errorf(protocol.Invalid, "action is none of create, add, delete, quit, update_name, dissolution, change_master")
	}
	id, err := o.requiredID("conversation_id")
	if err != nil {
		return nil, err
	}
	return decode(o, protocol.ConversationID(id), by)
}

func decodeAdd(o object, id protocol.ConversationID, by protocol.Principal) (protocol.Command[protocol.Done], error) {
	persons, err := requiredPersons(o)
	if err != nil {
		return nil, err
	}
	return protocol.AddMembers{Conversation: id, By: by, Persons: persons}, nil
}

func decodeKick(o object, id protocol.ConversationID, by protocol.Principal) (protocol.Command[protocol.Done], error) {
	persons, err := requiredPersons(o)
	if err != nil {
		return nil, err
	}
	return protocol.RemoveMembers{Conversation: id, By: by, Persons: persons}, nil
}

// decodeQuit reads who leaves; without a person it is the caller.
func decodeQuit(o object, id protocol.ConversationID, by protocol.Principal) (protocol.Command[protocol.Done], error) {
	persons, err := o.persons()
	if err != nil {
		return nil, err
	}
	switch len(persons) {
	case 0:
		return protocol.LeaveConversation{Conversation: id, By: by, User: by.User}, nil
	case 1:
		return protocol.LeaveConversation{Conversation: id, By: by, User: persons[0]}, nil
	}
	return nil, protocol.Errorf(protocol.Invalid, "person names more than one user")
}

func decodeRename(o object, id protocol.ConversationID, by protocol.Principal) (protocol.Command[protocol.Done], error) {
	name, present, err := o.label("name")
	if err != nil {
		return nil, err
	}
	if !present {
		return nil, o.missing("name")
	}
	return protocol.RenameConversation{Conversation: id, By: by, Name: name}, nil
}

func decodeDissolution(_ object, id protocol.ConversationID, by protocol.Principal) (protocol.Command[protocol.Done], error) {
	return protocol.DissolveConversation{Conversation: id, By: by}, nil
}

func decodeTransfer(o object, id protocol.ConversationID, by protocol.Principal) (protocol.Command[protocol.Done], error) {
	master, err := o.requiredID("master_standard_id")
	if err != nil {
		return nil, err
	}
	return protocol.TransferOwnership{Conversation: id, By: by, To: protocol.UserID(master)}, nil
}

func requiredPersons(o object) ([]protocol.UserID, error) {
	persons, err := o.persons()
	if err != nil {
		return nil, err
	}
	if len(persons) == 0 {
		return nil, o.missing("persons")
	}
	return persons, nil
}

// kindName is the type of a conversation as clients know it.
func kindName(kind protocol.ConversationKind) string {
	if kind == protocol.Direct {
		return "single"
	}
	return "group"
}

// encodeConversations renders the list of a user's conversations.
func encodeConversations(listed []protocol.Listed) []listedConversation {
	conversations := make([]listedConversation, 0, len(listed))
	for _, l := range listed {
		persons := make([]listedPerson, 0, len(l.Members))
		for _, m := range l.Members {
			p := listedPerson{StandardID: m.User}
			if l.Deleted[m.User] {
				p.UserStatus = 1
			}
			persons = append(persons, p)
		}
		conversations = append(conversations, listedConversation{
			Name: l.Name, Type: kindName(l.Kind), ConversationID: l.ID, Master: l.Owner, Persons: persons, More: l.Cut,
		})
	}
	return conversations
}
