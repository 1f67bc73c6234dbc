package persistence

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/dgraph-io/badger/v4"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"instantd/protocol"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		crashChild(dir)
		return
	}
	goleak.VerifyTestMain(m,
		// Process-wide goroutines of Badger's dependencies.
		goleak.IgnoreTopFunction("github.com/golang/glog.(*fileSink).flushDaemon"),
		goleak.IgnoreTopFunction("go.opencensus.io/stats/view.(*worker).start"),
	)
}

// options are those of a store that may live beside others on a small machine.
func options(dir string) Options {
	return Options{Dir: dir, Log: slog.New(slog.DiscardHandler), Memtable: 8 << 20, MinFree: 1}
}

func open(t testing.TB, o Options) *Store {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func openNew(t testing.TB) *Store {
	t.Helper()
	return open(t, options(t.TempDir()))
}

func closeStore(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
}

type answer struct {
	records []protocol.Record
	err     error
}

// hand hands a commit over and returns where its answer comes.
func hand(s *Store, key protocol.Key, seq protocol.Seq, events ...protocol.Event) <-chan answer {
	done := make(chan answer, 1)
	s.Commit(protocol.Commit{Key: key, Seq: seq, Events: events, Done: func(r []protocol.Record, err error) { done <- answer{r, err} }})
	return done
}

func commit(t testing.TB, s *Store, key protocol.Key, seq protocol.Seq, events ...protocol.Event) []protocol.Record {
	t.Helper()
	a := <-hand(s, key, seq, events...)
	if a.err != nil {
		t.Fatalf("commit of %s at %d: %v", key, seq, a.err)
	}
	return a.records
}

func wantCode(t testing.TB, a answer, want protocol.Code) {
	t.Helper()
	if a.err == nil || protocol.CodeOf(a.err) != want {
		t.Fatalf("got %v, %v, want an error with code %v", a.records, a.err, want)
	}
	if a.records != nil {
		t.Fatalf("a refused commit returned the records %v", a.records)
	}
}

func wantSound(t testing.TB, s *Store) Report {
	t.Helper()
	report, err := s.Check()
	if err != nil {
		t.Fatalf("Check: %v", err)
	}
	if !report.OK() {
		t.Fatalf("Check found:\n%s", strings.Join(report.Problems, "\n"))
	}
	return report
}

func text1(sender protocol.UserID, words string) protocol.MessageSent {
	return protocol.MessageSent{Sender: sender, Content: protocol.Text(words)}
}

func group(owner protocol.UserID, others ...protocol.UserID) protocol.ConversationCreated {
	return protocol.ConversationCreated{Kind: protocol.Group, Name: "group", Owner: owner, Creator: owner, Members: persons(append([]protocol.UserID{owner}, others...)...)}
}

func persons(ids ...protocol.UserID) []protocol.Person {
	list := make([]protocol.Person, len(ids))
	for i, id := range ids {
		list[i] = protocol.Person{User: id}
	}
	return list
}

func TestSecondOpenOfAFolderIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := open(t, options(dir))
	if _, err := Open(options(dir)); err == nil || !strings.Contains(err.Error(), "is in use by another process") {
		t.Fatalf("second Open: %v, want a sentence about another process", err)
	}
	closeStore(t, first)
	closeStore(t, open(t, options(dir)))
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change func(*testing.T, *Options)
		want   string
	}{
		{"no folder", func(_ *testing.T, o *Options) { o.Dir = "" }, "no data folder"},
		{"a file in the place of the folder", func(t *testing.T, o *Options) {
			o.Dir = filepath.Join(o.Dir, "taken")
			if err := os.WriteFile(o.Dir, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}, "data folder"},
		{"a disk that opening could fill", func(_ *testing.T, o *Options) {
			o.MinFree = 100
			o.free = func(string) (uint64, error) { return 49, nil }
		}, "nearly full"},
		{"a disk that cannot be measured", func(_ *testing.T, o *Options) {
			o.free = func(string) (uint64, error) { return 0, errors.New("no such disk") }
		}, "no such disk"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := options(t.TempDir())
			c.change(t, &o)
			s, err := Open(o)
			if err == nil {
				s.Close()
				t.Fatal("Open succeeded")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("Open: %v, want it to contain %q", err, c.want)
			}
		})
	}
}

func TestFoldersAreClosedToOthers(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	open(t, options(dir))
	for _, name := range []string{"", storeName, filesName} {
		stat, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if got := stat.Mode().Perm(); got != 0o700 {
			t.Errorf("folder %q has mode %o, want 700", name, got)
		}
	}
}

