package transcript

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"time"
)

// answer is what came back for a request.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// request sends "who METHOD path [json]". who is a user, a user/class, - for
// nobody or admin.
func (s *stage) request(ctx context.Context, text string, parts []string) (answer, error) {
	who, rest := cut(text)
	method, rest := cut(rest)
	path, body := cut(s.names.expand(rest))
	base, contentType := s.server.URL, "application/json"
	payload := []byte(body)
	if method == "UPLOAD" {
		method = http.MethodPost
		payload, contentType = form(body, parts)
	}
	if who == "admin" {
		base = s.server.AdminURL
	}
	request, err := http.NewRequestWithContext(ctx, method, base+path, bytes.NewReader(payload))
	if err != nil {
		return answer{}, err
	}
	request.Header.Set("Content-Type", contentType)
	s.sign(request, who)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	received, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, received}, err
}

// ask sends a request that is no line of the scenario and must succeed.
func (s *stage) ask(ctx context.Context, text string) ([]byte, error) {
	a, err := s.request(ctx, text, nil)
	if err == nil && a.status != http.StatusOK {
		err = fmt.Errorf("%s: the status is %d: %s", text, a.status, a.body)
	}
	return a.body, err
}

// sign puts the token, or the admin's signature, on a request.
func (s *stage) sign(request *http.Request, who string) {
	switch {
	case who == "-":
	case who == "admin":
		nonce, timestamp := rand.Text(), strconv.FormatInt(time.Now().UnixMilli(), 10)
		sum := sha1.Sum([]byte(nonce + "|" + s.server.AdminSecret + "|" + timestamp))
		request.Header.Set("nonce", nonce)
		request.Header.Set("timestamp", timestamp)
		request.Header.Set("sign", hex.EncodeToString(sum[:]))
	default:
		request.Header.Set("x-token", "Tricolor<"+s.token(who)+">")
	}
}

// token is that of "user" or "user/class".
func (s *stage) token(who string) string {
	user, class, named := strings.Cut(who, "/")
	if !named {
		class = "pc"
	}
	return s.tokens[user+" "+class]
}

// form is an upload: files first, as browsers send them in the document.
func form(data string, files []string) (body []byte, contentType string) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, f := range files {
		name, content := cut(f)
		part, _ := w.CreateFormFile("file", name) // a buffer does not fail
		io.WriteString(part, content)
	}
	if data != "" {
		part, _ := w.CreatePart(textproto.MIMEHeader{"Content-Disposition": {`form-data; name="data"`}})
		io.WriteString(part, data)
	}
	w.Close()
	return b.Bytes(), w.FormDataContentType()
}

// expectAnswer compares the last answer: "status [json]". Nothing at all is to
// be recorded.
func (s *stage) expectAnswer(text string) error {
	status, pattern := cut(text)
	got := strconv.Itoa(s.last.status)
	start := "< " + got
	if status != got {
		recorded := start
		if pattern != "" || status == "" {
			recorded = s.recorder.line(start, "", s.last.body)
		}
		return &mismatch{fmt.Errorf("the status is %s: %s", got, s.last.body), recorded}
	}
	if pattern == "" {
		return nil
	}
	if err := s.names.match([]byte(pattern), s.last.body); err != nil {
		return &mismatch{fmt.Errorf("%w\n  got %s", err, s.last.body), s.recorder.line(start, pattern, s.last.body)}
	}
	return nil
}

// expectHeader compares a header of the last answer: "Name: value".
func (s *stage) expectHeader(text string) error {
	name, value, _ := strings.Cut(text, ":")
	got := s.last.header.Get(name)
	if got != s.names.expand(strings.TrimSpace(value)) {
		return &mismatch{fmt.Errorf("header %s is %q", name, got), "<: " + name + ": " + s.names.contract(got)}
	}
	return nil
}

// expectBytes compares the raw body of the last answer, if it has one line.
func (s *stage) expectBytes(text string) error {
	got := string(s.last.body)
	if got == text {
		return nil
	}
	err := fmt.Errorf("the body is %q", got)
	if got != strings.TrimSpace(got) || strings.ContainsAny(got, "\r\n") {
		return err
	}
	return &mismatch{err, "<= " + got}
}
