package persistence

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// A backup is a tar stream: backupBegin, the rows of the store in numbered
// chunks, the kept files, backupEnd. Rows are those of one commit in their
// newest version, so that nothing erased is in a backup. A file is kept before
// the commit that names it, so the files are read after the rows. The last
// entry tells the digest of all before it: a flipped bit in a row would
// otherwise become somebody's words.
//
// A row is: length of key and of value as uvarints, user meta byte, expiry in
// Unix seconds as uvarint, key, value.
const (
	backupBegin  = "instantd-backup.json" // first: backupHeader
	backupRows   = "rows/"                // rows/00000001, rows/00000002, …
	backupEnd    = "complete.json"        // last: backupTotals; without it the stream was cut
	backupFormat = 1

	chunkBytes = 4 << 20 // a chunk ends after the row that reaches this
	// maxRowBytes bounds a key or a value that is read back; no transaction
	// holds a larger one.
	maxRowBytes = 64 << 20
)

type backupHeader struct {
	Format int `json:"format"`
	Schema int `json:"schema"`
}

type backupTotals struct {
	Rows   int64  `json:"rows"`
	Files  int64  `json:"files"`
	SHA256 string `json:"sha256"` // see digest, in hexadecimal
}

// digest sums up entries: of each, in order, the length of its name as uvarint,
// the name, its size as uvarint, its bytes.
type digest struct{ hash.Hash }

func newDigest() digest { return digest{sha256.New()} }

// begin adds what precedes the bytes of an entry.
func (d digest) begin(name string, size int64) {
	head := binary.AppendUvarint(nil, uint64(len(name)))
	head = append(head, name...)
	d.Write(binary.AppendUvarint(head, uint64(size))) // never fails
}

func (d digest) sum() string { return hex.EncodeToString(d.Sum(nil)) }

// Backup writes the state of one moment and the uploaded files to w, while the
// server goes on. Progress, unless nil, is told the bytes written so far.
func (s *Store) Backup(ctx context.Context, w io.Writer, progress func(done int64)) error {
	if progress == nil {
		progress = func(int64) {}
	}
	archive := newArchive(&meter{ctx: ctx, w: w, progress: progress})
	err := archive.json(backupBegin, backupHeader{Format: backupFormat, Schema: len(migrations) + 1})
	if err == nil {
		err = s.views.read(archive.rows)
	}
	if err == nil {
		err = archive.files(s.files)
	}
	if err == nil {
		archive.totals.SHA256 = archive.digest.sum()
		err = archive.json(backupEnd, archive.totals)
	}
	if err == nil {
		err = archive.tar.Close()
	}
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	return nil
}

// meter counts what is written, and stops with its context.
type meter struct {
	ctx      context.Context
	w        io.Writer
	done     int64
	progress func(int64)
}

func (m *meter) Write(data []byte) (int, error) {
	if err := m.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := m.w.Write(data)
	m.done += int64(n)
	m.progress(m.done)
	return n, err
}

type archive struct {
	tar     *tar.Writer
	digest  digest
	content io.Writer // of the entry that was begun last
	totals  backupTotals
}

func newArchive(w io.Writer) *archive {
	a := &archive{tar: tar.NewWriter(w), digest: newDigest()}
	a.content = io.MultiWriter(a.tar, a.digest)
	return a
}

// begin begins an entry; size bytes of content follow.
func (a *archive) begin(name string, size int64, at time.Time) error {
	a.digest.begin(name, size)
	return a.tar.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: size, ModTime: at})
}

func (a *archive) entry(name string, data []byte) error {
	if err := a.begin(name, int64(len(data)), time.Unix(0, 0)); err != nil {
		return err
	}
	_, err := a.content.Write(data)
	return err
}

func (a *archive) json(name string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return a.entry(name, data)
}

// rows writes all rows of a transaction, in chunks.
func (a *archive) rows(txn *badger.Txn) error {
	var chunk []byte
	number := 0
	flush := func() error {
		if len(chunk) == 0 {
			return nil
		}
		number++
		err := a.entry(fmt.Sprintf("%s%08d", backupRows, number), chunk)
		chunk = chunk[:0]
		return err
	}
	options := badger.DefaultIteratorOptions // all values are read, in order: prefetch
	err := iterate(txn, options, nil, func(item *badger.Item) error {
		err := item.Value(func(value []byte) error {
			chunk = appendRow(chunk, row{key: item.Key(), value: value, meta: item.UserMeta(), expires: item.ExpiresAt()})
			return nil
		})
		if err != nil {
			return err
		}
		a.totals.Rows++
		if len(chunk) < chunkBytes {
			return nil
		}
		return flush()
	})
	if err != nil {
		return err
	}
	return flush()
}

func appendRow(chunk []byte, r row) []byte {
	chunk = binary.AppendUvarint(chunk, uint64(len(r.key)))
	chunk = binary.AppendUvarint(chunk, uint64(len(r.value)))
	chunk = append(chunk, r.meta)
	chunk = binary.AppendUvarint(chunk, r.expires)
	return append(append(chunk, r.key...), r.value...)
}

// rowReader is what readRow reads from.
type rowReader interface {
	io.Reader
	io.ByteReader
}

// readRow reads one row, io.EOF when there is none.
func readRow(r rowReader) (row, error) {
	keySize, err := binary.ReadUvarint(r)
	if err != nil {
		return row{}, err // io.EOF only at the very beginning
	}
	valueSize, err := binary.ReadUvarint(r)
	if err != nil {
		return row{}, unexpected(err)
	}
	if keySize == 0 || keySize > maxRowBytes || valueSize > maxRowBytes {
		return row{}, fmt.Errorf("%w: a row of %d and %d bytes is malformed", errDamaged, keySize, valueSize)
	}
	meta, err := r.ReadByte()
	if err != nil {
		return row{}, unexpected(err)
	}
	expires, err := binary.ReadUvarint(r)
	if err != nil {
		return row{}, unexpected(err)
	}
	// LimitReader with ReadAll grows with what is there, not with what is claimed.
	data, err := io.ReadAll(io.LimitReader(r, int64(keySize+valueSize)))
	if err != nil {
		return row{}, err
	}
	if uint64(len(data)) < keySize+valueSize {
		return row{}, io.ErrUnexpectedEOF
	}
	return row{key: data[:keySize:keySize], value: data[keySize:], meta: meta, expires: expires}, nil
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// files writes all kept files. One that is removed meanwhile belonged to no
// committed message.
func (a *archive) files(f *files) error {
	return fs.WalkDir(f.root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && strings.HasPrefix(entry.Name(), ".") && name != "." {
			return fs.SkipDir
		}
		if entry.IsDir() || !keptForm.MatchString(name) {
			return nil
		}
		file, err := f.open(filesPrefix + name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		defer file.Close()
		return a.file(filesPrefix+name, file)
	})
}

func (a *archive) file(name string, file fs.File) error {
	stat, err := file.Stat()
	if err != nil {
		return err
	}
	if err := a.begin(name, stat.Size(), stat.ModTime()); err != nil {
		return err
	}
	if _, err := io.Copy(a.content, file); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	a.totals.Files++
	return nil
}
