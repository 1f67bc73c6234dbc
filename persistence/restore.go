package persistence

import (
	"archive/tar"
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/dgraph-io/badger/v4"
)

// Restore makes a data folder of a backup. The folder must be missing or empty;
// it appears whole or not at all: until all content was verified it is written
// beside it, with partialSuffix. Progress, unless nil, is told the bytes read
// so far.
func Restore(ctx context.Context, dir string, r io.Reader, progress func(done int64)) error {
	dir = filepath.Clean(dir)
	if err := checkEmpty(dir); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	if progress == nil {
		progress = func(int64) {}
	}
	partial := dir + partialSuffix
	if err := os.RemoveAll(partial); err != nil { // of a restore that was interrupted
		return fmt.Errorf("restore: %w", err)
	}
	err := restore(partial, tar.NewReader(&gauge{ctx: ctx, r: r, progress: progress}))
	if err == nil {
		err = takePlace(partial, dir)
	}
	if err == nil {
		err = syncDir(filepath.Dir(dir))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("restore: %w", err), os.RemoveAll(partial))
	}
	return nil
}

const partialSuffix = ".partial"

// errDamaged is what is said of a backup that is not the one that was written.
var errDamaged = errors.New("the backup is damaged or cut off")

func checkEmpty(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if len(entries) > 0 {
		return fmt.Errorf("folder %s is not empty", dir)
	}
	return nil
}

// takePlace renames a folder to the name of one that is missing or empty.
func takePlace(partial, dir string) error {
	if err := os.Remove(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.Rename(partial, dir)
}

// gauge counts what is read, and stops with its context.
type gauge struct {
	ctx      context.Context
	r        io.Reader
	done     int64
	progress func(int64)
}

func (g *gauge) Read(data []byte) (int, error) {
	if err := g.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := g.r.Read(data)
	g.done += int64(n)
	g.progress(g.done)
	return n, err
}

func restore(dir string, archive *tar.Reader) (err error) {
	options := Options{Dir: dir}.withDefaults()
	lock, err := lockDir(dir)
	if err != nil {
		return err
	}
	defer lock.Close()
	disk := newDisk(options)
	if err := disk.checkStart(); err != nil {
		return err
	}
	db, err := openBadger(options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close(), syncDir(dir)) }()
	files, err := openFiles(filepath.Join(dir, filesName), options.Location, disk, options.Log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, files.root.Close()) }()

	t := &restoring{archive: archive, digest: newDigest(), db: db, files: files, disk: disk}
	t.content = io.TeeReader(t.archive, t.digest)
	if err := t.begin(); err != nil {
		return err
	}
	return t.entries()
}

// restoring is a backup that is being read.
type restoring struct {
	archive *tar.Reader
	digest  digest    // of what was read so far
	content io.Reader // of the present entry; what is read goes into the digest
	db      *badger.DB
	files   *files
	disk    *disk
	totals  backupTotals
}

// begin reads the first entry.
func (t *restoring) begin() error {
	entry, err := t.archive.Next()
	if err != nil || entry.Name != backupBegin {
		return errors.New("this is not a backup of instantd")
	}
	t.digest.begin(entry.Name, entry.Size)
	header, err := readJSON[backupHeader](t.content)
	if err != nil {
		return fmt.Errorf("entry %q: %w", entry.Name, blame(err))
	}
	if header.Format != backupFormat {
		return fmt.Errorf("the backup has format %d, this program knows format %d", header.Format, backupFormat)
	}
	if newest := len(migrations) + 1; header.Schema > newest {
		return fmt.Errorf("the backup has form %d, this program knows forms up to %d", header.Schema, newest)
	}
	return nil
}

// entries reads what follows, up to the entry that says it is complete.
func (t *restoring) entries() error {
	for {
		entry, err := t.archive.Next()
		if errors.Is(err, io.EOF) {
			return errDamaged
		}
		if err != nil {
			return blame(err)
		}
		t.disk.look()
		if err := t.disk.ready(); err != nil {
			return err
		}
		if entry.Name == backupEnd {
			return t.end()
		}
		if err := t.entry(entry); err != nil {
			return fmt.Errorf("entry %q: %w", entry.Name, blame(err))
		}
	}
}

// entry reads one entry of content.
func (t *restoring) entry(entry *tar.Header) error {
	if entry.Typeflag != tar.TypeReg {
		return errors.New("it is no file")
	}
	t.digest.begin(entry.Name, entry.Size)
	if strings.HasPrefix(entry.Name, backupRows) {
		return t.rows()
	}
	return t.file(entry.Name)
}

// blame says of an error whether the backup is to blame.
func blame(err error) error {
	if errors.Is(err, tar.ErrHeader) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: %w", errDamaged, err)
	}
	return err
}

func (t *restoring) rows() error {
	batch := t.db.NewWriteBatch()
	defer batch.Cancel()
	r := bufio.NewReader(t.content)
	for {
		row, err := readRow(r)
		if errors.Is(err, io.EOF) {
			return batch.Flush()
		}
		if err != nil {
			return err
		}
		err = batch.SetEntry(&badger.Entry{Key: row.key, Value: row.value, UserMeta: row.meta, ExpiresAt: row.expires})
		if err != nil {
			return fmt.Errorf("store a row: %w", err)
		}
		t.totals.Rows++
	}
}

// file writes one kept file. Only names that Keep makes are accepted.
func (t *restoring) file(name string) error {
	kept, is := keptName(name)
	if !is {
		return errors.New("the name is not one of a kept file")
	}
	root := t.files.root
	if err := root.MkdirAll(path.Dir(kept), 0o700); err != nil {
		return err
	}
	file, err := root.OpenFile(kept, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, t.content)
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	t.totals.Files++
	return syncFolders(root, path.Dir(kept))
}

// end compares what was read with what the last entry says was written.
func (t *restoring) end() error {
	t.totals.SHA256 = t.digest.sum()
	want, err := readJSON[backupTotals](t.archive)
	if err != nil {
		return blame(err)
	}
	if t.totals.Rows != want.Rows || t.totals.Files != want.Files {
		return fmt.Errorf("%w: it has %d rows and %d files, it says %d and %d", errDamaged, t.totals.Rows, t.totals.Files, want.Rows, want.Files)
	}
	if t.totals.SHA256 != want.SHA256 {
		return fmt.Errorf("%w: its SHA-256 is not the one that was written with it", errDamaged)
	}
	return t.db.Sync()
}

// readJSON reads an entry to its end.
func readJSON[T any](r io.Reader) (value T, err error) {
	const most = 4 << 10
	data, err := io.ReadAll(io.LimitReader(r, most+1))
	if err != nil {
		return value, err
	}
	if len(data) > most {
		return value, fmt.Errorf("%w: more than %d bytes", errDamaged, most)
	}
	if err := json.Unmarshal(data, &value); err != nil {
		return value, fmt.Errorf("%w: malformed JSON: %w", errDamaged, err)
	}
	return value, nil
}

func syncDir(name string) error {
	dir, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
