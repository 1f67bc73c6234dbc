package persistence

import (
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"instantd/protocol"
)

// disk watches the free space. Badger maps its files, and a mapped page that
// the disk has no room for ends the process, so writes stop well before.
type disk struct {
	dir     string
	min     uint64
	probe   func(string) (uint64, error)
	log     *slog.Logger
	bytes   atomic.Uint64         // free at the last look
	trouble atomic.Pointer[error] // why writes are refused, for the operator; nil while there is room
}

func newDisk(o Options) *disk {
	return &disk{dir: o.Dir, min: o.MinFree, probe: o.free, log: o.Log}
}

// checkStart refuses to open on a disk where opening itself could fill it:
// what is in the log files is written out as tables first.
func (d *disk) checkStart() error {
	free, err := d.probe(d.dir)
	if err != nil {
		return fmt.Errorf("free space of %s: %w", d.dir, err)
	}
	if free < d.min/2 {
		return fmt.Errorf("disk of %s is nearly full: %d MiB free, %d MiB needed to start", d.dir, free>>20, d.min/2>>20)
	}
	d.look()
	return nil
}

// look measures once. Space that cannot be measured counts as none.
func (d *disk) look() {
	free, err := d.probe(d.dir)
	if err != nil {
		free, err = 0, fmt.Errorf("%w: what is free cannot be measured: %w", errDiskFull, err)
	} else if free < d.min {
		err = fmt.Errorf("%w: %d MiB free, %d MiB needed", errDiskFull, free>>20, d.min>>20)
	}
	d.bytes.Store(free)
	if err != nil {
		if d.trouble.Swap(&err) == nil {
			d.log.Error("writes are refused", "error", err)
		}
		return
	}
	if d.trouble.Swap(nil) != nil {
		d.log.Info("disk has room again, writes are accepted", "free", free)
	}
}

// watch looks every second until stop is closed.
func (d *disk) watch(stop <-chan struct{}) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-stop:
			return
		case <-ticker.C:
			d.look()
		}
	}
}

// errDiskFull is all that a client learns: how large the server's disk is, and
// how much of it is left, is nobody's business.
var errDiskFull = protocol.Errorf(protocol.Unavailable, "the server's disk is nearly full")

// refusal is nil while there is room.
func (d *disk) refusal() error {
	if d.trouble.Load() == nil {
		return nil
	}
	return errDiskFull
}

// ready is nil while there is room, otherwise what the operator is to know.
func (d *disk) ready() error {
	if trouble := d.trouble.Load(); trouble != nil {
		return *trouble
	}
	return nil
}

func freeBytes(dir string) (uint64, error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(dir, &stat); err != nil {
		return 0, err
	}
	return uint64(stat.Bavail) * uint64(stat.Bsize), nil
}
