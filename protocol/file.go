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
	// Create opens a new file that nobody sees before Keep. at gives the month
	// folder; kind and extension end up in the path. The extension is
	// sanitised, and may be empty.
	Create(area FileArea, at time.Time, kind PartKind, extension string) (Upload, error)
	// Open opens a kept file by its path, without a leading slash. It returns
	// fs.ErrNotExist for everything that is not a kept file, folders included.
	Open(path string) (fs.File, error)
	// Remove deletes kept files whose message was not committed.
	Remove(paths ...string)
}

// Upload is a file being written. Exactly one of Keep and Abort ends it.
type Upload interface {
	io.Writer
	// Keep syncs the bytes to disk and returns the path with a leading slash.
	Keep() (path string, err error)
	// Abort removes what was written. It does nothing after Keep.
	Abort()
}
