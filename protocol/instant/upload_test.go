package instant

import (
	"bytes"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/textproto"
	"strings"
	"testing"

	"instantd/protocol"
)

type formFile struct{ name, content string }

const boundary = "----WebKitFormBoundary7OTdAxNjKJlG8v6p"

// makeForm is an upload; dataFirst puts the part data before the files.
func makeForm(t testing.TB, data string, dataFirst bool, files ...formFile) []byte {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	if err := w.SetBoundary(boundary); err != nil {
		t.Fatal(err)
	}
	writeData := func() {
		part, err := w.CreatePart(textproto.MIMEHeader{"Content-Disposition": {`form-data; name="data"; filename="blob"`}, "Content-Type": {"application/json"}})
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(part, data)
	}
	if dataFirst {
		writeData()
	}
	for _, f := range files {
		part, err := w.CreateFormFile("file", f.name)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(part, f.content)
	}
	if !dataFirst {
		writeData()
	}
	w.Close()
	return b.Bytes()
}

const formType = "multipart/form-data; boundary=" + boundary

// room is a conversation of one user, with his token.
func room(t *testing.T, s *served) (token string) {
	t.Helper()
	token = s.login(t, "a")
	_, err := protocol.Do(t.Context(), s.core, protocol.CreateConversation{ID: "c", By: protocol.AsUser("a"), Kind: protocol.Group})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestAnUploadThatIsCutOffLeavesNothing(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	token := room(t, s)
	files := []formFile{{"a.png", strings.Repeat("png ", 1000)}, {"b.txt", strings.Repeat("text\r\n", 500)}}
	for _, dataFirst := range []bool{true, false} {
		form := makeForm(t, `{"conversation_id":"c","profile":[{"type":2},{"type":3}]}`, dataFirst, files...)
		if !dataFirst { // whole data lacks only the boundary: see below
			form = form[:bytes.LastIndex(form, []byte("}"))]
		}
		for _, honest := range []bool{true, false} {
			for cut := 0; cut < len(form); cut += 100 {
				status := s.sendCut(t, token, form, cut, honest)
				if left := s.files.all(t); len(left) > 0 || status == 200 {
					t.Fatalf("cut at %d of %d (data first %v, honest %v): status %d, files %v", cut, len(form), dataFirst, honest, status, left)
				}
			}
		}
	}
	for _, command := range s.core.delivers {
		if sent, is := command.(protocol.SendMessage); is {
			t.Errorf("a cut upload was sent: %+v", sent)
		}
	}
}

// sendCut sends the first bytes of a form: an honest client says how many they
// are, the other one announces the whole form and hangs up.
func (s *served) sendCut(t *testing.T, token string, form []byte, cut int, honest bool) (status int) {
	t.Helper()
	length := len(form)
	if honest {
		length = cut
	}
	conn, err := net.Dial("tcp", s.main.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /uploads HTTP/1.1\r\nHost: x\r\nConnection: close\r\nx-token: %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", token, formType, length)
	conn.Write(form[:cut])
	conn.(*net.TCPConn).CloseWrite()
	answer, err := io.ReadAll(conn) // ends when the handler is done
	if err != nil {
		t.Fatal(err)
	}
	fmt.Sscanf(string(answer), "HTTP/1.1 %d", &status)
	return status
}

func TestOnlyTheFinalBoundaryMayBeMissing(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	token := room(t, s)
	whole := string(makeForm(t, `{"conversation_id":"c"}`, false, formFile{"a.png", "png"}))
	complete := strings.TrimSuffix(whole, "--\r\n")
	fileLast := string(makeForm(t, `{"conversation_id":"c"}`, true, formFile{"a.png", "png"}))
	for name, test := range map[string]struct {
		form string
		want int
	}{
		"a whole form":                     {whole, 200},
		"without the last line's end":      {strings.TrimSuffix(whole, "\r\n"), 200},
		"without the final dashes":         {complete, 200},
		"without the final dashes, a line": {complete + "\r\n", 200},
		"with one dash":                    {complete + "-", 400},
		"with half a header":               {complete + "\r\nContent-Dispo", 400},
		"with a whole header":              {complete + "\r\nContent-Disposition: form-data; name=\"file\"; filename=\"b\"\r\n\r\n", 400},
		"without the boundary's end":       {complete[:len(complete)-1], 200},
		"without the last line":            {strings.TrimSuffix(complete, "--"+boundary), 200},
		"without anything behind the data": {strings.TrimSuffix(complete, "\r\n--"+boundary), 200},
		"with half of the data":            {strings.TrimSuffix(complete, "}\r\n--"+boundary), 400},
		"ending in a file without it":      {strings.TrimSuffix(fileLast, "\r\n--"+boundary+"--\r\n"), 400},
		"nothing":                          {"", 400},
	} {
		before := len(s.files.all(t))
		status, body := s.do(t, "POST", "/uploads", token, formType, strings.NewReader(test.form))
		if kept := len(s.files.all(t)) - before; status != test.want || (kept == 1) != (status == 200) {
			t.Errorf("%s: %d %s, %d files kept", name, status, body, kept)
		}
	}
}

func TestAnEventIsKeptAsOneWhateverItCallsItself(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	token := room(t, s)
	form := makeForm(t, `{"longitude":"22.1","latitude":"100.2","profile":[{"type":1}]}`, false, formFile{"a.amr", "voice"})
	if status, body := s.do(t, "POST", "/uploads?type=message", token, formType, bytes.NewReader(form)); status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	if kept := s.files.all(t); len(kept) != 1 || !strings.HasPrefix(kept[0], "/files/event/") || !strings.Contains(kept[0], "/voice/") {
		t.Errorf("kept %v", kept)
	}
}

func TestUploadLimits(t *testing.T) {
	t.Parallel()
	s := serve(t, func(o *Options) { o.MaxFiles, o.MaxFileSize, o.MaxUploadSize = 2, 1000, 1500 })
	token := room(t, s)
	const data = `{"conversation_id":"c"}`
	of := func(size int) formFile { return formFile{"a.bin", strings.Repeat("x", size)} }
	for name, test := range map[string]struct {
		files []formFile
		data  string
		want  int
	}{
		"as large as it may be":      {[]formFile{of(1000), of(500)}, data, 200},
		"an empty file":              {[]formFile{of(0)}, data, 200},
		"one file too large":         {[]formFile{of(1001)}, data, 413},
		"two files too large":        {[]formFile{of(1000), of(501)}, data, 413},
		"too many files":             {[]formFile{of(1), of(1), of(1)}, data, 413},
		"far too large":              {[]formFile{of(4 << 20)}, data, 413},
		"data too large":             {nil, `{"conversation_id":"c","body":"` + strings.Repeat("x", MaxBody) + `"}`, 413},
		"a name too long":            {[]formFile{{strings.Repeat("n", 300), "x"}}, data, 400},
		"data that is no JSON":       {[]formFile{of(1)}, `{`, 400},
		"a conversation of others":   {[]formFile{of(1)}, `{"conversation_id":"elsewhere"}`, 404},
		"a publisher that is others": {[]formFile{of(1)}, `{"conversation_id":"c","publisher_standard_id":"b"}`, 403},
		"no content":                 {nil, data, 400},
		"no conversation":            {[]formFile{of(1)}, `{}`, 400},
	} {
		before := len(s.files.all(t))
		status, body := s.do(t, "POST", "/uploads", token, formType, bytes.NewReader(makeForm(t, test.data, false, test.files...)))
		kept := len(s.files.all(t)) - before
		want := 0
		if test.want == 200 {
			want = len(test.files)
		}
		if status != test.want || kept != want {
			t.Errorf("%s: %d %s and %d files, want %d and %d", name, status, body, kept, test.want, want)
		}
	}
}

func TestRefusedUploadsAreTakenAway(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	token := room(t, s)
	form := func(data string) io.Reader { return bytes.NewReader(makeForm(t, data, true, formFile{"a.png", "png"})) }
	s.core.fail = protocol.Errorf(protocol.Unavailable, "the disk is full")
	if status, body := s.do(t, "POST", "/uploads", token, formType, form(`{"conversation_id":"c"}`)); status != 503 {
		t.Errorf("a refused commit: %d %s", status, body)
	}
	s.core.fail = nil
	s.files.failing = protocol.Errorf(protocol.Unavailable, "the disk is full")
	if status, body := s.do(t, "POST", "/uploads", token, formType, form(`{"conversation_id":"c"}`)); status != 503 {
		t.Errorf("a refused file: %d %s", status, body)
	}
	s.files.failing = nil
	if left := s.files.all(t); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	for range 2 {
		if status, body := s.do(t, "POST", "/uploads", token, formType, form(`{"conversation_id":"c","client_msg_id":"n"}`)); status != 200 {
			t.Errorf("%d %s", status, body)
		}
	}
	if kept := s.files.all(t); len(kept) != 1 {
		t.Errorf("the same message twice keeps %v", kept)
	}
}

func TestUploadForms(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	token := room(t, s)
	post := func(contentType, body string) (int, string) {
		return s.do(t, "POST", "/instant/c_message", token, contentType, strings.NewReader(body))
	}
	if status, body := post("application/json; charset=utf-8", `{"conversation_id":"c","profile":[{"type":0,"name":"hi"}]}`); status != 200 {
		t.Errorf("JSON: %d %s", status, body)
	}
	for _, contentType := range []string{"", "text/plain", "multipart/form-data", ";;"} {
		if status, body := post(contentType, `{"conversation_id":"c"}`); status != 400 {
			t.Errorf("%q: %d %s", contentType, status, body)
		}
	}
	twice := strings.ReplaceAll(string(makeForm(t, `{"conversation_id":"c"}`, true)), "--"+boundary+"--", "--"+boundary+
		"\r\nContent-Disposition: form-data; name=\"data\"\r\n\r\n{}\r\n--"+boundary+"--")
	if status, body := post(formType, twice); status != 400 || !strings.Contains(body, "twice") {
		t.Errorf("data twice: %d %s", status, body)
	}
	field := strings.Replace(string(makeForm(t, `{"conversation_id":"c"}`, true, formFile{"a", "x"})), "--"+boundary, "--"+boundary+
		"\r\nContent-Disposition: form-data; name=\"hint\"\r\n\r\nnobody asked\r\n--"+boundary, 1)
	if status, body := post(formType, field); status != 200 {
		t.Errorf("a field that nobody asked for: %d %s", status, body)
	}
}

func TestFilesAreStoredByAreaAndKind(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		target, data string
		dataFirst    bool
		file         formFile
		area, kind   string
	}{
		"data first: the entry tells":          {"/uploads", `{"conversation_id":"c","profile":[{"type":1}]}`, true, formFile{"x.bin", "x"}, "message", "voice"},
		"files first: the name tells":          {"/uploads", `{"conversation_id":"c","profile":[{"type":2}]}`, false, formFile{"x.png", "x"}, "message", "image"},
		"a broadcast's 3 is a video":           {"/uploads?type=broadcast", `{"profile":[{"type":3,"name":"x.bin"}]}`, true, formFile{"x.bin", "x"}, "broadcast", "video"},
		"an event that calls itself a message": {"/uploads?type=message", `{"longitude":1,"latitude":2}`, true, formFile{"x.mp3", "x"}, "event", "voice"},
		"without an extension the bytes tell":  {"/uploads?type=event", `{}`, false, formFile{"noname", "\x89PNG\r\n\x1a\n"}, "event", "image"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, nil)
			form := makeForm(t, test.data, test.dataFirst, test.file)
			status, body := s.do(t, "POST", test.target, room(t, s), formType, bytes.NewReader(form))
			if status != 200 {
				t.Fatalf("%d %s", status, body)
			}
			stored := strings.Split(s.files.all(t)[0], "/")
			if stored[2] != test.area || stored[4] != test.kind {
				t.Errorf("stored as %v, want %s and %s", stored, test.area, test.kind)
			}
		})
	}
}

