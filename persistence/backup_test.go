package persistence

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"instantd/protocol"
)

func backup(t testing.TB, s *Store) []byte {
	t.Helper()
	var out bytes.Buffer
	var told int64
	if err := s.Backup(t.Context(), &out, func(done int64) { told = done }); err != nil {
		t.Fatal(err)
	}
	if told != int64(out.Len()) {
		t.Errorf("progress ended at %d of %d bytes", told, out.Len())
	}
	return out.Bytes()
}

func TestBackupUnderLoadRestoresOneMoment(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	kept := upload1(t, s, "a picture")
	commit(t, s, protocol.UserKey("ann"), 0, protocol.UserImported{}, protocol.LoggedIn{Class: protocol.ClassPC, Token: "t"})
	commit(t, s, protocol.ConversationKey("former"), 1, group("ann", "bob"))
	commit(t, s, protocol.ConversationKey("former"), 2, protocol.MembersRemoved{Members: persons("bob")})
	if err := s.Confirm("amqp", s.LastID()); err != nil {
		t.Fatal(err)
	}

	// Two conversations get an event each in every commit of the pair, so that
	// a backup that mixes moments shows.
	stop, stopped := make(chan struct{}), make(chan error, 1)
	running := make(chan struct{})
	go func() {
		var err error
		for seq := protocol.Seq(1); err == nil; seq++ {
			var event protocol.Event = text1("ann", strings.Repeat("words ", 50))
			if seq == 1 {
				event = group("ann", "bob")
			}
			a := hand(s, protocol.ConversationKey("a"), seq, event)
			b := hand(s, protocol.ConversationKey("b"), seq, event)
			err = errors.Join((<-a).err, (<-b).err)
			if seq == 200 {
				close(running)
			}
			select {
			case <-stop:
				stopped <- err
				return
			default:
			}
		}
		stopped <- err
	}()
	<-running
	data := backup(t, s)
	close(stop)
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}

	dir := filepath.Join(t.TempDir(), "restored")
	var told int64
	if err := Restore(t.Context(), dir, bytes.NewReader(data), func(done int64) { told = done }); err != nil {
		t.Fatal(err)
	}
	if told == 0 || told > int64(len(data)) {
		t.Errorf("progress ended at %d of %d bytes", told, len(data))
	}
	report, err := Check(dir)
	if err != nil || !report.OK() {
		t.Fatalf("Check: %v\n%s", err, strings.Join(report.Problems, "\n"))
	}
	if report.Conversations != 3 || report.Users != 1 || report.Tokens != 1 {
		t.Errorf("report is %+v", report)
	}

	r := open(t, options(dir))
	if got, err := readFile(r, kept[1:]); got != "a picture" || err != nil {
		t.Errorf("the file reads %q, %v", got, err)
	}
	for id := range map[protocol.ConversationID]bool{"a": true, "b": true} {
		seq, _, err := r.Head(id)
		if err != nil || seq < 200 {
			t.Errorf("head of %s is %d, %v", id, seq, err)
		}
	}
	if standing, found, err := r.Standing("bob", "former"); !found || err != nil || standing.Until != 2 {
		t.Errorf("a former standing: %+v %v %v", standing, found, err)
	}
	if position, err := r.Position("amqp"); err != nil || position == 0 {
		t.Errorf("position is %s, %v", position, err)
	}
	head, _, err := r.Head("a")
	if err != nil {
		t.Fatal(err)
	}
	next := commit(t, r, protocol.ConversationKey("a"), head+1, text1("ann", "on"))[0]
	if original, found, err := s.Find(next.ID); err != nil || found {
		t.Errorf("the id %s was given out twice: %v, %v", next.ID, original, err)
	}
	wantSound(t, r)
}

func TestBackupHoldsNothingThatWasTakenBack(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	commit(t, s, protocol.ConversationKey("c"), 1, group("ann"))
	sent := commit(t, s, protocol.ConversationKey("c"), 2, text1("ann", "secret words"))[0]
	if !bytes.Contains(backup(t, s), []byte("secret words")) {
		t.Fatal("the backup does not hold the message in plain bytes; this test proves nothing")
	}
	commit(t, s, protocol.ConversationKey("c"), 3, protocol.MessageRecalled{Target: 2, Message: sent.ID})
	if bytes.Contains(backup(t, s), []byte("secret words")) {
		t.Error("the backup holds what was recalled")
	}
}

