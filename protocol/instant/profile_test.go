package instant

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"instantd/protocol"
)

// What this dialect was given it gives back: types, order, names, durations.
func TestProfilesComeBackAsTheyWereSent(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		area := rapid.SampledFrom([]protocol.FileArea{protocol.AreaMessage, protocol.AreaBroadcast, protocol.AreaEvent}).Draw(t, "area")
		mimes := rapid.SampledFrom([]string{"", "application/octet-stream", "application/zip", "image/png", "text/plain; charset=utf-8", "application/pdf", "video/mp4"})
		d := draft{Conversation: "c", Body: "body", Longitude: "1", Latitude: "2"}
		var files []file
		for i := range rapid.IntRange(1, 6).Draw(t, "entries") {
			e := entry{Type: rapid.IntRange(typeText, typeUnknown).Draw(t, "type"), Name: fmt.Sprint("n", i)}
			if e.Type != typeText {
				e.Seconds = rapid.IntRange(0, 9).Draw(t, "seconds")
			}
			d.Entries = append(d.Entries, e)
			files = append(files, file{Name: "f", Path: fmt.Sprint("/files/", i), MIME: mimes.Draw(t, "mime")})
		}
		command, err := d.send(area, alice, files)
		if err != nil {
			t.Fatal(err)
		}
		shown := NewEncoder(nil, Clean).encodeMessage(protocol.Message{
			Conversation: command.Conversation, MessageSent: protocol.MessageSent{Content: command.Content},
		}, inNotice)
		if len(shown.Profile) != len(d.Entries) {
			t.Fatalf("%d entries came back as %d", len(d.Entries), len(shown.Profile))
		}
		for i, p := range shown.Profile {
			if got := (entry{p.Type, p.Name, p.AudioDuration}); got != d.Entries[i] || p.ID != i {
				t.Errorf("%s: entry %d: got %+v, want %+v", area, i, got, d.Entries[i])
			}
			if d.Entries[i].Type != typeText && *p.Path != files[i].Path {
				t.Errorf("entry %d lost its file: %s", i, *p.Path)
			}
		}
	})
}

func TestPlainContentNeedsNoPayload(t *testing.T) {
	t.Parallel()
	command, err := draft{Conversation: "c", Entries: []entry{{Name: "a"}, {Type: typePDF}, {Type: typeVideo}}}.send(
		protocol.AreaMessage, alice, []file{{}, {MIME: "application/pdf"}, {MIME: "video/mp4"}})
	if err != nil {
		t.Fatal(err)
	}
	if command.Content.Payload != nil || command.Content.Dialect != "" {
		t.Errorf("the payload is %s", command.Content.Payload)
	}
}

// What other dialects send is shown by the documented types.
func TestForeignParts(t *testing.T) {
	t.Parallel()
	document := func(medium string) protocol.Part { return protocol.Part{Kind: protocol.PartDocument, MIME: medium} }
	for name, test := range map[string]struct {
		part         protocol.Part
		message, fed int
	}{
		"text":               {protocol.Part{Kind: protocol.PartText}, 0, 0},
		"voice":              {protocol.Part{Kind: protocol.PartVoice}, 1, 1},
		"image":              {protocol.Part{Kind: protocol.PartImage}, 2, 2},
		"plain":              {document("text/plain; charset=utf-8"), 3, 11},
		"pdf":                {document("application/pdf"), 4, 4},
		"docx":               {document("application/vnd.openxmlformats-officedocument.wordprocessingml.document"), 5, 5},
		"odt":                {document("application/vnd.oasis.opendocument.text"), 5, 5},
		"xlsx":               {document("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"), 6, 6},
		"pptx":               {document("application/vnd.openxmlformats-officedocument.presentationml.presentation"), 7, 7},
		"a strange document": {document("application/x-strange"), 11, 11},
		"audio":              {protocol.Part{Kind: protocol.PartAudio}, 8, 8},
		"video":              {protocol.Part{Kind: protocol.PartVideo}, 9, 3},
		"archive":            {protocol.Part{Kind: protocol.PartArchive}, 10, 10},
		"file":               {protocol.Part{Kind: protocol.PartFile}, 11, 11},
		"custom":             {protocol.Part{Kind: protocol.PartCustom}, 11, 11},
	} {
		if got := partType(test.part, false); got != test.message {
			t.Errorf("%s in a message: got %d, want %d", name, got, test.message)
		}
		if got := partType(test.part, true); got != test.fed {
			t.Errorf("%s in a broadcast: got %d, want %d", name, got, test.fed)
		}
	}
	place := NewEncoder(nil, Clean).encodeProfile(protocol.Content{}, []protocol.Part{locationTag}, false, false)
	if place[0].Type != typeText || place[0].Name != "22.123,100.2" {
		t.Errorf("a location in a conversation is %+v", place[0])
	}
}

func TestFileType(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]int{
		"A.AMR": typeVoice, "a.JPG": typeImage, "a.txt": typePlain, "a.pdf": typePDF, "a.docx": typeDoc, "a.xlsx": typeSheet,
		"a.ppt": typeSlides, "a.mp3": typeAudio, "a.mp4": typeVideo, "a.tar.gz": typeArchive, "a.exe": typeUnknown, "": typeUnknown,
	} {
		if got := fileType(name, "application/octet-stream"); got != want {
			t.Errorf("%q: got %d, want %d", name, got, want)
		}
	}
	if got := fileType("noname", "image/png"); got != typeImage {
		t.Errorf("without an extension the content counts: got %d", got)
	}
}

func TestPair(t *testing.T) {
	t.Parallel()
	files := func(names ...string) (all []file) {
		for _, name := range names {
			all = append(all, file{Name: name})
		}
		return all
	}
	text, image := entry{Type: typeText, Name: "b"}, func(name string) entry { return entry{Type: typeImage, Name: name} }
	for name, test := range map[string]struct {
		entries []entry
		files   []file
		want    []int
		refused string
	}{
		"in order":                       {[]entry{image(""), image("")}, files("a", "b"), []int{0, 1}, ""},
		"texts take no file":             {[]entry{text, image("")}, files("b"), []int{-1, 0}, ""},
		"a name wins over the order":     {[]entry{image("b"), image("a")}, files("a", "b"), []int{1, 0}, ""},
		"a late name is not taken away":  {[]entry{image("x"), image("a")}, files("a", "b"), []int{1, 0}, ""},
		"two files of one name":          {[]entry{image("a"), image("a")}, files("a", "a"), []int{0, 1}, ""},
		"a file more gets an entry":      {[]entry{text}, files("z.zip"), []int{-1, 0}, ""},
		"files alone are entries":        {nil, files("a.png", "b.png"), []int{0, 1}, ""},
		"an entry without a file is 400": {[]entry{text, image("a"), image("b")}, files("b"), nil, "profile[1] has no file"},
	} {
		entries, got, err := pair(test.entries, test.files)
		if test.refused != "" {
			wantRefusal(t, name, err, protocol.Invalid, test.refused)
			continue
		}
		if diff := cmp.Diff(test.want, got); diff != "" || err != nil || len(entries) != len(got) {
			t.Errorf("%s: %v %v (-want +got):\n%s", name, entries, err, diff)
		}
	}
}
