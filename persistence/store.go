package persistence

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"instantd/protocol"
)

// Retention is how long events of users and of the site, and the rows of
// former members, stay readable.
const Retention = 30 * 24 * time.Hour

// DefaultMinFree leaves room for what is in memory and for one compaction of
// it: a full disk ends a process that maps files, and no program can catch that.
const DefaultMinFree = 512 << 20

// Options say where the store is and what it may use.
type Options struct {
	Dir        string                // folder of everything; made when missing
	Log        *slog.Logger          // nil means slog.Default
	Registerer prometheus.Registerer // nil means no metrics
	Now        func() time.Time      // nil means time.Now
	Location   *time.Location        // of the month folders of files; nil means UTC
	MinFree    uint64                // bytes of free disk below which writes are refused; 0 means DefaultMinFree

	QueueLimit int   // commits that may wait; 0 means 65,536
	Memtable   int64 // bytes; a transaction may hold 15 % of it, 10,000 members need 64 MB; 0 means 64 MB
	BlockCache int64 // bytes of decompressed blocks kept; 0 means 32 MB
	IndexCache int64 // bytes of table indices kept; 0 means 32 MB

	free func(dir string) (uint64, error) // nil means statfs
}

func (o Options) withDefaults() Options {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Location == nil {
		o.Location = time.UTC
	}
	if o.free == nil {
		o.free = freeBytes
	}
	o.MinFree = orDefault(o.MinFree, DefaultMinFree)
	o.QueueLimit = orDefault(o.QueueLimit, 65_536)
	o.Memtable = orDefault(o.Memtable, 64<<20)
	o.BlockCache = orDefault(o.BlockCache, 32<<20)
	o.IndexCache = orDefault(o.IndexCache, 32<<20)
	return o
}

func orDefault[N int | int64 | uint64](value, standard N) N {
	if value == 0 {
		return standard
	}
	return value
}

// Folders and files under Options.Dir.
const (
	lockName  = "lock"
	storeName = "store" // Badger
	filesName = "files" // uploads
)

// Store is the durable state of one server. Its methods may be called by
// anybody at any time, until Close.
type Store struct {
	options Options
	log     *slog.Logger
	lock    *os.File
	db      *badger.DB
	views   views
	queue   *queue
	heads   heads
	deleted deletedAccounts
	outbox  outbox
	disk    *disk
	usage   *usage
	files   *files
	metrics *metrics

	committer committer
	stop      chan struct{} // closed by Close
	workers   sync.WaitGroup
	closing   sync.Once
	closed    error // of Close
}

// Open opens the store of a folder, and makes it when it is missing. It
// refuses a folder that another process uses, that a newer server wrote, or
// whose disk is nearly full.
func Open(options Options) (_ *Store, err error) {
	options = options.withDefaults()
	s := &Store{options: options, log: options.Log, stop: make(chan struct{})}
	defer func() {
		if err != nil {
			s.release()
		}
	}()

	if s.lock, err = lockDir(options.Dir); err != nil {
		return nil, err
	}
	s.disk = newDisk(options)
	if err = s.disk.checkStart(); err != nil {
		return nil, err
	}
	if s.db, err = openBadger(options); err != nil {
		return nil, err
	}
	if err = migrate(s.db, migrations); err != nil {
		return nil, err
	}
	if err = s.load(); err != nil {
		return nil, err
	}
	if s.files, err = openFiles(filepath.Join(options.Dir, filesName), options.Location, s.disk, s.log); err != nil {
		return nil, err
	}
	s.usage = newUsage(options)
	s.queue = newQueue(options.QueueLimit)
	if s.metrics, err = newMetrics(s, options.Registerer); err != nil {
		return nil, err
	}
	s.workers.Go(s.runCommitter)                      // ends when the queue is closed and empty
	s.workers.Go(func() { s.disk.watch(s.stop) })     // ends with stop
	s.workers.Go(func() { s.collectGarbage(s.stop) }) // ends with stop
	if options.Registerer != nil {
		s.workers.Go(func() { s.usage.watch(s.stop) }) // ends with stop
	}
	return s, nil
}