func TestBackupOfManyChunks(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	commit(t, s, protocol.ConversationKey("c"), 1, group("ann"))
	for seq := protocol.Seq(2); seq < 12; seq++ {
		commit(t, s, protocol.ConversationKey("c"), seq, text1("ann", strings.Repeat("x", 900<<10)))
	}
	data := backup(t, s)
	dir := filepath.Join(t.TempDir(), "restored")
	if err := Restore(t.Context(), dir, bytes.NewReader(data), nil); err != nil {
		t.Fatal(err)
	}
	report, err := Check(dir)
	if err != nil || !report.OK() || report.Records != 11 {
		t.Fatalf("Check: %+v, %v", report, err)
	}
}

func TestBackupStopsWithItsContext(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Backup(ctx, io.Discard, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Backup: %v", err)
	}
	dir := filepath.Join(t.TempDir(), "restored")
	if err := Restore(ctx, dir, bytes.NewReader(backup(t, s)), nil); err == nil {
		t.Error("Restore succeeded")
	}
	wantNothing(t, dir)
}

// wantNothing states that a refused restore left nothing.
func wantNothing(t *testing.T, dir string) {
	t.Helper()
	for _, name := range []string{dir, dir + partialSuffix} {
		if _, err := os.Stat(name); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left: %v", filepath.Base(name), err)
		}
	}
}

func TestRestoreNeedsAnEmptyFolder(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	data := backup(t, s)
	empty := t.TempDir()
	if err := Restore(t.Context(), empty, bytes.NewReader(data), nil); err != nil {
		t.Errorf("into an empty folder: %v", err)
	}
	if err := Restore(t.Context(), empty, bytes.NewReader(data), nil); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("into a folder that is in use: %v", err)
	}
}

// contents are where the bytes of each entry of an archive are.
func contents(t *testing.T, data []byte) map[string][2]int {
	t.Helper()
	at := map[string][2]int{}
	r := bytes.NewReader(data)
	for entries := tar.NewReader(r); ; {
		entry, err := entries.Next()
		if errors.Is(err, io.EOF) {
			return at
		}
		if err != nil {
			t.Fatal(err)
		}
		begin := len(data) - r.Len()
		at[entry.Name] = [2]int{begin, begin + int(entry.Size)}
	}
}

func TestRestoreRefusesAFlippedBit(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	commit(t, s, protocol.UserKey("ann"), 0, protocol.UserImported{}, protocol.LoggedIn{Class: protocol.ClassPC, Token: "t"})
	commit(t, s, protocol.ConversationKey("c"), 1, group("ann", "bob"))
	commit(t, s, protocol.ConversationKey("c"), 2, text1("ann", "hello"))
	upload1(t, s, "a picture")
	data := backup(t, s)
	entries := contents(t, data)
	if len(entries) != 4 {
		t.Fatalf("the backup has the entries %v, want begin, rows, a file and end", entries)
	}
	flips := map[string]int{"a word of a message": bytes.Index(data, []byte("hello"))}
	for name, at := range entries {
		const places = 8
		for i := range places {
			flips[fmt.Sprintf("%s, part %d", name, i)] = at[0] + i*(at[1]-at[0]-1)/(places-1)
		}
		flips["the header of "+name] = at[0] - 512 + 3
	}
	for name, at := range flips {
		t.Run(name, func(t *testing.T) {
			damaged := bytes.Clone(data)
			damaged[at] ^= 1
			dir := filepath.Join(t.TempDir(), "restored")
			err := Restore(t.Context(), dir, bytes.NewReader(damaged), nil)
			if err == nil {
				t.Error("the damaged backup was restored")
			}
			wantNothing(t, dir)
		})
	}
	dir := filepath.Join(t.TempDir(), "restored")
	if err := Restore(t.Context(), dir, bytes.NewReader(data), nil); err != nil {
		t.Errorf("the backup itself: %v", err)
	}
}

func TestRestoreSaysThatABackupIsDamaged(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	commit(t, s, protocol.ConversationKey("c"), 1, group("ann"))
	commit(t, s, protocol.ConversationKey("c"), 2, text1("ann", "hello"))
	data := backup(t, s)
	data[bytes.Index(data, []byte("hello"))] = 'H'
	err := Restore(t.Context(), filepath.Join(t.TempDir(), "restored"), bytes.NewReader(data), nil)
	want := `restore: the backup is damaged or cut off: its SHA-256 is not the one that was written with it`
	if err == nil || err.Error() != want {
		t.Errorf("Restore says %v\nwant %s", err, want)
	}
}

