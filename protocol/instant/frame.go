package instant

import (
	"encoding/json"
	"strings"

	"instantd/protocol"
)

// Frame is what a peer asks for. At most one command is set; a ping has none.
// The commands lack By, which the session knows.
type Frame struct {
	Ref         json.RawMessage // as the peer wrote it, nil when absent
	Send        *protocol.SendMessage
	Acknowledge *protocol.Acknowledge
}

// DecodeFrame reads a frame of a peer (SPEC §6.2). With an error, Ref is set if
// it could be read.
func DecodeFrame(body []byte) (Frame, error) {
	if len(body) > maxFrame {
		return Frame{}, protocol.Errorf(protocol.TooLarge, "the frame is larger than %d bytes", maxFrame)
	}
	o, err := parseObject(body)
	if err != nil {
		return Frame{}, err
	}
	var f Frame
	if ref, ok := o.raw("ref"); ok {
		if len(ref) > maxRef {
			return Frame{}, protocol.Errorf(protocol.Invalid, "ref is longer than %d bytes", maxRef)
		}
		f.Ref = ref
	}
	cmd, present, err := o.text("cmd")
	if err != nil {
		return f, err
	}
	if !present {
		return f, o.missing("cmd")
	}
	cmd = strings.TrimSpace(cmd)
	switch cmd {
	case "ping":
		return f, nil
	case "send", "ack", "read":
	default:
		return f, protocol.Errorf(protocol.Invalid, "cmd is none of send, ack, read, ping")
	}
	raw, ok := o.raw("data")
	if !ok {
		return f, o.missing("data")
	}
	data, err := asObject("data.", "data", raw)
	if err != nil {
		return f, err
	}
	if cmd == "send" {
		f.Send, err = decodeSend(data)
		return f, err
	}
	f.Acknowledge, err = decodeAcknowledge(data, cmd == "read")
	return f, err
}

func decodeSend(o object) (*protocol.SendMessage, error) {
	draft, err := draftOf(o, "")
	if err != nil {
		return nil, err
	}
	command, err := draft.text(protocol.Principal{})
	if err != nil {
		return nil, err
	}
	return &command, nil
}

func decodeAcknowledge(o object, read bool) (*protocol.Acknowledge, error) {
	id, err := o.requiredID("conversation_id")
	if err != nil {
		return nil, err
	}
	seq, present, err := o.integer("seq")
	if err != nil {
		return nil, err
	}
	if !present {
		return nil, o.missing("seq")
	}
	if seq < 0 {
		return nil, protocol.Errorf(protocol.Invalid, "%s is negative", o.name("seq"))
	}
	return &protocol.Acknowledge{Conversation: protocol.ConversationID(id), Seq: protocol.Seq(seq), Read: read}, nil
}