// load reads what is kept in memory.
func (s *Store) load() error {
	txn := s.db.NewTransaction(false)
	s.views.replace(txn)
	if err := s.committer.load(txn); err != nil {
		return err
	}
	if err := s.deleted.load(txn); err != nil {
		return err
	}
	return s.outbox.load(txn, s.committer.last)
}

// Close commits what is queued, waits for those who read, and closes. Further
// commits and reads are refused with Unavailable. Only the first call counts;
// the others wait and return its error.
func (s *Store) Close() error {
	s.closing.Do(func() {
		close(s.stop)
		s.queue.close()
		s.workers.Wait()
		s.outbox.close()
		s.closed = s.release()
	})
	return s.closed
}

// release gives back what Open took, as far as it came.
func (s *Store) release() error {
	s.views.close()
	var errs []error
	if s.metrics != nil {
		s.metrics.unregister()
	}
	if s.files != nil {
		errs = append(errs, s.files.root.Close())
	}
	if s.db != nil {
		errs = append(errs, s.db.Close())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close store: %w", err)
	}
	return nil
}

// Ready returns nil, or why commits are refused at present, with figures for
// the operator.
func (s *Store) Ready() error {
	if s.queue.isClosed() {
		return errClosed
	}
	if err := s.committer.broken(); err != nil {
		return err
	}
	return s.disk.ready()
}

// LastID is the newest id of the durable state.
func (s *Store) LastID() protocol.MessageID { return s.outbox.newest() }

// lockDir makes a folder and takes it for this process alone.
func lockDir(dir string) (*os.File, error) {
	if dir == "" {
		return nil, errors.New("no data folder is given")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make data folder: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock data folder: %w", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		f.Close()
		return nil, fmt.Errorf("data folder %s is in use by another process: stop it first, or give this one a folder of its own", dir)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock data folder %s: %w", dir, err)
	}
	return f, nil
}

func openBadger(o Options) (*badger.DB, error) {
	dir := filepath.Join(o.Dir, storeName)
	// Badger makes its files readable for all; the folder keeps others out.
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make store folder: %w", err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return nil, fmt.Errorf("protect store folder: %w", err)
	}
	db, err := badger.Open(badger.DefaultOptions(dir).
		WithSyncWrites(true).
		WithDetectConflicts(false). // there is one committer
		WithMemTableSize(o.Memtable).
		WithNumMemtables(2).
		WithNumCompactors(2).
		WithBlockCacheSize(o.BlockCache).
		WithIndexCacheSize(o.IndexCache).
		WithValueLogFileSize(64 << 20).
		WithMetricsEnabled(false).
		WithLogger(badgerLog{o.Log}))
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", dir, err)
	}
	return db, nil
}

// collectGarbage rewrites value-log files that hold mostly dead values.
func (s *Store) collectGarbage(stop <-chan struct{}) {
	ticker := time.NewTicker(10 * time.Minute)
	defer ticker.Stop()
	for {
		select {
		case <-stop:
			return
		case <-ticker.C:
		}
		if s.disk.refusal() != nil {
			continue // a rewrite needs room
		}
		err := s.db.RunValueLogGC(0.5)
		if err != nil && !errors.Is(err, badger.ErrNoRewrite) && !errors.Is(err, badger.ErrRejected) {
			s.log.Warn("value log not collected", "error", err)
		}
	}
}

// badgerLog writes Badger's log to slog, its chatter at debug level.
type badgerLog struct{ log *slog.Logger }

func (b badgerLog) Errorf(format string, args ...any)   { b.log.Error(line(format, args)) }
func (b badgerLog) Warningf(format string, args ...any) { b.log.Warn(line(format, args)) }
func (b badgerLog) Infof(format string, args ...any)    { b.log.Debug(line(format, args)) }
func (b badgerLog) Debugf(string, ...any)               {}

func line(format string, args []any) string {
	return "badger: " + strings.TrimSpace(fmt.Sprintf(format, args...))
}
