package protocol

// Queue is the stored intent that an AMQP queue be bound for a user. What it
// takes to bind it, and how, is the dialect's business.
type Queue struct {
	Name     string      `cbor:"1,keyasint"`
	Class    DeviceClass `cbor:"2,keyasint,omitempty"`
	Declared bool        `cbor:"3,keyasint,omitempty"` // by the client: the server binds it, but neither declares nor deletes it
}

// MaxQueues bounds the queues of one user.
const MaxQueues = 16

// BindQueue makes a queue one of the user's until its device class logs out. A
// queue that the client declared stands beside the others; one that the server
// is to declare replaces the class's former one. The same name again binds the
// queue anew: it may have vanished from the broker meanwhile.
type BindQueue struct {
	By    Principal
	Queue Queue
}

func (c BindQueue) Key() Key   { return UserKey(c.By.User) }
func (BindQueue) answers(User) {}

// QueueBound adds a queue to a user's, or says again that it is one.
type QueueBound struct {
	Queue Queue `cbor:"1,keyasint"`
}

// QueueReleased takes a queue away.
type QueueReleased struct {
	Queue Queue `cbor:"1,keyasint"`
}

func (QueueBound) event()    {}
func (QueueReleased) event() {}
