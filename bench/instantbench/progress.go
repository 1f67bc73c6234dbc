//go:build linux

package main

import (
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// progress shows on a terminal how far a run is, in tenths of a second of the
// time that it will take.
type progress struct{ bar *progressbar.ProgressBar }

func newProgress(w io.Writer, total time.Duration) *progress {
	terminal, ok := w.(*os.File)
	visible := ok && term.IsTerminal(int(terminal.Fd()))
	return &progress{progressbar.NewOptions64(tenths(total),
		progressbar.OptionSetWriter(w), progressbar.OptionSetVisibility(visible), progressbar.OptionClearOnFinish(),
		progressbar.OptionSetWidth(30), progressbar.OptionSetPredictTime(true), progressbar.OptionSetElapsedTime(true))}
}

func tenths(d time.Duration) int64 { return int64(d / (100 * time.Millisecond)) }

// during shows what runs while do runs, which takes about d.
func (p *progress) during(what string, d time.Duration, do func() error) error {
	p.bar.Describe(what)
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() { // ends with do
		defer close(stopped)
		ticker := time.NewTicker(500 * time.Millisecond)
		defer ticker.Stop()
		shown := int64(0)
		for {
			select {
			case <-ticker.C:
				if shown+5 <= tenths(d) {
					shown += 5
					_ = p.bar.Add64(5)
				}
			case <-done:
				_ = p.bar.Add64(tenths(d) - shown)
				return
			}
		}
	}()
	err := do()
	close(done)
	<-stopped
	return err
}

func (p *progress) finish() { _ = p.bar.Finish() }
