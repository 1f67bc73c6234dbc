package persistence

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"regexp"
	"strings"
	"time"

	"instantd/protocol"
)

// files keeps uploads in one folder that no path can leave. A file is written
// to partialName and becomes visible by a rename, whole or not at all.
type files struct {
	root     *os.Root
	location *time.Location
	disk     *disk
	log      *slog.Logger
}

const (
	partialName = ".partial"
	filesPrefix = "files/" // of every path that is handed out, for the download address
)

// openFiles opens the folder of uploads and removes what a former process did
// not finish.
func openFiles(dir string, location *time.Location, disk *disk, log *slog.Logger) (*files, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make files folder: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open files folder: %w", err)
	}
	err = errors.Join(root.Chmod(".", 0o700), root.RemoveAll(partialName), root.Mkdir(partialName, 0o700))
	if err != nil {
		root.Close()
		return nil, fmt.Errorf("clear unfinished uploads: %w", err)
	}
	return &files{root: root, location: location, disk: disk, log: log}, nil
}

// Create opens a new file that nobody sees before Keep. It is refused with
// Unavailable while the disk is nearly full.
func (s *Store) Create() (protocol.Upload, error) { return s.files.create() }

// Open opens a kept file by its path, without a leading slash. It returns
// fs.ErrNotExist for everything that is not a kept file, folders included.
func (s *Store) Open(path string) (fs.File, error) { return s.files.open(path) }

// Remove deletes kept files whose message was not committed.
func (s *Store) Remove(paths ...string) { s.files.remove(paths) }

func (f *files) create() (protocol.Upload, error) {
	if err := f.disk.refusal(); err != nil {
		return nil, err
	}
	var random [16]byte
	rand.Read(random[:]) // never fails
	name := hex.EncodeToString(random[:])
	partial := path.Join(partialName, name)
	file, err := f.root.OpenFile(partial, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create upload: %w", err)
	}
	return &upload{files: f, file: file, partial: partial, name: name}, nil
}

// folder is where a file is kept.
func (f *files) folder(at protocol.FilePlace) (string, error) {
	switch at.Area {
	case protocol.AreaMessage, protocol.AreaBroadcast, protocol.AreaEvent:
	default:
		return "", protocol.Errorf(protocol.Invalid, "files have no area %q", at.Area)
	}
	return path.Join(string(at.Area), at.At.In(f.location).Format("200601"), kindFolder(at.Kind)), nil
}

func kindFolder(kind protocol.PartKind) string {
	switch kind {
	case protocol.PartVoice, protocol.PartAudio:
		return "voice"
	case protocol.PartImage:
		return "image"
	case protocol.PartVideo:
		return "video"
	}
	return "file"
}

var extensionForm = regexp.MustCompile(`^[a-z0-9]{1,10}$`)

// sanitised returns an extension with its dot, or nothing when it could be
// more than that.
func sanitised(extension string) string {
	extension = strings.ToLower(strings.TrimPrefix(extension, "."))
	if !extensionForm.MatchString(extension) {
		return ""
	}
	return "." + extension
}

// keptForm is what Keep makes, below the files folder.
var keptForm = regexp.MustCompile(`^(message|broadcast|event)/[0-9]{6}/(voice|image|video|file)/[0-9a-f]{32}(\.[a-z0-9]{1,10})?$`)

// keptName turns a path into the name below the files folder. False means that
// no kept file can have it.
func keptName(path string) (string, bool) {
	name, is := strings.CutPrefix(path, filesPrefix)
	return name, is && keptForm.MatchString(name)
}

func (f *files) open(path string) (fs.File, error) {
	missing := &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	name, is := keptName(path)
	if !is {
		return nil, missing
	}
	// Nobody but the server writes here; a link or a folder of that name is
	// not of its making.
	stat, err := f.root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !stat.Mode().IsRegular() {
		return nil, missing
	}
	if err != nil {
		return nil, fmt.Errorf("open file: %w", err)
	}
	file, err := f.root.Open(name)
	if err != nil {
		return nil, fmt.Errorf("open file: %w", err)
	}
	return file, nil
}

func (f *files) remove(paths []string) {
	for _, path := range paths {
		name, is := keptName(strings.TrimPrefix(path, "/"))
		if !is {
			f.log.Warn("file not removed: it is no kept file", "path", path)
			continue
		}
		if err := f.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			f.log.Warn("file not removed", "path", path, "error", err)
		}
	}
}

// upload is a file being written, by one goroutine.
type upload struct {
	files   *files
	file    *os.File
	partial string // where it is written
	name    string // random; the kept file has an extension besides
	ended   bool
}

var errEnded = errors.New("the upload has ended")

func (u *upload) Write(data []byte) (int, error) {
	if u.ended {
		return 0, errEnded
	}
	if err := u.files.disk.refusal(); err != nil {
		return 0, err
	}
	return u.file.Write(data)
}

func (u *upload) Keep(at protocol.FilePlace) (string, error) {
	if u.ended {
		return "", errEnded
	}
	folder, err := u.files.folder(at)
	kept := path.Join(folder, u.name+sanitised(at.Extension))
	if err == nil {
		err = u.keep(folder, kept)
	}
	if err != nil {
		u.Abort()
		return "", fmt.Errorf("keep upload: %w", err)
	}
	return "/" + filesPrefix + kept, nil
}

// keep syncs the bytes before the name, and the name before it is told: every
// folder on the way, for any of them may be new.
func (u *upload) keep(folder, kept string) error {
	if err := errors.Join(u.file.Sync(), u.file.Close()); err != nil {
		return err
	}
	root := u.files.root
	if err := root.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	if err := root.Rename(u.partial, kept); err != nil {
		return err
	}
	u.ended = true
	if err := syncFolders(root, folder); err != nil {
		return errors.Join(err, root.Remove(kept))
	}
	return nil
}

func (u *upload) Abort() {
	if u.ended {
		return
	}
	u.ended = true
	u.file.Close()
	if err := u.files.root.Remove(u.partial); err != nil {
		u.files.log.Warn("unfinished upload not removed", "error", err)
	}
}

// syncFolders syncs a folder and those that hold it, up to the root.
func syncFolders(root *os.Root, name string) error {
	for ; ; name = path.Dir(name) {
		folder, err := root.Open(name)
		if err != nil {
			return err
		}
		if err := errors.Join(folder.Sync(), folder.Close()); err != nil {
			return err
		}
		if name == "." {
			return nil
		}
	}
}
