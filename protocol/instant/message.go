package instant

import (
	"slices"
	"strings"

	"instantd/protocol"
)

// draft is what a client wants to say, before its files are known.
type draft struct {
	Conversation        protocol.ConversationID
	Publisher           protocol.UserID // empty means the caller
	ClientID            string
	Body                string
	Longitude, Latitude string
	Entries             []entry
}

// decodeDraft reads a body of c_message_text, the data part of an upload, or
// the data of a send frame (SPEC §3.2). clientID is the Idempotency-Key that
// holds when the body has no client_msg_id.
func decodeDraft(body []byte, clientID string) (draft, error) {
	o, err := parseObject(body)
	if err != nil {
		return draft{}, err
	}
	return draftOf(o, clientID)
}

func draftOf(o object, clientID string) (draft, error) {
	conversation, err := o.id("conversation_id")
	if err != nil {
		return draft{}, err
	}
	if protocol.ConversationID(conversation).IsReserved() {
		return draft{}, protocol.Errorf(protocol.Invalid, "conversation_id names a feed: send with type=broadcast or type=event")
	}
	publisher, err := o.id("publisher_standard_id")
	if err != nil {
		return draft{}, err
	}
	named, err := o.token("client_msg_id")
	if err != nil {
		return draft{}, err
	}
	if named != "" {
		clientID = named
	}
	if len(clientID) > protocol.MaxClientIDLength {
		return draft{}, protocol.Errorf(protocol.Invalid, "%s is longer than %d bytes", o.name("client_msg_id"), protocol.MaxClientIDLength)
	}
	if err := protocol.CheckText(o.name("client_msg_id"), clientID); err != nil {
		return draft{}, err
	}
	text, _, err := o.text("body")
	if err != nil {
		return draft{}, err
	}
	longitude, err := coordinate(o, "longitude")
	if err != nil {
		return draft{}, err
	}
	latitude, err := coordinate(o, "latitude")
	if err != nil {
		return draft{}, err
	}
	entries, err := decodeProfile(o)
	if err != nil {
		return draft{}, err
	}
	return draft{
		Conversation: protocol.ConversationID(conversation), Publisher: protocol.UserID(publisher), ClientID: clientID,
		Body: text, Longitude: longitude, Latitude: latitude, Entries: entries,
	}, nil
}

// coordinate is text as the sender wrote it; a number is accepted as well.
func coordinate(o object, field string) (string, error) {
	text, err := o.token(field)
	if err != nil {
		return "", err
	}
	if len(text) > 64 {
		return "", protocol.Errorf(protocol.Invalid, "%s is longer than 64 bytes", o.name(field))
	}
	return text, protocol.CheckText(o.name(field), text)
}

// area tells where a draft goes. An event that calls itself a message is known
// by its place (SPEC §2.5).
func (d draft) area(named protocol.FileArea) protocol.FileArea {
	if named == protocol.AreaMessage && d.Conversation == "" && d.Longitude != "" && d.Latitude != "" {
		return protocol.AreaEvent
	}
	return named
}

// text is the command for a draft that has no files.
func (d draft) text(by protocol.Principal) (protocol.SendMessage, error) {
	for i, e := range d.Entries {
		if e.Type != typeText {
			return protocol.SendMessage{}, protocol.Errorf(protocol.Invalid, "profile[%d].type is not 0: files are sent to /uploads", i)
		}
	}
	return d.send(protocol.AreaMessage, by, nil)
}

// send is the command for a draft with its files; files[i] belongs to the i-th
// entry, as pair found out.
func (d draft) send(area protocol.FileArea, by protocol.Principal, files []file) (protocol.SendMessage, error) {
	command := protocol.SendMessage{By: by, Sender: d.Publisher, ClientID: d.ClientID, Conversation: d.Conversation}
	feed := area != protocol.AreaMessage
	switch area {
	case protocol.AreaBroadcast:
		command.Conversation = protocol.BroadcastFeed
	case protocol.AreaEvent:
		command.Conversation = protocol.ReportFeed
	}
	if command.Conversation == "" {
		return protocol.SendMessage{}, protocol.Errorf(protocol.Invalid, "conversation_id is missing")
	}
	var parts []protocol.Part
	if feed && d.Body != "" {
		parts = append(parts, protocol.Part{Kind: protocol.PartText, Text: d.Body})
	}
	if area == protocol.AreaEvent {
		parts = append(parts, protocol.Part{Kind: protocol.PartLocation, Longitude: d.Longitude, Latitude: d.Latitude})
	}
	if len(parts)+len(d.Entries) == 0 {
		return protocol.SendMessage{}, protocol.Errorf(protocol.Invalid, "profile is missing, and so is every other content")
	}
	for i, e := range d.Entries {
		var f file
		if i < len(files) {
			f = files[i]
		}
		parts = append(parts, e.part(feed, f))
	}
	command.Content = withTypes(protocol.Content{Parts: parts}, d.Entries, feed)
	return command, nil
}

