package transcript

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"io"
	"math/big"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Server is where a scenario is played.
type Server struct {
	URL         string // of the main listener, without a trailing slash
	AdminURL    string // of the admin listener
	AdminSecret string
	Location    *time.Location // of the server's times; nil is Asia/Shanghai
}

// RunAll plays every *.txt of a folder, each as a subtest, one after another.
func RunAll(t *testing.T, server Server, folder string) {
	files, err := filepath.Glob(filepath.Join(folder, "*.txt"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatalf("%s holds no transcript", folder)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { Run(t, server, file) })
	}
}

// Run plays one scenario and fails at the first line that differs.
func Run(t testing.TB, server Server, file string) {
	t.Helper()
	lines, err := read(file)
	if err != nil {
		t.Fatal(err)
	}
	if server.Location == nil {
		if server.Location, err = time.LoadLocation("Asia/Shanghai"); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	s := &stage{server: server, names: names{"large": large}, tokens: map[string]string{}, peers: map[string]*peer{}}
	t.Cleanup(func() {
		for _, p := range s.peers {
			p.conn.CloseNow()
		}
		cancel()
	})
	for i := 0; i < len(lines); i++ {
		statement, parts := lines[i], []string(nil)
		for i+1 < len(lines) && strings.HasPrefix(lines[i+1].text, "+ ") {
			i++
			parts = append(parts, lines[i].text[2:])
		}
		if err := s.play(ctx, statement.text, parts); err != nil {
			t.Fatalf("%s:%d: %s\n%v", filepath.Base(file), statement.number, statement.text, err)
		}
	}
	for name, p := range s.peers {
		if err := p.quiet(ctx); err != nil {
			t.Fatalf("%s: at the end, session %s: %v", filepath.Base(file), name, err)
		}
	}
}

// large is more than a message may hold.
var large = strings.Repeat("x", 70_000)

// stage is the state of one scenario.
type stage struct {
	server Server
	names  names
	tokens map[string]string // by "user class"
	peers  map[string]*peer  // by session name

	status int
	header http.Header
	body   []byte
}

func (s *stage) play(ctx context.Context, text string, parts []string) error {
	s.tick()
	word, rest := cut(text)
	switch word {
	case "user":
		name, state := cut(rest)
		s.names[name] = newID()
		if state == "offline" {
			return nil
		}
		return s.login(ctx, name, "pc", true)
	case "login", "logout":
		name, class := cut(rest)
		return s.login(ctx, name, class, word == "login")
	case ">":
		return s.request(ctx, rest, parts)
	case "<":
		return s.answer(rest)
	case "<:":
		name, value, _ := strings.Cut(rest, ":")
		if got := s.header.Get(name); got != s.names.expand(strings.TrimSpace(value)) {
			return fmt.Errorf("header %s is %q", name, got)
		}
		return nil
	case "<=":
		if string(s.body) != rest {
			return fmt.Errorf("the body is %q", s.body)
		}
		return nil
	case "ws":
		return s.open(ctx, rest)
	}
	return s.session(ctx, word, rest)
}

// tick keeps the names that stand for times. An hour is far enough from now
// to be on the safe side of every message of a scenario.
func (s *stage) tick() {
	now := time.Now().In(s.server.Location)
	s.names["past"] = now.Add(-time.Hour).Format("20060102150405")
	s.names["future"] = now.Add(time.Hour).Format("20060102150405")
}

// login lets the center say that a device class is online, or offline.
func (s *stage) login(ctx context.Context, name, class string, online bool) error {
	if class == "" {
		class = "pc"
	}
	key, state, number := name+" "+class, 0, map[string]int{"pc": 1, "app": 2}[class]
	if online {
		state, s.tokens[key] = 1, rand.Text()
	}
	body := fmt.Sprintf(`{"cmd":"user_status_update","data":[{"standard_id":%q,"online":%d,"type":%d,"token":%q}]}`,
		s.names[name], state, number, s.tokens[key])
	if err := s.request(ctx, "admin POST /instant/base "+body, nil); err != nil {
		return err
	}
	return s.answer("200")
}

// request sends "who METHOD path [json]". who is a user, a user/class, - for
// nobody or admin.
func (s *stage) request(ctx context.Context, text string, parts []string) error {
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
		return err
	}
	request.Header.Set("Content-Type", contentType)
	s.sign(request, who)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	s.status, s.header = response.StatusCode, response.Header
	s.body, err = io.ReadAll(response.Body)
	return err
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

func (s *stage) answer(text string) error {
	status, pattern := cut(text)
	if status != strconv.Itoa(s.status) {
		return fmt.Errorf("the status is %d: %s", s.status, s.body)
	}
	if pattern == "" {
		return nil
	}
	if err := s.names.match([]byte(pattern), s.body); err != nil {
		return fmt.Errorf("%w\n  got %s", err, s.body)
	}
	return nil
}

// open opens a session: "ws session [user[/class]] [?query]".
func (s *stage) open(ctx context.Context, text string) error {
	name, rest := cut(text)
	who, query := cut(rest)
	if who == "" {
		who = name
	}
	p, err := dial(ctx, "ws"+strings.TrimPrefix(s.server.URL, "http")+"/instant/ws"+query, s.token(who))
	if err != nil {
		return err
	}
	s.peers[name] = p
	return nil
}

// session does what a line says that begins with a session's name.
func (s *stage) session(ctx context.Context, word, rest string) error {
	p, known := s.peers[strings.TrimRight(word, "<>")]
	if !known {
		return fmt.Errorf("%q is neither a statement nor a session", word)
	}
	switch {
	case strings.HasSuffix(word, ">"):
		return p.write(ctx, s.names.expand(rest))
	case strings.HasSuffix(word, "<"):
		return p.expect(ctx, s.names, rest)
	case rest == "quiet":
		return p.quiet(ctx)
	case rest == "leaves":
		delete(s.peers, word)
		return p.conn.CloseNow()
	case strings.HasPrefix(rest, "is closed with "):
		delete(s.peers, word)
		if got := strconv.Itoa(int(p.closed(ctx))); got != strings.TrimPrefix(rest, "is closed with ") {
			return fmt.Errorf("it was closed with %s", got)
		}
		return nil
	}
	return fmt.Errorf("%q is nothing that a session does", rest)
}

// newID is a 20-digit id that no other scenario has.
func newID() string {
	n, err := rand.Int(rand.Reader, big.NewInt(1e10))
	if err != nil {
		panic(err) // crypto/rand does not fail
	}
	return fmt.Sprintf("3402000000%010d", n)
}
