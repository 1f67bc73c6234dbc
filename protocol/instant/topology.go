package instant

import (
	"crypto/rand"
	"encoding/hex"
	"strings"

	"instantd/protocol"
)

// The names of the AMQP side (SPEC §4.2). What the document prints is fixed:
// legacy clients declare and bind with these names themselves. exchange_u_ is
// ours: it stands between the many exchanges that a user listens to and his few
// queues, so that a login costs one binding and a membership one, too. So is
// exchange_instant_all, which passes on what everybody hears.
//
//	exchange_instant_base --instant.base--> queue_instant_base
//	exchange_instant_base --broadcast, event, u_.water_mark--> exchange_instant_all --> exchange_u_<id>
//	exchange_instant_base --u_<id>--> exchange_u_<id>
//	exchange_c_<cid> --c_<cid>--> exchange_u_<id> --> queue_u_<id>_<random>
const (
	exchangeBase = "exchange_instant_base"
	exchangeAll  = "exchange_instant_all"
	queueBase    = "queue_instant_base"
	queueDead    = "queue_instant_base_dead"

	keyBase      = "instant.base"
	keyBroadcast = "broadcast"
	keyEvent     = "event"
	keyWaterMark = "u_.water_mark"

	queuePrefix = "queue_u_"
)

func exchangeOfConversation(id protocol.ConversationID) string { return "exchange_c_" + string(id) }
func keyOfConversation(id protocol.ConversationID) string      { return "c_" + string(id) }
func exchangeOfUser(id protocol.UserID) string                 { return "exchange_u_" + string(id) }
func keyOfUser(id protocol.UserID) string                      { return "u_" + string(id) }

// QueueName makes up the name of a queue for one login of a user. Nobody can
// guess it.
func QueueName(user protocol.UserID) string {
	var random [16]byte
	_, _ = rand.Read(random[:]) // never fails
	return queuePrefix + string(user) + "_" + hex.EncodeToString(random[:])
}

// OwnsQueue tells whether a queue's name belongs to a user: his own id and
// something of the client's that is not empty. That part holds no underscore,
// otherwise the queues of user a_b would belong to user a as well.
func OwnsQueue(user protocol.UserID, name string) bool {
	rest, ok := strings.CutPrefix(name, queuePrefix+string(user)+"_")
	return ok && user != "" && rest != "" && !strings.Contains(rest, "_")
}

// bindable tells whether the key of a user means only him. In a topic exchange
// a word of * or # in a binding stands for any word, and such a user would read
// what others are sent; the key of the water mark is everybody's.
func bindable(user protocol.UserID) bool {
	if keyOfUser(user) == keyWaterMark {
		return false
	}
	for word := range strings.SplitSeq(keyOfUser(user), ".") {
		if word == "*" || word == "#" {
			return false
		}
	}
	return true
}

// Publication is where one copy of a frame goes.
type Publication struct{ Exchange, Key string }

// isPersonal tells whether only one user gets the frame.
func (p Publication) isPersonal() bool { return p.Exchange == exchangeBase && !isForAll(p.Key) }

func isForAll(key string) bool { return key == keyBroadcast || key == keyEvent || key == keyWaterMark }

// Route returns where the frame of a record goes. recipients are those who are
// to be sent a record of a conversation, or the neighbours of the user whose
// presence changed; nobody else reads them. It is empty when AMQP says nothing
// about such a record.
func Route(r protocol.Record, recipients []protocol.UserID) []Publication {
	switch r.Event.(type) {
	case protocol.MessageSent, protocol.MessageRecalled, protocol.MessageUpdated, protocol.MessageDeleted:
		if receivers := r.Receivers(); receivers != nil {
			return toUsers(receivers)
		}
		return toConversation(r.Conversation())
	case protocol.ConversationCreated, protocol.MembersAdded, protocol.MembersRemoved, protocol.MemberLeft,
		protocol.ConversationRenamed, protocol.OwnerChanged, protocol.ConversationDissolved,
		protocol.CameOnline, protocol.WentOffline:
		return toUsers(recipients)
	case protocol.WaterMarkChanged:
		return []Publication{{exchangeBase, keyWaterMark}}
	}
	return nil
}

