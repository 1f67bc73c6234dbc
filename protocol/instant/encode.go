package instant

import (
	"encoding/json"
	"time"

	"instantd/protocol"
)

// Encoder renders committed events as {"cmd":..,"data":..} (SPEC §4.1). The same
// bytes serve AMQP and WebSocket. It is comparable; make it with NewEncoder.
type Encoder struct {
	compat Compat
	zone   *time.Location
}

// NewEncoder returns an encoder that writes times in a location; nil is UTC.
func NewEncoder(location *time.Location, compat Compat) Encoder {
	return Encoder{compat: compat, zone: location}
}

func (e Encoder) location() *time.Location {
	if e.zone == nil {
		return time.UTC
	}
	return e.zone
}

// spell decides between a key and its spelling with a blank. regular says that
// the document itself has no blank at this place.
func (e Encoder) spell(text string, regular bool) (key, blank *string) {
	switch {
	case e.compat == Clean || e.compat == Literal && regular:
		return &text, nil
	case e.compat == Literal:
		return nil, &text
	}
	return &text, &text
}

// Encode implements protocol.Encoder. Receipts, queues, imports and logins are
// nobody's news and give nil.
func (e Encoder) Encode(r protocol.Record) []byte {
	cmd, data := e.event(r)
	if cmd == "" {
		return nil
	}
	return marshal(envelope{Cmd: cmd, Data: data})
}

func (e Encoder) event(r protocol.Record) (cmd string, data any) {
	if m, ok := r.Message(); ok {
		return e.message(m)
	}
	n := notice{Seq: r.Seq, ConversationID: r.Conversation()}
	switch event := r.Event.(type) {
	case protocol.ConversationCreated:
		n.Type, n.Name, n.Master = kindName(event.Kind), &event.Name, &event.Owner
		n.Persons = numbered(event.Members)
		return cmdCreate, n
	case protocol.MembersAdded:
		n.Persons = named(event.Members)
		return cmdJoin, n
	case protocol.MembersRemoved:
		n.Persons = numbered(event.Members)
		return e.blanked(cmdExpulsion), n
	case protocol.MemberLeft:
		n.Person = numbered([]protocol.Person{event.Member})[0]
		return cmdQuit, n
	case protocol.ConversationRenamed:
		n.Name = &event.Name
		return cmdRename, n
	case protocol.OwnerChanged:
		n.Master = &event.Owner
		return cmdChangeMaster, n
	case protocol.ConversationDissolved:
		return e.blanked(cmdDissolution), n
	case protocol.CameOnline:
		return cmdOnline, e.presence(r, person{ID: protocol.UserID(r.Key.ID)})
	case protocol.WentOffline:
		return cmdOffline, e.presence(r, person{StandardID: protocol.UserID(r.Key.ID)})
	case protocol.WaterMarkChanged:
		return cmdWaterMark, json.RawMessage(event.Raw)
	}
	return e.change(r)
}

func (e Encoder) message(m protocol.Message) (cmd string, data any) {
	switch m.Conversation {
	case protocol.BroadcastFeed:
		cmd = cmdBroadcast
	case protocol.ReportFeed:
		cmd = cmdEvent
	default:
		cmd = cmdMessage
	}
	return cmd, e.encodeMessage(m, inNotice)
}

// change renders what happened to a message after it was sent: an extension.
func (e Encoder) change(r protocol.Record) (cmd string, data any) {
	c := changed{Seq: r.Seq, ConversationID: r.Conversation()}
	switch event := r.Event.(type) {
	case protocol.MessageRecalled:
		c.ID, c.MessageSeq, c.Operator = event.Message.String(), event.Target, event.By
		return cmdRecall, c
	case protocol.MessageDeleted:
		c.ID, c.MessageSeq, c.Operator = event.Message.String(), event.Target, event.By
		return cmdDelete, c
	case protocol.MessageUpdated:
		c.ID, c.MessageSeq, c.Operator = event.Message.String(), event.Target, event.By
		shown := e.encodeMessage(protocol.Message{
			Conversation: r.Conversation(), MessageSent: protocol.MessageSent{Content: event.Content},
		}, inNotice)
		c.Profile, c.Body, c.BodyBlank = &shown.Profile, shown.Body, shown.BodyBlank
		return cmdUpdate, c
	}
	return "", nil
}

// presence is the data of online and offline notices. Both name the user in
// both ways, except where the document's own spelling is asked for.
func (e Encoder) presence(r protocol.Record, literal person) notice {
	user := protocol.UserID(r.Key.ID)
	if e.compat != Literal {
		literal = person{ID: user, StandardID: user}
	}
	return notice{Person: []person{literal}}
}

// blanked is a cmd that the document prints with a leading blank.
func (e Encoder) blanked(cmd string) string {
	if e.compat == Literal {
		return " " + cmd
	}
	return cmd
}

func numbered(members []protocol.Person) []person {
	persons := make([]person, 0, len(members))
	for _, m := range members {
		persons = append(persons, person{ID: m.Number, StandardID: m.User})
	}
	return persons
}

func named(members []protocol.Person) []person {
	persons := make([]person, 0, len(members))
	for _, m := range members {
		persons = append(persons, person{StandardID: m.User})
	}
	return persons
}
