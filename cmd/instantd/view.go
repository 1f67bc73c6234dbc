package main

import (
	"cmp"
	"slices"
	"time"

	"instantd/cmd/operator"
	"instantd/protocol"
)

func userView(u protocol.User, listed []protocol.Listed, watermarks []protocol.Watermark) operator.User {
	view := operator.User{
		ID: string(u.ID), Number: u.Number, Name: u.Profile.Name, Sex: sexText(u.Profile.Sex),
		Platform: string(u.Profile.Platform), Stub: u.Stub, Deleted: u.Deleted, Created: u.CreatedAt(),
		Online: u.Online, Logins: []operator.Login{}, Queues: []operator.Queue{}, Conversations: []operator.Standing{},
	}
	if !u.Online {
		view.OfflineSince = timeOf(u.OfflineAt)
	}
	for _, l := range u.Logins {
		view.Logins = append(view.Logins, operator.Login{
			Class: string(l.Class), Platform: string(l.Platform), Access: l.Token != "", Since: l.At.Time(),
		})
	}
	for _, q := range u.Queues {
		view.Queues = append(view.Queues, operator.Queue{Name: q.Name, Class: string(q.Class), Declared: q.Declared})
	}
	for _, c := range listed {
		standing := operator.Standing{
			Conversation: string(c.ID), Kind: kindText(c.Kind), Name: c.Name, Members: len(c.Members),
			Head: uint64(c.Head), Delivered: map[string]uint64{},
		}
		if w, ok := watermarkOf(c.ID, watermarks); ok {
			standing.Read = uint64(w.Read)
			for class, seq := range w.Delivered {
				standing.Delivered[string(class)] = uint64(seq)
			}
		}
		view.Conversations = append(view.Conversations, standing)
	}
	return view
}

// watermarkOf finds a conversation in watermarks that are sorted by it.
func watermarkOf(id protocol.ConversationID, watermarks []protocol.Watermark) (protocol.Watermark, bool) {
	i, ok := slices.BinarySearchFunc(watermarks, id, func(w protocol.Watermark, id protocol.ConversationID) int {
		return cmp.Compare(w.Conversation, id)
	})
	if !ok {
		return protocol.Watermark{}, false
	}
	return watermarks[i], true
}

func conversationView(c protocol.ConversationView) operator.Conversation {
	view := operator.Conversation{
		ID: string(c.ID), Kind: kindText(c.Kind), Name: c.Name, Owner: string(c.Owner), Creator: string(c.Creator),
		Created: c.CreatedAt(), Ended: timeOf(c.Ended), Head: uint64(c.Head), Members: []operator.Member{},
	}
	for _, m := range c.Members {
		view.Members = append(view.Members, operator.Member{
			ID: string(m.User), Number: m.Number, Since: uint64(m.Since), Joined: m.JoinedID.Time(),
		})
	}
	return view
}

func messageView(m protocol.Message) operator.Message {
	view := operator.Message{
		ID: m.ID.String(), Seq: uint64(m.Seq), Sent: m.At(), Sender: string(m.Sender),
		State: stateText(m.State), Content: []operator.Part{},
	}
	for _, p := range m.Content.Parts {
		view.Content = append(view.Content, operator.Part{
			Kind: partText(p.Kind), Text: p.Text, Name: p.Name, Path: p.Path, MIME: p.MIME, Size: p.Size, Seconds: p.Seconds,
		})
	}
	return view
}

func receiptView(user protocol.UserID, id protocol.ConversationID, seq protocol.Seq, watermarks []protocol.Watermark) operator.Receipt {
	view := operator.Receipt{User: string(user), Delivered: []string{}}
	w, _ := watermarkOf(id, watermarks)
	for class, reached := range w.Delivered {
		if reached >= seq {
			view.Delivered = append(view.Delivered, string(class))
		}
	}
	slices.Sort(view.Delivered)
	view.Read = w.Read >= seq
	return view
}

// timeOf is when an event was committed, nil for no event.
func timeOf(id protocol.MessageID) *time.Time {
	if id == 0 {
		return nil
	}
	t := id.Time()
	return &t
}

func sexText(s protocol.Sex) string {
	switch s {
	case protocol.SexMale:
		return "male"
	case protocol.SexFemale:
		return "female"
	}
	return "unknown"
}

func kindText(k protocol.ConversationKind) string {
	switch k {
	case protocol.Direct:
		return "single"
	case protocol.Group:
		return "group"
	case protocol.Feed:
		return "feed"
	}
	return "unknown"
}

func stateText(s protocol.MessageState) string {
	switch s {
	case protocol.MessageEdited:
		return "edited"
	case protocol.MessageTakenBack:
		return "recalled"
	case protocol.MessageErased:
		return "deleted"
	}
	return "kept"
}

var partTexts = map[protocol.PartKind]string{
	protocol.PartText: "text", protocol.PartVoice: "voice", protocol.PartImage: "image",
	protocol.PartDocument: "document", protocol.PartAudio: "audio", protocol.PartVideo: "video",
	protocol.PartArchive: "archive", protocol.PartFile: "file", protocol.PartLocation: "location",
	protocol.PartCustom: "custom",
}

func partText(k protocol.PartKind) string {
	if text, ok := partTexts[k]; ok {
		return text
	}
	return "unknown"
}