// wantsRecipients tells whether Route looks at the recipients of a record.
func wantsRecipients(r protocol.Record) bool {
	switch r.Event.(type) {
	case protocol.ConversationCreated, protocol.MembersAdded, protocol.MembersRemoved, protocol.MemberLeft,
		protocol.ConversationRenamed, protocol.OwnerChanged, protocol.ConversationDissolved,
		protocol.CameOnline, protocol.WentOffline:
		return true
	}
	return false
}

func toConversation(id protocol.ConversationID) []Publication {
	switch id {
	case protocol.BroadcastFeed:
		return []Publication{{exchangeBase, keyBroadcast}}
	case protocol.ReportFeed:
		return []Publication{{exchangeBase, keyEvent}}
	}
	return []Publication{{exchangeOfConversation(id), keyOfConversation(id)}}
}

func toUsers(users []protocol.UserID) []Publication {
	publications := make([]Publication, 0, len(users))
	for _, user := range users {
		if keyOfUser(user) == keyWaterMark {
			continue // what is his would reach everybody
		}
		publications = append(publications, Publication{exchangeBase, keyOfUser(user)})
	}
	return publications
}

// A step is one change of the broker's topology. Every step may be repeated.
type step struct {
	do   verb
	name string // what is declared or deleted, or what is bound
	from string // the exchange that it is bound to
	key  string
}

type verb uint8

const (
	declareExchange  verb = iota + 1 // of the documented type
	declareFanout                    // of the type that passes everything on
	declareQueue                     // durable, for good
	declareDeadQueue                 // durable, for good, of limited length
	declareUserQueue                 // durable, gone when nobody consumes for long
	bindExchange
	bindQueue
	bindForeignQueue // a queue of the client's own, which may be gone
	unbindExchange
	unbindQueue
	deleteExchange
	deleteQueue
)

// baseSteps declares what the center and the clients meet at.
func baseSteps() []step {
	return []step{
		{do: declareExchange, name: exchangeBase},
		{do: declareFanout, name: exchangeAll},
		{do: bindExchange, name: exchangeAll, from: exchangeBase, key: keyBroadcast},
		{do: bindExchange, name: exchangeAll, from: exchangeBase, key: keyEvent},
		{do: bindExchange, name: exchangeAll, from: exchangeBase, key: keyWaterMark},
		{do: declareQueue, name: queueBase},
		{do: declareDeadQueue, name: queueDead},
		{do: bindQueue, name: queueBase, from: exchangeBase, key: keyBase},
	}
}

// userSteps declares a user's exchange and binds it to everything that he
// listens to. The exchanges of the conversations must exist.
func userSteps(user protocol.UserID, conversations []protocol.ConversationID) []step {
	name := exchangeOfUser(user)
	steps := []step{
		{do: declareFanout, name: name},
		{do: bindExchange, name: name, from: exchangeBase, key: keyOfUser(user)},
		{do: bindExchange, name: name, from: exchangeAll},
	}
	for _, id := range conversations {
		steps = append(steps, memberStep(bindExchange, id, user))
	}
	return steps
}

// memberStep binds or unbinds a user's exchange and a conversation's.
func memberStep(do verb, id protocol.ConversationID, user protocol.UserID) step {
	return step{do: do, name: exchangeOfUser(user), from: exchangeOfConversation(id), key: keyOfConversation(id)}
}

// queueSteps makes a queue one of a user's. The user's exchange must exist.
func queueSteps(user protocol.UserID, queue protocol.Queue) []step {
	if queue.Declared {
		return []step{{do: bindForeignQueue, name: queue.Name, from: exchangeOfUser(user)}}
	}
	return []step{
		{do: declareUserQueue, name: queue.Name},
		{do: bindQueue, name: queue.Name, from: exchangeOfUser(user)},
	}
}

// releaseStep takes a queue away from a user.
func releaseStep(user protocol.UserID, queue protocol.Queue) step {
	if queue.Declared {
		return step{do: unbindQueue, name: queue.Name, from: exchangeOfUser(user)}
	}
	return step{do: deleteQueue, name: queue.Name}
}

func userStep(do verb, id protocol.UserID) step {
	return step{do: do, name: exchangeOfUser(id)}
}

func conversationStep(do verb, id protocol.ConversationID) step {
	return step{do: do, name: exchangeOfConversation(id)}
}
