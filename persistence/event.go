package persistence

import (
	"encoding/binary"
	"fmt"
	"reflect"

	"instantd/protocol"
)

// eventType is how one type of event is stored: its number in one byte, then
// its CBOR.
type eventType struct {
	number byte
	goType reflect.Type
	decode func([]byte) (protocol.Event, error)
}

func stored[E protocol.Event](number byte) eventType {
	return eventType{number, reflect.TypeFor[E](), func(data []byte) (protocol.Event, error) { return decode[E](data) }}
}

// eventTypes numbers all events. Numbers are never reused; a new type takes
// the next one.
var eventTypes = []eventType{
	stored[protocol.ConversationCreated](1),
	stored[protocol.MembersAdded](2),
	stored[protocol.MembersRemoved](3),
	stored[protocol.MemberLeft](4),
	stored[protocol.ConversationRenamed](5),
	stored[protocol.OwnerChanged](6),
	stored[protocol.ConversationDissolved](7),
	stored[protocol.MessageSent](numberSent),
	stored[protocol.MessageRecalled](9),
	stored[protocol.MessageUpdated](10),
	stored[protocol.MessageDeleted](11),
	stored[protocol.UserImported](12),
	stored[protocol.UserDeleted](13),
	stored[protocol.LoggedIn](14),
	stored[protocol.LoggedOut](15),
	stored[protocol.QueueBound](16),
	stored[protocol.QueueReleased](17),
	stored[protocol.CameOnline](18),
	stored[protocol.WentOffline](19),
	stored[protocol.OfflineCaught](20),
	stored[protocol.ReceiptsAdvanced](21),
	stored[protocol.WaterMarkChanged](22),
	stored[protocol.PlatformBrokerChanged](23),
}

var (
	byType   = indexEvents(func(t eventType) reflect.Type { return t.goType })
	byNumber = indexEvents(func(t eventType) byte { return t.number })
)

func indexEvents[K comparable](of func(eventType) K) map[K]eventType {
	index := make(map[K]eventType, len(eventTypes))
	for _, t := range eventTypes {
		index[of(t)] = t
	}
	return index
}

// numberSent is the number of MessageSent: histories skip notices by it,
// without decoding them.
const numberSent = 8

func encodeEvent(e protocol.Event) ([]byte, error) {
	t, ok := byType[reflect.TypeOf(e)]
	if !ok {
		return nil, fmt.Errorf("event %T cannot be stored", e)
	}
	data, err := encode(e)
	if err != nil {
		return nil, err
	}
	return append([]byte{t.number}, data...), nil
}

func decodeEvent(data []byte) (protocol.Event, error) {
	if len(data) == 0 {
		return nil, fmt.Errorf("stored event is empty")
	}
	t, ok := byNumber[data[0]]
	if !ok {
		return nil, fmt.Errorf("stored event has the unknown type number %d", data[0])
	}
	return t.decode(data[1:])
}

// A row of tableOrder begins with the KeyKind. A conversation's is a pointer
// to the log: seq in eight bytes, then the conversation's id. Others hold the
// record: the length of the key's id in two bytes, the id, the event.

func pointer(id protocol.ConversationID, seq protocol.Seq) []byte {
	row := make([]byte, 0, 1+numberSize+len(id))
	return append(num(append(row, byte(protocol.KindConversation)), seq), id...)
}

func inline(key protocol.Key, event []byte) []byte {
	row := make([]byte, 0, 3+len(key.ID)+len(event))
	row = binary.BigEndian.AppendUint16(append(row, byte(key.Kind)), uint16(len(key.ID)))
	return append(append(row, key.ID...), event...)
}

// decodeOrder reads a row of tableOrder. The Event of a conversation's record
// is nil: it stands in the log.
func decodeOrder(id protocol.MessageID, row []byte) (protocol.Record, error) {
	malformed := func() (protocol.Record, error) {
		return protocol.Record{}, fmt.Errorf("order row %s is malformed", id)
	}
	if len(row) < 1 {
		return malformed()
	}
	kind, rest := protocol.KeyKind(row[0]), row[1:]
	switch kind {
	case protocol.KindConversation:
		if len(rest) <= numberSize {
			return malformed()
		}
		return protocol.Record{
			ID: id, Key: protocol.Key{Kind: kind, ID: string(rest[numberSize:])},
			Seq: protocol.Seq(binary.BigEndian.Uint64(rest)),
		}, nil
	case protocol.KindUser, protocol.KindSite:
		if len(rest) < 2 {
			return malformed()
		}
		n := int(binary.BigEndian.Uint16(rest))
		if len(rest) < 2+n {
			return malformed()
		}
		event, err := decodeEvent(rest[2+n:])
		if err != nil {
			return protocol.Record{}, fmt.Errorf("order row %s: %w", id, err)
		}
		return protocol.Record{ID: id, Key: protocol.Key{Kind: kind, ID: string(rest[2 : 2+n])}, Event: event}, nil
	}
	return malformed()
}
