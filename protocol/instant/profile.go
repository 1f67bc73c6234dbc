package instant

import (
	"encoding/json"
	"path"
	"strings"

	"instantd/protocol"
)

// dialectName marks payloads that only this dialect reads.
const dialectName = "instant"

// The types of a profile entry in a message (SPEC §3.1).
const (
	typeText = iota
	typeVoice
	typeImage
	typePlain // text document
	typePDF
	typeDoc
	typeSheet
	typeSlides
	typeAudio
	typeVideo
	typeArchive
	typeUnknown
)

// The types in a broadcast or event that mean something else than in a message.
const feedVideo = 3

// kinds and media tell what a message's type means to other dialects. A medium
// is only given where the kind alone does not tell the types apart.
var (
	kinds = [...]protocol.PartKind{
		typeText: protocol.PartText, typeVoice: protocol.PartVoice, typeImage: protocol.PartImage,
		typePlain: protocol.PartDocument, typePDF: protocol.PartDocument, typeDoc: protocol.PartDocument,
		typeSheet: protocol.PartDocument, typeSlides: protocol.PartDocument, typeAudio: protocol.PartAudio,
		typeVideo: protocol.PartVideo, typeArchive: protocol.PartArchive, typeUnknown: protocol.PartFile,
	}
	media = map[int]string{
		typePlain: "text/plain", typePDF: "application/pdf", typeDoc: "application/msword",
		typeSheet: "application/vnd.ms-excel", typeSlides: "application/vnd.ms-powerpoint",
	}
	extensions = map[string]int{
		".amr": typeVoice, ".silk": typeVoice,
		".jpg": typeImage, ".jpeg": typeImage, ".png": typeImage, ".gif": typeImage, ".bmp": typeImage, ".webp": typeImage,
		".txt": typePlain, ".md": typePlain, ".log": typePlain, ".csv": typePlain,
		".pdf": typePDF,
		".doc": typeDoc, ".docx": typeDoc, ".wps": typeDoc, ".rtf": typeDoc, ".odt": typeDoc,
		".xls": typeSheet, ".xlsx": typeSheet, ".et": typeSheet, ".ods": typeSheet,
		".ppt": typeSlides, ".pptx": typeSlides, ".dps": typeSlides, ".odp": typeSlides,
		".mp3": typeAudio, ".wav": typeAudio, ".m4a": typeAudio, ".aac": typeAudio, ".ogg": typeAudio, ".flac": typeAudio, ".opus": typeAudio,
		".mp4": typeVideo, ".mov": typeVideo, ".avi": typeVideo, ".mkv": typeVideo, ".webm": typeVideo, ".3gp": typeVideo,
		".zip": typeArchive, ".rar": typeArchive, ".7z": typeArchive, ".gz": typeArchive, ".tar": typeArchive, ".tgz": typeArchive,
	}
)

// entry is one profile entry as a client sent it.
type entry struct {
	Type    int
	Name    string // a text, or the name of a file
	Seconds int
}

// file is a stored or arriving file that belongs to an entry.
type file struct {
	Name string
	Path string
	MIME string
	Size int64
}