func TestFullDiskRefusesWritesAndReadsGoOn(t *testing.T) {
	t.Parallel()
	var free atomic.Uint64
	free.Store(1000)
	o := options(t.TempDir())
	o.MinFree = 100
	o.free = func(string) (uint64, error) { return free.Load(), nil }
	s := open(t, o)
	commit(t, s, protocol.ConversationKey("c"), 1, group("ann"))

	free.Store(99)
	s.disk.look()
	if err := s.Ready(); err == nil || !strings.Contains(err.Error(), "nearly full") {
		t.Fatalf("Ready on a full disk: %v", err)
	}
	wantCode(t, <-hand(s, protocol.ConversationKey("c"), 2, text1("ann", "hi")), protocol.Unavailable)
	if _, err := s.Create(); protocol.CodeOf(err) != protocol.Unavailable {
		t.Fatalf("Create on a full disk: %v", err)
	}
	if _, found, err := s.Conversation("c"); !found || err != nil {
		t.Fatalf("reading on a full disk: %v %v", found, err)
	}

	free.Store(100)
	s.disk.look()
	if err := s.Ready(); err != nil {
		t.Fatalf("Ready after the disk has room: %v", err)
	}
	commit(t, s, protocol.ConversationKey("c"), 2, text1("ann", "hi"))
}

func TestFailedSyncRefusesEverythingUntilReopened(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, options(dir))
	key := protocol.ConversationKey("c")
	commit(t, s, key, 1, group("ann"))
	before := s.LastID()

	// The rows reach Badger, and their sync fails.
	s.committer.write = func(txn *badger.Txn) error {
		if err := txn.Commit(); err != nil {
			return err
		}
		return errors.New("disk on fire")
	}
	wantCode(t, <-hand(s, key, 2, text1("ann", "lost?")), protocol.Unavailable)
	wantCode(t, <-hand(s, key, 2, text1("ann", "again")), protocol.Unavailable)
	wantCode(t, <-hand(s, protocol.UserKey("bob"), 0, protocol.UserImported{}), protocol.Unavailable)
	if err := s.Ready(); err == nil {
		t.Error("Ready is nil after a failed sync")
	}
	if seq, _, err := s.Head("c"); seq != 1 || err != nil {
		t.Errorf("Head is %d, %v: what was refused is visible", seq, err)
	}
	if s.LastID() != before {
		t.Errorf("LastID moved from %s to %s", before, s.LastID())
	}
	closeStore(t, s)

	s = open(t, options(dir))
	if err := s.Ready(); err != nil {
		t.Fatalf("Ready after reopening: %v", err)
	}
	seq, _, err := s.Head("c")
	if err != nil {
		t.Fatal(err)
	}
	commit(t, s, key, seq+1, text1("ann", "on"))
	wantSound(t, s)
}

func TestClosedStoreRefuses(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	closeStore(t, s)
	closeStore(t, s) // again: nothing happens
	wantCode(t, <-hand(s, protocol.ConversationKey("c"), 1, group("ann")), protocol.Unavailable)
	if _, _, err := s.User("ann"); protocol.CodeOf(err) != protocol.Unavailable {
		t.Errorf("User: %v, want unavailable", err)
	}
	if err := s.Ready(); protocol.CodeOf(err) != protocol.Unavailable {
		t.Errorf("Ready: %v, want unavailable", err)
	}
	if err := s.Confirm("amqp", 0); protocol.CodeOf(err) != protocol.Unavailable {
		t.Errorf("Confirm: %v, want unavailable", err)
	}
}

func TestCloseCommitsWhatIsQueued(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, options(dir))
	key := protocol.ConversationKey("c")
	var answers []<-chan answer
	answers = append(answers, hand(s, key, 1, group("ann")))
	for seq := protocol.Seq(2); seq <= 500; seq++ {
		answers = append(answers, hand(s, key, seq, text1("ann", "hi")))
	}
	closeStore(t, s)
	for i, a := range answers {
		if got := <-a; got.err != nil {
			t.Fatalf("commit %d: %v", i, got.err)
		}
	}
	s = open(t, options(dir))
	if seq, _, err := s.Head("c"); seq != 500 || err != nil {
		t.Fatalf("Head is %d, %v, want 500", seq, err)
	}
}

func TestMetricsAreRegisteredAndGivenBack(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	for range 2 { // a second store of the process may register its own
		o := options(t.TempDir())
		o.Registerer = registry
		s := open(t, o)
		commit(t, s, protocol.ConversationKey("c"), 1, group("ann"))
		wantCode(t, <-hand(s, protocol.ConversationKey("c"), 9, text1("ann", "gap")), protocol.Unavailable)
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, f := range families {
			names = append(names, f.GetName())
		}
		want := "instantd_commit_batch_size instantd_commit_queue instantd_commit_refused_total instantd_commit_seconds instantd_disk_free_bytes instantd_store_bytes"
		if got := strings.Join(names, " "); got != want {
			t.Errorf("metrics are %s, want %s", got, want)
		}
		closeStore(t, s)
	}
}
