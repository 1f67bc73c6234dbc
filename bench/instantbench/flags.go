//go:build linux

package main

import (
	"errors"
	"slices"
	"time"
)

// loadFlags are what every scenario can be told.
type loadFlags struct {
	Duration   time.Duration `default:"10s" help:"Of each phase. Default ${default}."`
	Warmup     time.Duration `default:"1s" help:"Load before, which is checked but not measured. Default ${default}."`
	Size       int           `default:"200" help:"Bytes of a message's text. Default ${default}."`
	Rounds     int           `default:"3" help:"How often; medians are reported. Default ${default}."`
	Quiet      float64       `placeholder:"PERCENT" help:"Measure again, some times, when others used more of the machine than this."`
	Readers    int           `help:"Goroutines that read for all clients. Default is one for each processor."`
	Out        string        `placeholder:"FILE" help:"Save the report as JSON, and as HTML beside it."`
	CPUProfile string        `name:"cpu-profile" placeholder:"FILE" help:"Save a CPU profile of instantd, taken in the first round while it has most to do."`
}

func (f loadFlags) validate() error {
	switch {
	case f.Duration <= 0 || f.Duration > time.Hour || f.Warmup < 0 || f.Warmup > time.Hour:
		return errors.New("--duration and --warmup must be at most an hour")
	case f.Size < 16 || f.Size > 32<<10:
		return errors.New("--size must be from 16 to 32768")
	case f.Rounds < 1 || f.Rounds > 1_000:
		return errors.New("--rounds must be from 1 to 1000")
	case f.Readers < 0 || f.Readers > 64:
		return errors.New("--readers must be at most 64")
	case f.Quiet < 0:
		return errors.New("--quiet must not be negative")
	}
	return nil
}

// maxTries bounds how often something is measured on a machine that does not
// become quiet. The last try counts.
const maxTries = 8

// again tells whether what was measured at the nth try, from 1, is to be measured once more.
func (f loadFlags) again(try int, phases ...phase) bool {
	return f.Quiet > 0 && try < maxTries && slices.ContainsFunc(phases, func(p phase) bool { return p.Cost.Others > f.Quiet })
}
