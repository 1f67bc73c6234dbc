//go:build linux

package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// latch waits until something has happened a number of times.
type latch struct {
	left atomic.Int64
	done chan struct{}
}

// newLatch makes a latch for n times, at least one.
func newLatch(n int) *latch {
	l := &latch{done: make(chan struct{})}
	l.left.Store(int64(n))
	return l
}

// count notes one time. More than n are too many and change nothing.
func (l *latch) count() {
	if l.left.Add(-1) == 0 {
		close(l.done)
	}
}

// wait waits as long as things may take, and then says what is missing.
func (l *latch) wait(ctx context.Context, missing string) error {
	patience := time.NewTimer(drainTime)
	defer patience.Stop()
	select {
	case <-l.done:
		return nil
	case <-patience.C:
		return fmt.Errorf("after %s, %d %s", drainTime, l.left.Load(), missing)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
