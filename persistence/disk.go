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
	dir   string
	min   uint64
	probe func(string) (uint64, error)
	log   *slog.Logger
	bytes atomic.Uint64 // free at the last look
	low   atomic.Bool
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
		free = 0
	}
	d.bytes.Store(free)
	low := free < d.min
	if d.low.Swap(low) == low {
		return
	}
	if low {
		d.log.Error("disk nearly full, writes are refused", "free", free, "needed", d.min, "error", err)
		return
	}
	d.log.Info("disk has room again, writes are accepted", "free", free)
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

// refusal is nil while there is room.
func (d *disk) refusal() error {
	if !d.low.Load() {
		return nil
	}
	return protocol.Errorf(protocol.Unavailable, "the disk is nearly full: %d MiB free, %d MiB needed", d.bytes.Load()>>20, d.min>>20)
}

func freeBytes(dir string) (uint64, error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(dir, &stat); err != nil {
		return 0, err
	}
	return uint64(stat.Bavail) * uint64(stat.Bsize), nil
}