// pair finds the file of each entry that is no text: the first of the same
// name, otherwise the next that is left. Files that no entry speaks of get an
// entry at the end. It returns the entries and, for each, the index of its
// file or -1.
func pair(entries []entry, files []file) ([]entry, []int, error) {
	paired := make([]int, len(entries))
	used := make([]bool, len(files))
	for i, e := range entries {
		paired[i] = -1
		if e.Type == typeText || e.Name == "" {
			continue
		}
		for j, f := range files {
			if !used[j] && f.Name == e.Name {
				paired[i], used[j] = j, true
				break
			}
		}
	}
	for i, e := range entries {
		if e.Type == typeText || paired[i] >= 0 {
			continue
		}
		next := slices.Index(used, false)
		if next < 0 {
			return nil, nil, protocol.Errorf(protocol.Invalid, "profile[%d] has no file", i)
		}
		paired[i], used[next] = next, true
	}
	for j, f := range files {
		if !used[j] {
			entries = append(slices.Clip(entries), entry{Type: fileType(f.Name, f.MIME), Name: f.Name})
			paired = append(paired, j)
		}
	}
	return entries, paired, nil
}

// place says where a message is shown, which decides its spelling.
type place uint8

const (
	inList   place = iota // an answer over HTTP
	inNotice              // an event over AMQP or WebSocket
)

// encodeMessage renders a message, broadcast or event (SPEC §3.1).
func (e Encoder) encodeMessage(m protocol.Message, where place) message {
	out := message{
		ID: m.ID.String(), Seq: m.Seq, CreateTime: formatClock(m.At(), e.location()), Publisher: m.Sender,
	}
	if where == inNotice {
		out.ConversationID = m.Conversation
	}
	switch m.State {
	case protocol.MessageEdited:
		out.State = "updated"
	case protocol.MessageTakenBack, protocol.MessageErased:
		out.State = "recalled"
	}
	if !m.Conversation.IsFeed() {
		out.Profile = e.encodeProfile(m.Content, m.Content.Parts, false, false)
		return out
	}
	if where == inList {
		out.ID = int64(m.ID)
	}
	body, longitude, latitude, parts := feedParts(m.Content)
	event := m.Conversation == protocol.ReportFeed
	out.Body, out.BodyBlank = e.spell(body, false)
	if event {
		out.Longitude, out.Latitude = &longitude, &latitude
	}
	out.Profile = e.encodeProfile(m.Content, parts, true, event)
	return out
}

// feedParts takes a broadcast or event apart: its first text is the body, its
// first location the place, everything else the profile.
func feedParts(c protocol.Content) (body, longitude, latitude string, rest []protocol.Part) {
	var spoken, placed bool
	for _, p := range c.Parts {
		switch {
		case p.Kind == protocol.PartText && !spoken:
			body, spoken = p.Text, true
		case p.Kind == protocol.PartLocation && !placed:
			longitude, latitude, placed = p.Longitude, p.Latitude, true
		default:
			rest = append(rest, p)
		}
	}
	return body, longitude, latitude, rest
}

func (e Encoder) encodeMessages(messages []protocol.Message) []message {
	out := make([]message, 0, len(messages))
	for _, m := range messages {
		out = append(out, e.encodeMessage(m, inList))
	}
	return out
}

// encodeThread renders the messages of one conversation in the order given.
func (e Encoder) encodeThread(id protocol.ConversationID, messages []protocol.Message) thread {
	t := thread{ConversationID: id, Messeages: e.encodeMessages(messages)}
	if e.compat == Clean {
		t.Messages = &t.Messeages
	}
	return t
}

func (e Encoder) encodeThreads(runs []protocol.Conversational) []thread {
	threads := make([]thread, 0, len(runs))
	for _, run := range runs {
		if len(run.Messages) > 0 {
			threads = append(threads, e.encodeThread(run.Conversation, run.Messages))
		}
	}
	return threads
}

// newestFirst flattens runs of one feed and turns them round.
func newestFirst(runs []protocol.Conversational) []protocol.Message {
	var messages []protocol.Message
	for _, run := range runs {
		messages = append(messages, run.Messages...)
	}
	slices.SortFunc(messages, func(a, b protocol.Message) int { return int(b.ID - a.ID) })
	return messages
}

// parseArea reads the type of an upload; without one it is a message.
func parseArea(text string) (protocol.FileArea, error) {
	switch area := protocol.FileArea(strings.TrimSpace(text)); area {
	case "":
		return protocol.AreaMessage, nil
	case protocol.AreaMessage, protocol.AreaBroadcast, protocol.AreaEvent:
		return area, nil
	}
	return "", protocol.Errorf(protocol.Invalid, "type is none of message, broadcast, event")
}