func TestDownload(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	token := room(t, s)
	page := "<script>alert(1)</script>"
	status, body := s.do(t, "POST", "/uploads", token, formType, bytes.NewReader(makeForm(t, `{"conversation_id":"c"}`, true, formFile{"evil.html", page})))
	if status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	path := s.files.all(t)[0]
	get := func(method, target, rang string) *http.Response {
		request, err := http.NewRequest(method, s.main.URL+target, nil)
		if err != nil {
			t.Fatal(err)
		}
		if rang != "" {
			request.Header.Set("Range", rang)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { response.Body.Close() })
		return response
	}
	whole := get("GET", path, "")
	read, _ := io.ReadAll(whole.Body)
	if string(read) != page || whole.Header.Get("Content-Type") != "application/octet-stream" ||
		whole.Header.Get("X-Content-Type-Options") != "nosniff" || whole.Header.Get("Content-Security-Policy") != "sandbox" {
		t.Errorf("a page may run: %q %v", read, whole.Header)
	}
	part := get("GET", path, "bytes=1-6")
	if read, _ := io.ReadAll(part.Body); part.StatusCode != 206 || string(read) != "script" {
		t.Errorf("a range: %d %q", part.StatusCode, read)
	}
	if head := get("HEAD", path, ""); head.StatusCode != 200 || head.ContentLength != int64(len(page)) {
		t.Errorf("HEAD: %d, %d bytes", head.StatusCode, head.ContentLength)
	}
	for _, target := range []string{"/files/", "/files/message", "/files/message/", "/files/..%2f..%2fetc%2fpasswd", "/files/x%00y", "/files//" + strings.TrimPrefix(path, "/files/")} {
		if response := get("GET", target, ""); response.StatusCode != 404 {
			t.Errorf("%s: %d", target, response.StatusCode)
		}
	}
}

func TestAttachment(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"a.png":              `attachment; filename=a.png`,
		"my file.png":        `attachment; filename="my file.png"`,
		"../../etc/passwd":   `attachment; filename=passwd`,
		`C:\temp\x.doc`:      `attachment; filename=x.doc`,
		"a\r\nSet-Cookie: b": `attachment; filename="aSet-Cookie: b"`,
		`q"uote`:             `attachment; filename="q\"uote"`,
		"":                   `attachment; filename=fallback`,
		"..":                 `attachment; filename=fallback`,
		"\xff":               `attachment; filename=_`,
		"账单.xlsx":            `attachment; filename*=utf-8''%E8%B4%A6%E5%8D%95.xlsx`,
	} {
		if got := attachment(name, "fallback"); got != want {
			t.Errorf("%q: got %s, want %s", name, got, want)
		}
	}
	if got := attachment(strings.Repeat("账", 200), "x"); len(got) > 1000 {
		t.Errorf("a long name gives %d bytes", len(got))
	}
}
