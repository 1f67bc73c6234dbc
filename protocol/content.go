package protocol

// PartKind says what a part of a message is.
type PartKind uint8

const (
	PartText PartKind = iota + 1
	PartVoice
	PartImage
	PartDocument // MIME tells text, PDF, word processing, sheet or slides apart
	PartAudio
	PartVideo
	PartArchive
	PartFile     // a file of unknown kind
	PartLocation // Longitude and Latitude
	PartCustom   // only the sending dialect knows; see Content.Payload
)

// Part is one piece of a message that every dialect can render.
type Part struct {
	Kind      PartKind `cbor:"1,keyasint"`
	Text      string   `cbor:"2,keyasint,omitempty"` // PartText: the text itself
	Name      string   `cbor:"3,keyasint,omitempty"` // files: the name that the sender gave
	Path      string   `cbor:"4,keyasint,omitempty"` // files: the download path on this server, with a leading slash
	MIME      string   `cbor:"5,keyasint,omitempty"` // files: media type
	Size      int64    `cbor:"6,keyasint,omitempty"` // files: bytes
	Seconds   int      `cbor:"7,keyasint,omitempty"` // voice, audio, video: duration
	Longitude string   `cbor:"8,keyasint,omitempty"` // PartLocation: text as the sender wrote it
	Latitude  string   `cbor:"9,keyasint,omitempty"`
}

// Content is what a message says: parts for every dialect, and the sending
// dialect's own payload kept verbatim, so that the same dialect gives back
// exactly what it was given.
type Content struct {
	Parts   []Part `cbor:"1,keyasint,omitempty"`
	Dialect string `cbor:"2,keyasint,omitempty"` // the dialect that Payload belongs to
	Payload []byte `cbor:"3,keyasint,omitempty"`
}

// Text is content of one text part.
func Text(text string) Content { return Content{Parts: []Part{{Kind: PartText, Text: text}}} }

// Size estimates the stored bytes of a content.
func (c Content) Size() int {
	n := len(c.Payload) + len(c.Dialect)
	for _, p := range c.Parts {
		n += 16 + len(p.Text) + len(p.Name) + len(p.Path) + len(p.MIME) + len(p.Longitude) + len(p.Latitude)
	}
	return n
}
