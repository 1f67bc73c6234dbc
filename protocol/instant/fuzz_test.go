package instant

import (
	"bytes"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"unicode/utf8"

	"instantd/protocol"
)

// seeds are the bodies and frames of the transcripts.
func seeds(f *testing.F) (bodies [][]byte) {
	f.Helper()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		f.Fatalf("no transcripts: %v", err)
	}
	amqp, err := filepath.Glob("testdata/amqp/*.txt")
	if err != nil || len(amqp) == 0 {
		f.Fatalf("no transcripts over AMQP: %v", err)
	}
	files = append(files, amqp...)
	form := regexp.MustCompile(`(?m)^\S*> .*?(\{.*(?:\n\s+.*)*)`)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for _, found := range form.FindAllSubmatch(text, -1) {
			bodies = append(bodies, found[1])
		}
	}
	return bodies
}

func FuzzDecodeConversation(f *testing.F) {
	for _, body := range seeds(f) {
		f.Add("POST", body)
		f.Add("PUT", body)
	}
	f.Fuzz(func(t *testing.T, method string, body []byte) {
		create, order, err := DecodeConversation(method, alice, body)
		if err != nil {
			wantCoded(t, err)
			return
		}
		if (create == nil) == (order == nil) {
			t.Fatalf("both or none: %v, %v", create, order)
		}
		if create == nil {
			checkID(t, order.Key().ID)
			return
		}
		for _, user := range append(create.Persons, create.Owner) {
			if user != "" {
				checkID(t, string(user))
			}
		}
	})
}

// wantCoded fails when bad input is taken for a defect.
func wantCoded(t *testing.T, err error) {
	t.Helper()
	if code := protocol.CodeOf(err); code != protocol.Invalid && code != protocol.TooLarge {
		t.Fatalf("bad input gives %v: %v", code, err)
	}
	if !utf8.ValidString(protocol.ReasonOf(err)) {
		t.Fatalf("the reason is no text: %q", err)
	}
}

func checkID(t *testing.T, id string) {
	t.Helper()
	if err := protocol.CheckID("id", id); err != nil {
		t.Fatalf("an id came through: %v", err)
	}
}

func FuzzDecodeBase(f *testing.F) {
	for _, body := range seeds(f) {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		commands, err := DecodeBase(body)
		if err != nil {
			wantCoded(t, err)
			return
		}
		for _, command := range commands {
			checkID(t, command.(interface{ Key() protocol.Key }).Key().ID)
			mark, is := command.(protocol.SetWaterMark)
			if is && NewEncoder(nil, Superset).Encode(record(protocol.SiteKey(), 0, protocol.WaterMarkChanged{Raw: mark.Raw})) == nil {
				t.Fatalf("a water mark that cannot be forwarded: %s", mark.Raw)
			}
		}
	})
}

func FuzzPeerFrame(f *testing.F) {
	for _, body := range seeds(f) {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		frame, err := DecodeFrame(body)
		if answer := marshal(reply{Cmd: cmdReply, Ref: frame.Ref}); answer == nil {
			t.Fatalf("a ref that cannot be answered: %q", frame.Ref)
		}
		if err != nil {
			wantCoded(t, err)
			return
		}
		if frame.Send != nil && frame.Acknowledge != nil {
			t.Fatal("two commands in one frame")
		}
		if frame.Send != nil {
			checkID(t, string(frame.Send.Conversation))
		}
	})
}

func FuzzToken(f *testing.F) {
	for _, text := range []string{"Tricolor<x>", "tricolor x", "<x>", "x", "Tricolor", "<<x>>"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		token := ParseToken(text)
		for _, again := range []string{string(token), "Tricolor<" + string(token) + ">", "TRICOLOR " + string(token)} {
			if got := ParseToken(again); got != token {
				t.Fatalf("%q is %q, but %q is %q", text, token, again, got)
			}
		}
	})
}

func FuzzUpload(f *testing.F) {
	whole := makeForm(f, `{"conversation_id":"c","profile":[{"type":2}]}`, false, formFile{"a.png", "png"})
	f.Add(formType, whole)
	f.Add(formType, makeForm(f, `{"conversation_id":"c"}`, true, formFile{"a", ""}, formFile{"b", "x"}))
	f.Add(formType, whole[:len(whole)-4])
	f.Add("application/json", []byte(`{"conversation_id":"c","profile":[{"type":0,"name":"x"}]}`))
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		files := &folder{root: t.TempDir()}
		d := New(Options{Files: files, MaxFiles: 3, MaxFileSize: 1 << 10, MaxUploadSize: 2 << 10})
		r := httptest.NewRequest("POST", "/uploads", bytes.NewReader(body))
		r.Header.Set("Content-Type", contentType)
		in := intakeForm{dialect: d, area: protocol.AreaMessage}
		if err := in.read(r); err != nil {
			wantCoded(t, err)
		}
		if len(in.files) > 3 || in.size > 2<<10 {
			t.Fatalf("%d files of %d bytes came through", len(in.files), in.size)
		}
		in.abort()
		if left := files.all(t); len(left) > 0 {
			t.Fatalf("left: %v", left)
		}
	})
}