// decodeProfile reads the entries of profile (SPEC §3.1).
func decodeProfile(o object) ([]entry, error) {
	objects, err := o.objects("profile")
	if err != nil {
		return nil, err
	}
	entries := make([]entry, 0, len(objects))
	for _, p := range objects {
		e, err := decodeEntry(p)
		if err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	return entries, nil
}

func decodeEntry(o object) (entry, error) {
	typ, present, err := o.integer("type")
	if err != nil {
		return entry{}, err
	}
	if !present {
		return entry{}, o.missing("type")
	}
	if typ < typeText || typ > typeUnknown {
		return entry{}, protocol.Errorf(protocol.Invalid, "%s is not between 0 and 11", o.name("type"))
	}
	seconds, err := o.seconds("audio_duration")
	if err != nil {
		return entry{}, err
	}
	if typ == typeText {
		text, present, err := o.text("name")
		if err == nil && !present {
			err = o.missing("name")
		}
		return entry{Type: typ, Name: text}, err
	}
	name, _, err := o.label("name")
	return entry{Type: typ, Name: strings.TrimSpace(name), Seconds: seconds}, err
}

// messageType turns the type of a broadcast's or event's entry into a
// message's: there 3 is a video (SPEC §3.1).
func (e entry) messageType(feed bool) int {
	if feed && e.Type == feedVideo {
		return typeVideo
	}
	return e.Type
}

// part is the entry for every dialect. Entries that are no text have a file.
func (e entry) part(feed bool, f file) protocol.Part {
	typ := e.messageType(feed)
	if typ == typeText {
		return protocol.Part{Kind: protocol.PartText, Text: e.Name}
	}
	name := e.Name
	if name == "" {
		name = f.Name
	}
	medium := f.MIME
	if m, ok := media[typ]; ok && (medium == "" || generic(medium)) {
		medium = m
	}
	return protocol.Part{Kind: kinds[typ], Name: name, Path: f.Path, MIME: medium, Size: f.Size, Seconds: e.Seconds}
}

// generic media say too little to replace what the sender said.
func generic(medium string) bool {
	switch medium {
	case "application/octet-stream", "application/zip", "application/x-ole-storage":
		return true
	}
	return false
}

// fileType guesses the message type of a file that no entry speaks of.
func fileType(name, medium string) int {
	if typ, ok := extensions[strings.ToLower(path.Ext(name))]; ok {
		return typ
	}
	return mediaType(medium)
}

// mediaType is the message type of a document by its medium.
func mediaType(medium string) int {
	medium, _, _ = strings.Cut(medium, ";")
	has := func(words ...string) bool {
		for _, word := range words {
			if strings.Contains(medium, word) {
				return true
			}
		}
		return false
	}
	switch {
	case strings.HasPrefix(medium, "image/"):
		return typeImage
	case strings.HasPrefix(medium, "audio/"):
		return typeAudio
	case strings.HasPrefix(medium, "video/"):
		return typeVideo
	case strings.HasPrefix(medium, "text/"):
		return typePlain
	case medium == "application/pdf":
		return typePDF
	case has("msword", "wordprocessing", "opendocument.text", "rtf"):
		return typeDoc
	case has("ms-excel", "spreadsheet"):
		return typeSheet
	case has("ms-powerpoint", "presentation"):
		return typeSlides
	case has("zip", "x-7z", "x-rar", "x-tar"):
		return typeArchive
	}
	return typeUnknown
}

// partType is the type by which a part is shown when no payload says it.
func partType(p protocol.Part, feed bool) int {
	switch p.Kind {
	case protocol.PartText, protocol.PartLocation:
		return typeText
	case protocol.PartVoice:
		return typeVoice
	case protocol.PartImage:
		return typeImage
	case protocol.PartAudio:
		return typeAudio
	case protocol.PartVideo:
		if feed {
			return feedVideo
		}
		return typeVideo
	case protocol.PartArchive:
		return typeArchive
	case protocol.PartDocument:
		if typ := mediaType(p.MIME); typ >= typePlain && typ <= typeSlides && !(feed && typ == typePlain) {
			return typ
		}
	}
	return typeUnknown
}

// withTypes keeps the types that a client sent as the payload, but only where
// the parts alone would give back others.
func withTypes(c protocol.Content, entries []entry, feed bool) protocol.Content {
	types := make([]int, len(entries))
	parts := c.Parts[len(c.Parts)-len(entries):] // the entries' own; a body and a place come before
	same := true
	for i, e := range entries {
		types[i] = e.Type
		same = same && partType(parts[i], feed) == e.Type
	}
	if same {
		return c
	}
	c.Dialect, c.Payload = dialectName, marshal(types)
	return c
}

// types are those that withTypes kept for a profile of n entries.
func types(c protocol.Content, n int) ([]int, bool) {
	if c.Dialect != dialectName || len(c.Payload) == 0 {
		return nil, false
	}
	var kept []int
	if json.Unmarshal(c.Payload, &kept) != nil || len(kept) != n {
		return nil, false
	}
	return kept, true
}

// encodeProfile renders parts as entries. In events the key is path, without a
// blank.
func (e Encoder) encodeProfile(c protocol.Content, parts []protocol.Part, feed, event bool) []profile {
	kept, ok := types(c, len(parts))
	entries := make([]profile, 0, len(parts))
	for i, p := range parts {
		entry := profile{ID: i, Type: partType(p, feed), Name: p.Name, AudioDuration: p.Seconds}
		if ok {
			entry.Type = kept[i]
		}
		switch p.Kind {
		case protocol.PartText:
			entry.Name = p.Text
		case protocol.PartLocation:
			entry.Name = strings.TrimSpace(p.Name + " " + p.Longitude + "," + p.Latitude)
		}
		entry.Path, entry.PathBlank = e.spell(p.Path, event)
		entries = append(entries, entry)
	}
	return entries
}
