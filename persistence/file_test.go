package persistence

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"instantd/protocol"
)

var may = time.Date(2026, 5, 31, 20, 0, 0, 0, time.UTC)

var image = protocol.FilePlace{Area: protocol.AreaMessage, At: may, Kind: protocol.PartImage, Extension: "png"}

func upload1(t testing.TB, s *Store, words string) string {
	t.Helper()
	u, err := s.Create()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(u, words); err != nil {
		t.Fatal(err)
	}
	path, err := u.Keep(image)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func readFile(s *Store, path string) (string, error) {
	f, err := s.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	return string(data), err
}

func TestKeptFilesAreNamedByWhatTheyAre(t *testing.T) {
	t.Parallel()
	o := options(t.TempDir())
	o.Location = time.FixedZone("UTC+8", 8*3600) // there it is June already
	s := open(t, o)
	for _, c := range []struct {
		name      string
		area      protocol.FileArea
		kind      protocol.PartKind
		extension string
		want      string
	}{
		{"an image", protocol.AreaMessage, protocol.PartImage, "png", `^/files/message/202606/image/[0-9a-f]{32}\.png$`},
		{"a voice", protocol.AreaBroadcast, protocol.PartVoice, ".AMR", `^/files/broadcast/202606/voice/[0-9a-f]{32}\.amr$`},
		{"audio stands with voices", protocol.AreaEvent, protocol.PartAudio, "mp3", `^/files/event/202606/voice/[0-9a-f]{32}\.mp3$`},
		{"a video", protocol.AreaMessage, protocol.PartVideo, "mp4", `^/files/message/202606/video/[0-9a-f]{32}\.mp4$`},
		{"a document is a file", protocol.AreaMessage, protocol.PartDocument, "docx", `^/files/message/202606/file/[0-9a-f]{32}\.docx$`},
		{"no extension", protocol.AreaMessage, protocol.PartFile, "", `^/files/message/202606/file/[0-9a-f]{32}$`},
		{"an extension that leads elsewhere is dropped", protocol.AreaMessage, protocol.PartFile, "/../../x", `^/files/message/202606/file/[0-9a-f]{32}$`},
		{"an extension that is too long is dropped", protocol.AreaMessage, protocol.PartFile, "abcdefghijk", `^/files/message/202606/file/[0-9a-f]{32}$`},
		{"two extensions are dropped", protocol.AreaMessage, protocol.PartFile, "tar.gz", `^/files/message/202606/file/[0-9a-f]{32}$`},
	} {
		t.Run(c.name, func(t *testing.T) {
			u, err := s.Create()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(u, c.name); err != nil {
				t.Fatal(err)
			}
			path, err := u.Keep(protocol.FilePlace{Area: c.area, At: may, Kind: c.kind, Extension: c.extension})
			if err != nil || !regexp.MustCompile(c.want).MatchString(path) {
				t.Fatalf("path is %s, %v, want %s", path, err, c.want)
			}
			if got, err := readFile(s, strings.TrimPrefix(path, "/")); got != c.name || err != nil {
				t.Errorf("reads %q, %v", got, err)
			}
			stat, err := os.Stat(filepath.Join(o.Dir, path))
			if err != nil || stat.Mode().Perm() != 0o600 {
				t.Errorf("mode is %v, %v, want 600", stat.Mode(), err)
			}
		})
	}
	u, err := s.Create()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.Keep(protocol.FilePlace{Area: "elsewhere", At: may}); protocol.CodeOf(err) != protocol.Invalid {
		t.Errorf("an unknown area: %v", err)
	}
}

func TestOpenFindsNothingButKeptFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, options(dir))
	kept := strings.TrimPrefix(upload1(t, s, "kept"), "/")
	name := filepath.Base(kept)
	folder := filepath.Dir(kept)

	secret := filepath.Join(dir, "secret")
	link := strings.Repeat("a", 32)
	asFolder := strings.Repeat("b", 32)
	for _, err := range []error{
		os.WriteFile(secret, []byte("secret"), 0o600),
		os.WriteFile(filepath.Join(dir, folder, ".hidden"), nil, 0o600),
		os.Symlink(secret, filepath.Join(dir, folder, link)),
		os.Mkdir(filepath.Join(dir, folder, asFolder), 0o700),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	u, err := s.Create()
	if err != nil {
		t.Fatal(err)
	}
	defer u.Abort()

	for _, path := range []string{
		"", ".", "/", "..", "files", "files/", "files/message", folder, folder + "/", folder + "/" + asFolder, folder + "/" + link,
		folder + "/.hidden", folder + "/none.png", "/" + kept, kept + "/", kept + "\x00", kept + "/.", "./" + kept, strings.TrimPrefix(kept, "files/"),
		"files/../files/" + strings.TrimPrefix(kept, "files/"), folder + "/../image/" + name, "files/message/202605/image/../../../../secret",
		"files/../secret", "secret", "files//message/202605/image/" + name, "files/message/202605/image/" + strings.ToUpper(name),
		"files/.partial", "files/" + u.(*upload).partial, `files\message\202605\image\` + name, "files/message/202605/image/%2e%2e/" + name,
	} {
		f, err := s.Open(path)
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Open(%q) is %v, %v, want that it does not exist", path, f, err)
		}
	}
	if got, err := readFile(s, kept); got != "kept" || err != nil {
		t.Errorf("the kept file reads %q, %v", got, err)
	}
}

func TestAnUploadEndsOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, options(dir))
	u, err := s.Create()
	if err != nil {
		t.Fatal(err)
	}
	path, err := u.Keep(image)
	if err != nil {
		t.Fatal(err)
	}
	u.Abort() // nothing, after Keep
	if _, err := s.Open(path[1:]); err != nil {
		t.Errorf("after Keep and Abort: %v", err)
	}
	if _, err := u.Keep(image); err == nil {
		t.Error("a second Keep succeeded")
	}
	if _, err := u.Write([]byte("x")); err == nil {
		t.Error("a Write after Keep succeeded")
	}

	u, err = s.Create()
	if err != nil {
		t.Fatal(err)
	}
	u.Abort()
	u.Abort()
	if _, err := u.Keep(image); err == nil {
		t.Error("Keep after Abort succeeded")
	}
	if left, err := os.ReadDir(filepath.Join(dir, filesName, partialName)); len(left) != 0 || err != nil {
		t.Errorf("left are %v, %v", left, err)
	}

	s.Remove(path, "/files/message/202605/image/"+strings.Repeat("0", 32), "../../etc/passwd", "")
	if _, err := s.Open(path[1:]); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after Remove: %v", err)
	}
}

func TestUnfinishedUploadsAreRemovedAtStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, options(dir))
	kept := upload1(t, s, "kept")
	u, err := s.Create()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(u, "half"); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s) // as if the process had been killed: the upload is left
	s = open(t, options(dir))
	if left, err := os.ReadDir(filepath.Join(dir, filesName, partialName)); len(left) != 0 || err != nil {
		t.Errorf("left are %v, %v", left, err)
	}
	if got, err := readFile(s, kept[1:]); got != "kept" || err != nil {
		t.Errorf("the kept file reads %q, %v", got, err)
	}
}

func FuzzOpenFile(f *testing.F) {
	s := openNew(f)
	kept := upload1(f, s, "kept")[1:]
	for _, path := range []string{kept, "files/../lock", "/" + kept, "files/.partial", kept + "\x00"} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		got, err := readFile(s, path)
		if path == kept && (got != "kept" || err != nil) {
			t.Fatalf("the kept file reads %q, %v", got, err)
		}
		if path != kept && !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("Open(%q): %v, want that it does not exist", path, err)
		}
	})
}
