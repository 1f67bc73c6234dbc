package protocol

import (
	"io"
	"io/fs"
	"time"
)

// FileArea is the first folder of an uploaded file.
type FileArea string

const (
	AreaMessage   FileArea = "message"
	AreaBroadcast FileArea = "broadcast"
	AreaEvent     FileArea = "event"
)

// Files keeps uploaded bytes on disk. They never pass through an actor.
type Files interface {
	// Create opens a new file that nobody sees before Keep.
	Create() (Upload, error)
	// Open opens a kept file by its path, without a leading slash. It returns
	// fs.ErrNotExist for everything that is not a kept file, folders included.
	Open(path string) (fs.File, error)
	// Remove deletes kept files whose message was not committed.
	Remove(paths ...string)
}

// FilePlace is what a kept file's path tells of it: its area, the month of At,
// the folder of its Kind, and its extension, which is sanitised and may be empty.
type FilePlace struct {
	Area      FileArea
	At        time.Time
	Kind      PartKind
	Extension string
}

// Upload is a file being written. Exactly one of Keep and Abort ends it.
type Upload interface {
	io.Writer
	// Keep syncs the bytes to disk and returns the path with a leading slash.
	Keep(FilePlace) (path string, err error)
	// Abort removes what was written. It does nothing after Keep.
	Abort()
}
