package persistence

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Parts of the data folder that are measured.
const (
	usageTables    = "tables"    // what was sorted
	usageMemtables = "memtables" // logs of what is not in tables yet
	usageValueLog  = "value_log" // values too large for tables
	usageFiles     = "files"     // uploads, unfinished ones included
)

// usage measures what the data folder takes on disk. Log files are sparse, so
// blocks count, not lengths. Badger's own figures need its global metrics.
type usage struct {
	dir   string
	log   *slog.Logger
	parts map[string]*atomic.Int64 // bytes at the last look; the map itself is constant

	looking sync.Mutex
}

func newUsage(o Options) *usage {
	return &usage{dir: o.Dir, log: o.Log, parts: map[string]*atomic.Int64{
		usageTables: {}, usageMemtables: {}, usageValueLog: {}, usageFiles: {},
	}}
}

// watch looks every ten seconds until stop is closed, and pauses so long that
// looking at millions of uploads takes a hundredth of the time.
func (u *usage) watch(stop <-chan struct{}) {
	for {
		began := time.Now()
		if err := u.look(stop); err != nil {
			u.log.Warn("data folder not measured", "error", err)
		}
		select {
		case <-stop:
			return
		case <-time.After(max(10*time.Second, 100*time.Since(began))):
		}
	}
}

// look measures once, unless stop is closed meanwhile.
func (u *usage) look(stop <-chan struct{}) error {
	u.looking.Lock()
	defer u.looking.Unlock()
	bytes := map[string]int64{}
	store := func(name string, size int64) { bytes[storePart(name)] += size }
	uploads := func(_ string, size int64) { bytes[usageFiles] += size }
	err := errors.Join(
		eachFile(filepath.Join(u.dir, storeName), stop, store),
		eachFile(filepath.Join(u.dir, filesName), stop, uploads))
	if errors.Is(err, errStopped) {
		return nil
	}
	if err != nil {
		return err
	}
	for part, total := range u.parts {
		total.Store(bytes[part])
	}
	return nil
}

// storePart is what a file of Badger belongs to; the few small others have no
// part.
func storePart(name string) string {
	switch filepath.Ext(name) {
	case ".sst":
		return usageTables
	case ".mem":
		return usageMemtables
	case ".vlog":
		return usageValueLog
	}
	return ""
}

var errStopped = errors.New("stopped")

// eachFile calls visit for every file below a folder, with the bytes that it
// takes. It never holds a whole folder in memory, and passes over what goes
// away meanwhile.
func eachFile(dir string, stop <-chan struct{}, visit func(name string, bytes int64)) error {
	const atOnce = 1024
	folder, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer folder.Close()
	for {
		select {
		case <-stop:
			return errStopped
		default:
		}
		entries, end := folder.ReadDir(atOnce)
		for _, entry := range entries {
			path := filepath.Join(dir, entry.Name())
			if entry.IsDir() {
				if err := eachFile(path, stop, visit); err != nil {
					return err
				}
				continue
			}
			bytes, err := bytesOf(entry)
			if err != nil {
				return fmt.Errorf("measure %s: %w", path, err)
			}
			visit(entry.Name(), bytes)
		}
		if errors.Is(end, io.EOF) {
			return nil
		}
		if end != nil {
			return end
		}
	}
}

// bytesOf are those of the blocks that a file takes; 0 when it went away.
func bytesOf(entry fs.DirEntry) (int64, error) {
	const block = 512 // the unit of the system call, whatever the disk's is
	info, err := entry.Info()
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	stat, is := info.Sys().(*syscall.Stat_t)
	if !is {
		return info.Size(), nil
	}
	return stat.Blocks * block, nil
}
