package protocol

// Acknowledge tells that everything up to Seq reached the user's device. It is
// cumulative, a smaller Seq changes nothing, and one beyond the conversation's
// newest is Invalid. It is answered before it is stored: a crash may forget
// the last second, and a few messages are then sent again.
type Acknowledge struct {
	By           Principal
	Conversation ConversationID
	Seq          Seq
	Read         bool // the user has read them, too
}

func (c Acknowledge) Key() Key   { return UserKey(c.By.User) }
func (Acknowledge) answers(Done) {}

// Watermark is how far one user got in one conversation.
type Watermark struct {
	Conversation ConversationID
	Delivered    map[DeviceClass]Seq
	Read         Seq
}

// Reached is the farthest that any device got.
func (w Watermark) Reached() Seq {
	far := w.Read
	for _, seq := range w.Delivered {
		far = max(far, seq)
	}
	return far
}

// Watermarks asks for all watermarks of a user, by conversation id.
type Watermarks struct{ By Principal }

func (q Watermarks) Key() Key          { return UserKey(q.By.User) }
func (Watermarks) answers([]Watermark) {}

// ReceiptsAdvanced moves watermarks forward. Many acknowledgements become one
// of these.
type ReceiptsAdvanced struct {
	Receipts []Receipt `cbor:"1,keyasint"`
}

// Receipt is one step forward of one device class in one conversation. Zero
// means unchanged.
type Receipt struct {
	Conversation ConversationID `cbor:"1,keyasint"`
	Class        DeviceClass    `cbor:"2,keyasint,omitempty"`
	Delivered    Seq            `cbor:"3,keyasint,omitempty"`
	Read         Seq            `cbor:"4,keyasint,omitempty"`
}

func (ReceiptsAdvanced) event() {}