type entry struct {
	name string
	data string
	kind byte
}

func archived(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, e := range entries {
		header := &tar.Header{Name: e.name, Size: int64(len(e.data)), Typeflag: e.kind, Mode: 0o600}
		if e.kind == tar.TypeSymlink {
			header.Linkname, header.Size, e.data = e.data, 0, ""
		}
		if err := w.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestRestoreRefuses(t *testing.T) {
	t.Parallel()
	begin := entry{backupBegin, `{"format":1,"schema":1}`, tar.TypeReg}
	end := entry{backupEnd, `{"rows":0,"files":0}`, tar.TypeReg}
	file := "files/message/202605/image/" + strings.Repeat("a", 32) + ".png"
	whole := archived(t, begin, entry{file, "x", tar.TypeReg}, entry{backupEnd, `{"rows":0,"files":1}`, tar.TypeReg})
	for _, c := range []struct {
		name string
		data []byte
		want string
	}{
		{"nothing", nil, "not a backup"},
		{"no archive", []byte(strings.Repeat("x", 2000)), "not a backup"},
		{"another archive", archived(t, entry{"readme", "x", tar.TypeReg}), "not a backup"},
		{"a newer format", archived(t, entry{backupBegin, `{"format":2,"schema":1}`, tar.TypeReg}, end), "format 2"},
		{"a newer form of the store", archived(t, entry{backupBegin, `{"format":1,"schema":99}`, tar.TypeReg}, end), "form 99"},
		{"a malformed beginning", archived(t, entry{backupBegin, `{`, tar.TypeReg}, end), "malformed"},
		{"a backup without an end", archived(t, begin), "cut off"},
		{"a backup cut before a file's bytes", whole[:1536], "EOF"},
		{"a backup cut behind a file's bytes", whole[:1800], "cut off"},
		{"a digest of something else", archived(t, begin, entry{backupEnd, `{"rows":0,"files":0,"sha256":"00"}`, tar.TypeReg}), "SHA-256"},
		{"no digest", archived(t, begin, end), "SHA-256"},
		{"an end that goes on for ever", archived(t, begin, entry{backupEnd, strings.Repeat(" ", 5000), tar.TypeReg}), "more than"},
		{"a total that is not reached", archived(t, begin, entry{backupEnd, `{"rows":1,"files":0}`, tar.TypeReg}), "it says 1 and 0"},
		{"a path that leads out", archived(t, begin, entry{"files/../../escaped", "x", tar.TypeReg}, end), "not one of a kept file"},
		{"an absolute path", archived(t, begin, entry{"/tmp/escaped", "x", tar.TypeReg}, end), "not one of a kept file"},
		{"a file in the place of the store", archived(t, begin, entry{"store/MANIFEST", "x", tar.TypeReg}, end), "not one of a kept file"},
		{"a link", archived(t, begin, entry{file, "/etc/passwd", tar.TypeSymlink}, end), "is no file"},
		{"a file twice", archived(t, begin, entry{file, "x", tar.TypeReg}, entry{file, "y", tar.TypeReg}, end), "exists"},
		{"a row that is cut", archived(t, begin, entry{backupRows + "1", "\x05\x05\x00\x00abc", tar.TypeReg}, end), "EOF"},
		{"a row without a key", archived(t, begin, entry{backupRows + "1", "\x00\x01\x00\x00a", tar.TypeReg}, end), "malformed"},
		{"a row that claims too much", archived(t, begin, entry{backupRows + "1", "\xff\xff\xff\xff\xff\x7f\x01\x00\x00a", tar.TypeReg}, end), "malformed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "deep", "restored")
			err := Restore(t.Context(), dir, bytes.NewReader(c.data), nil)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
			wantNothing(t, dir)
		})
	}
}

func FuzzReadRow(f *testing.F) {
	f.Add(appendRow(nil, row{key: []byte("k"), value: []byte("v"), meta: 1, expires: 300}))
	f.Add([]byte("\x05\x05\x00\x00abc"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bytes.NewReader(data)
		for {
			got, err := readRow(r)
			if err != nil {
				return
			}
			again, err := readRow(bytes.NewReader(appendRow(nil, got)))
			if err != nil || !cmp.Equal(fmt.Sprint(got), fmt.Sprint(again)) {
				t.Fatalf("%v reads again as %v, %v", got, again, err)
			}
		}
	})
}
