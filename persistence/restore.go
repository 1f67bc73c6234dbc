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
// it appears whole or not at all: until then it is written beside it, with
// partialSuffix. Progress, unless nil, is told the bytes read so far.
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

	t := &restoring{archive: archive, db: db, files: files, disk: disk}
	if err := t.begin(); err != nil {
		return err
	}
	return t.entries()
}

// restoring is a backup that is being read.
type restoring struct {
	archive *tar.Reader
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
	header, err := readJSON[backupHeader](t.archive)
	if err != nil {
		return err
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
			return errors.New("the backup is cut off")
		}
		if err != nil {
			return err
		}
		t.disk.look()
		if err := t.disk.refusal(); err != nil {
			return err
		}
		switch {
		case entry.Typeflag != tar.TypeReg:
			return fmt.Errorf("entry %q is no file", entry.Name)
		case strings.HasPrefix(entry.Name, backupRows):
			err = t.rows()
		case entry.Name == backupEnd:
			return t.end()
		default:
			err = t.file(entry.Name)
		}
		if err != nil {
			return fmt.Errorf("entry %q: %w", entry.Name, err)
		}
	}
}

func (t *restoring) rows() error {
	batch := t.db.NewWriteBatch()
	defer batch.Cancel()
	r := bufio.NewReader(t.archive)
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
			return err
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
	_, err = io.Copy(file, t.archive)
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	t.totals.Files++
	return syncFolders(root, path.Dir(kept))
}

func (t *restoring) end() error {
	want, err := readJSON[backupTotals](t.archive)
	if err != nil {
		return err
	}
	if t.totals != want {
		return fmt.Errorf("the backup has %d rows and %d files, it says %d and %d", t.totals.Rows, t.totals.Files, want.Rows, want.Files)
	}
	return t.db.Sync()
}

func readJSON[T any](r io.Reader) (value T, err error) {
	const most = 4 << 10
	if err := json.NewDecoder(io.LimitReader(r, most)).Decode(&value); err != nil {
		return value, fmt.Errorf("header is malformed: %w", err)
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
