//go:build linux

package main

import (
	"context"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// started is where now begins to count. It never changes.
var started = time.Now()

// now is a monotonic time in nanoseconds.
func now() int64 { return int64(time.Since(started)) }

// pace calls do with 0, 1, 2 … at the times begin + i·interval until end (all as now gives
// them), ctx ends or do fails. A call that comes late does not move the later
// ones. It sleeps in a system call of a thread of its own: Go's timers may be a
// millisecond late, which is as long as what is measured.
func pace(ctx context.Context, begin, end int64, interval time.Duration, do func(i int, due int64) error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0); err != nil {
		return err
	}
	for i := 0; ; i++ {
		due := begin + int64(i)*int64(interval)
		if due >= end {
			return nil
		}
		for left := due - now(); left > 0; left = due - now() {
			rest := unix.NsecToTimespec(left)
			_ = unix.Nanosleep(&rest, nil) // when interrupted, it is tried again
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := do(i, due); err != nil {
			return err
		}
	}
}
