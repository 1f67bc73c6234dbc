package actors

import (
	"cmp"
	"maps"
	"slices"

	"instantd/protocol"
)

// receipts are the watermarks of one user. Acknowledgements move them at once;
// what is not saved yet is kept beside them, so that many become one commit.
type receipts struct {
	marks   map[protocol.ConversationID]*protocol.Watermark
	pending map[place]protocol.Receipt
}

// place is where a receipt stands.
type place struct {
	conversation protocol.ConversationID
	class        protocol.DeviceClass
}

// saveReceipts makes what is pending durable.
type saveReceipts struct{}

// load takes what is stored, and keeps what is pending on top of it.
func (r *receipts) load(stored []protocol.Watermark) {
	r.marks = make(map[protocol.ConversationID]*protocol.Watermark, len(stored))
	for _, w := range stored {
		w.Delivered = maps.Clone(w.Delivered)
		if w.Delivered == nil {
			w.Delivered = map[protocol.DeviceClass]protocol.Seq{}
		}
		r.marks[w.Conversation] = &w
	}
	for _, p := range r.pending {
		r.mark(p)
	}
}

// reaches tells whether some device got as far as seq already, so that the
// store need not be asked whether seq exists.
func (r *receipts) reaches(id protocol.ConversationID, seq protocol.Seq) bool {
	w := r.marks[id]
	return w != nil && w.Reached() >= seq
}

// mark moves the watermarks forward and tells whether one moved.
func (r *receipts) mark(step protocol.Receipt) bool {
	w := r.marks[step.Conversation]
	if w == nil {
		w = &protocol.Watermark{Conversation: step.Conversation, Delivered: map[protocol.DeviceClass]protocol.Seq{}}
		r.marks[step.Conversation] = w
	}
	moved := step.Delivered > w.Delivered[step.Class] || step.Read > w.Read
	w.Delivered[step.Class] = max(w.Delivered[step.Class], step.Delivered)
	w.Read = max(w.Read, step.Read)
	return moved
}

// acknowledged moves the watermarks, to be saved later.
func (r *receipts) acknowledged(step protocol.Receipt) {
	if !r.mark(step) {
		return
	}
	if r.pending == nil {
		r.pending = map[place]protocol.Receipt{}
	}
	at := place{step.Conversation, step.Class}
	step.Read = max(step.Read, r.pending[at].Read)
	step.Delivered = max(step.Delivered, r.pending[at].Delivered)
	r.pending[at] = step
}

// advanced is the event that saves everything pending; none when nothing is.
func (r *receipts) advanced() []protocol.Event {
	if len(r.pending) == 0 {
		return nil
	}
	steps := slices.SortedFunc(maps.Values(r.pending), func(a, b protocol.Receipt) int {
		return cmp.Or(cmp.Compare(a.Conversation, b.Conversation), cmp.Compare(a.Class, b.Class))
	})
	return []protocol.Event{protocol.ReceiptsAdvanced{Receipts: steps}}
}

// saved takes out of the pending what was saved; newer steps stay.
func (r *receipts) saved(steps []protocol.Receipt) {
	for _, step := range steps {
		at := place{step.Conversation, step.Class}
		if r.pending[at] == step {
			delete(r.pending, at)
		}
	}
}

// of is how far a device class acknowledged.
func (r *receipts) of(class protocol.DeviceClass) map[protocol.ConversationID]protocol.Seq {
	far := make(map[protocol.ConversationID]protocol.Seq, len(r.marks))
	for id, w := range r.marks {
		if seq := w.Delivered[class]; seq > 0 {
			far[id] = seq
		}
	}
	return far
}

func (r *receipts) all() []protocol.Watermark {
	all := make([]protocol.Watermark, 0, len(r.marks))
	for _, w := range r.marks {
		all = append(all, protocol.Watermark{Conversation: w.Conversation, Delivered: maps.Clone(w.Delivered), Read: w.Read})
	}
	slices.SortFunc(all, func(a, b protocol.Watermark) int { return cmp.Compare(a.Conversation, b.Conversation) })
	return all
}

func (u *user) acknowledge(cmd protocol.Acknowledge, f facts) (decision, error) {
	if !f.in {
		return decision{}, protocol.Errorf(protocol.Forbidden, "not a member of the conversation")
	}
	if cmd.Seq > f.head {
		return decision{}, protocol.Errorf(protocol.Invalid, "seq is beyond the newest")
	}
	step := protocol.Receipt{Conversation: cmd.Conversation, Class: cmd.By.Class, Delivered: cmd.Seq}
	if cmd.Read {
		step.Read = cmd.Seq
	}
	return decision{answer: func([]protocol.Record) (any, error) {
		u.receipts.acknowledged(step)
		u.hold.Store(u.busy() || u.unsaved() != nil)
		return protocol.Done{}, nil
	}}, nil
}

func (u *user) unsaved() any {
	if len(u.receipts.pending) == 0 {
		return nil
	}
	return saveReceipts{}
}
