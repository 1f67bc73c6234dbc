//go:build linux

package main

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"
)

func TestOrder(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name                           string
		seqs                           []uint64
		missing, duplicates, reordered int
	}{
		{"everything in order is fine", []uint64{1, 2, 3, 4}, 0, 0, 0},
		{"a gap is a loss", []uint64{1, 2, 4}, 1, 0, 0},
		{"a wide gap is many", []uint64{1, 11}, 9, 0, 0},
		{"the first may be lost, too", []uint64{2}, 1, 0, 0},
		{"what comes again is a duplicate", []uint64{1, 2, 2, 1}, 0, 2, 0},
		{"what comes late is out of order and no loss", []uint64{1, 3, 2, 4}, 0, 0, 1},
		{"what comes late twice is both", []uint64{1, 3, 2, 2}, 0, 1, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var o order
			for _, seq := range tt.seqs {
				o.see(seq)
			}
			if len(o.missing) != tt.missing || o.duplicates != tt.duplicates || o.reordered != tt.reordered {
				t.Errorf("%v: %d missing, %d duplicates, %d reordered; want %d, %d, %d",
					tt.seqs, len(o.missing), o.duplicates, o.reordered, tt.missing, tt.duplicates, tt.reordered)
			}
		})
	}
}

func TestRecorder(t *testing.T) {
	t.Parallel()
	r, other := newRecorder(), newRecorder()
	for ms := range int64(1_000) {
		target := r
		if ms%2 == 0 {
			target = other
		}
		target.record((ms + 1) * int64(time.Millisecond))
	}
	r.merge(other)
	got := r.latency()
	near := func(a, b float64) bool { return a > b*0.998 && a < b*1.002 }
	if got.Count != 1_000 || !near(got.P50, 500) || !near(got.P90, 900) || !near(got.P99, 990) || !near(got.P999, 999) || !near(got.Max, 1_000) {
		t.Errorf("1 to 1,000 ms are %+v", got)
	}
	r.record(int64(24 * time.Hour))
	r.record(-5)
	if got := r.latency(); got.Count != 1_002 || !near(got.Max, float64(longest.Milliseconds())) {
		t.Errorf("what is out of range is not kept: %+v", got)
	}
}

func TestLedgerIsCompleteWhenEverybodyHasRead(t *testing.T) {
	t.Parallel()
	const members, readers, messages = 40, 4, 500
	l := newLedger(1_000, members, readers, 0)
	for range messages {
		if _, err := l.take(now()); err != nil {
			t.Fatal(err)
		}
	}
	var running sync.WaitGroup
	for reader := range readers {
		running.Go(func() { // ends with its deliveries
			for number := 1_000; number < 1_000+messages; number++ {
				for range members / readers {
					l.deliver(reader, number, now())
				}
				if number%readers == reader {
					l.answered(reader, number, now())
				}
			}
		})
	}
	if err := l.drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	running.Wait()
	total := l.sum()
	if total.deliveries != members*messages || total.each.latency().Count != members*messages ||
		total.last.latency().Count != messages || total.answer.latency().Count != messages {
		t.Errorf("%d deliveries, %d last, %d answers", total.deliveries, total.last.latency().Count, total.answer.latency().Count)
	}
}

func TestLedgerLatencyBeginsWhenAMessageIsDue(t *testing.T) {
	t.Parallel()
	l := newLedger(0, 2, 1, 0)
	due := now() - int64(time.Second) // it was late already
	number, err := l.take(due)
	if err != nil {
		t.Fatal(err)
	}
	l.deliver(0, number, due+int64(2*time.Second))
	l.deliver(0, number, due+int64(3*time.Second))
	last, each := l.sum().last.latency(), l.sum().each.latency()
	if last.Count != 1 || last.Max < 2_990 || each.P50 > 2_010 || l.lag.latency().Max < 990 {
		t.Errorf("last %+v, each %+v, lag %+v", last, each, l.lag.latency())
	}
}

func TestLedgerIgnoresWhatIsOfAnotherPhase(t *testing.T) {
	t.Parallel()
	l := newLedger(10, 1, 1, 0)
	if _, err := l.take(now()); err != nil {
		t.Fatal(err)
	}
	l.deliver(0, 9, now())
	l.deliver(0, 10+maxMessages, now())
	l.answered(0, 9, now())
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("enough")
	cancel(cause)
	if err := l.drain(ctx); !errors.Is(err, cause) {
		t.Errorf("drain of an incomplete ledger is %v", err)
	}
}

func TestLedgerKeepsAWindow(t *testing.T) {
	t.Parallel()
	l := newLedger(0, 2, 1, 1)
	ended, cancel := context.WithCancel(t.Context())
	if err := l.acquire(ended); err != nil {
		t.Fatal(err)
	}
	number, err := l.take(now())
	if err != nil {
		t.Fatal(err)
	}
	l.deliver(0, number, now())
	cancel()
	if err := l.acquire(ended); err == nil {
		t.Error("a second message may go before everybody has read the first")
	}
	l.deliver(0, number, now())
	if err := l.acquire(t.Context()); err != nil {
		t.Errorf("no message may go after everybody has read: %v", err)
	}
}
