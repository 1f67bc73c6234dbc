package instant

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/julienschmidt/httprouter"

	"instantd/protocol"
)

const adminSecret = "a secret of the tests"

// served is a dialect on real listeners, over the test's core.
type served struct {
	*Dialect
	core  *memory
	files *folder
	main  *httptest.Server
	admin *httptest.Server
}

// serve starts a dialect; change may alter its options.
func serve(t *testing.T, change func(*Options)) *served {
	t.Helper()
	location, err := time.LoadLocation("Asia/Shanghai")
	if err != nil {
		t.Fatal(err)
	}
	s := &served{core: newMemory(), files: newFolder(t)}
	options := Options{
		Core: s.core, Authority: s.core, Files: s.files, Location: location,
		AdminSecret: adminSecret, Upgrade: upgrade, MaxFiles: 4, MaxFileSize: 1 << 20, MaxUploadSize: 2 << 20,
	}
	if change != nil {
		change(&options)
	}
	s.Dialect = New(options)
	main, admin := httprouter.New(), httprouter.New()
	s.Register(main)
	s.RegisterAdmin(admin)
	s.main, s.admin = httptest.NewServer(main), httptest.NewServer(admin)
	t.Cleanup(s.main.Close)
	t.Cleanup(s.admin.Close)
	return s
}

// login lets a user in and returns his token.
func (s *served) login(t *testing.T, user protocol.UserID) string {
	t.Helper()
	token := protocol.Token("token-of-" + user)
	if _, err := protocol.Do(context.Background(), s.core, protocol.LogIn{User: user, Class: protocol.ClassPC, Token: token}); err != nil {
		t.Fatal(err)
	}
	return string(token)
}

// do sends a request and returns status and body.
func (s *served) do(t *testing.T, method, target, token, contentType string, body io.Reader) (int, string) {
	t.Helper()
	request, err := http.NewRequest(method, s.main.URL+target, body)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", contentType)
	if token != "" {
		request.Header.Set("x-token", "Tricolor<"+token+">")
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	read, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, strings.TrimSuffix(string(read), "\n")
}

func (s *served) post(t *testing.T, target, token, body string) (int, string) {
	t.Helper()
	return s.do(t, http.MethodPost, target, token, "application/json", strings.NewReader(body))
}

// socket is a protocol.Conn over a real WebSocket.
type socket struct {
	conn   *websocket.Conn
	frames chan []byte
	closed chan struct{}
	once   sync.Once
	code   websocket.StatusCode
	reason string
}

// upgrade is what package web does, in short.
func upgrade(w http.ResponseWriter, r *http.Request, serve func(context.Context, protocol.Conn)) {
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	s := &socket{conn: conn, frames: make(chan []byte, 1024), closed: make(chan struct{}), code: websocket.StatusNormalClosure}
	var writer sync.WaitGroup
	writer.Go(s.write) // ends with Close
	serve(r.Context(), s)
	s.Close(0)
	writer.Wait()
}

func (s *socket) write() {
	for {
		select {
		case frame := <-s.frames:
			s.conn.Write(context.Background(), websocket.MessageText, frame)
		case <-s.closed:
			for len(s.frames) > 0 {
				s.conn.Write(context.Background(), websocket.MessageText, <-s.frames)
			}
			s.conn.Close(s.code, s.reason)
			return
		}
	}
}

func (s *socket) Push(frame []byte) bool {
	select {
	case s.frames <- frame:
		return true
	default:
		return false
	}
}

func (s *socket) Send(ctx context.Context, frame []byte) error {
	select {
	case s.frames <- frame:
		return nil
	case <-s.closed:
		return errors.New("closed")
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *socket) Close(reason protocol.CloseReason) {
	s.once.Do(func() {
		if reason != 0 {
			s.code, s.reason = websocket.StatusCode(4000+int(reason)-1), reason.String()
		}
		close(s.closed)
	})
}

func (s *socket) Receive(ctx context.Context) ([]byte, error) {
	_, frame, err := s.conn.Read(ctx)
	return frame, err
}

func (s *socket) Transport() string { return "ws" }

// folder is protocol.Files on a temporary folder.
type folder struct {
	root    string
	mu      sync.Mutex
	count   int
	failing error // what the next Keep answers
}

func newFolder(t *testing.T) *folder { return &folder{root: t.TempDir()} }

type upload struct {
	*os.File
	folder *folder
	number int
	ended  bool
}

func (f *folder) Create() (protocol.Upload, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count++
	file, err := os.CreateTemp(f.root, "partial-*")
	return &upload{File: file, folder: f, number: f.count}, err
}

func (u *upload) Keep(at protocol.FilePlace) (string, error) {
	u.folder.mu.Lock()
	defer u.folder.mu.Unlock()
	if u.folder.failing != nil {
		return "", u.folder.failing
	}
	u.ended = true
	u.File.Close()
	where := map[protocol.PartKind]string{protocol.PartVoice: "voice", protocol.PartAudio: "voice", protocol.PartImage: "image", protocol.PartVideo: "video"}[at.Kind]
	if where == "" {
		where = "file"
	}
	name := strings.Repeat("0", 30) + string(rune('a'+u.number/26)) + string(rune('a'+u.number%26)) + at.Extension
	kept := path.Join("/files", string(at.Area), at.At.Format("200601"), where, name)
	target := filepath.Join(u.folder.root, kept)
	if err := os.MkdirAll(filepath.Dir(target), 0o700); err != nil {
		return "", err
	}
	return kept, os.Rename(u.File.Name(), target)
}

func (u *upload) Abort() {
	if !u.ended {
		u.ended = true
		u.File.Close()
		os.Remove(u.File.Name())
	}
}

func (f *folder) Open(name string) (fs.File, error) {
	if !strings.HasPrefix(name, "files/") {
		return nil, fs.ErrNotExist
	}
	file, err := os.Open(filepath.Join(f.root, name))
	if err != nil {
		return nil, fs.ErrNotExist
	}
	if info, err := file.Stat(); err != nil || info.IsDir() {
		file.Close()
		return nil, fs.ErrNotExist
	}
	return file, nil
}

func (f *folder) Remove(paths ...string) {
	for _, p := range paths {
		os.Remove(filepath.Join(f.root, p))
	}
}

// all are the files that are there, unfinished ones included.
func (f *folder) all(t *testing.T) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(f.root, func(p string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			found = append(found, strings.TrimPrefix(p, f.root))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
