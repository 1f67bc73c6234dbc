//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// idleCommand measures what sessions cost that do nothing: the server's memory
// before users are known, when they are logged in, and when they are online.
type idleCommand struct {
	serverFlags
	loadFlags
	Sessions int `default:"5000" help:"Sessions, a user each. Default ${default}."`
	Members  int `default:"20" help:"Members of a group; everybody is in one. Default ${default}."`
}

// Names of the phases: what is counted, beside an empty server.
const (
	phaseIdleUser    = "session with its user"
	phaseIdleSession = "session alone"
)

// Validate is called by the command line.
func (c *idleCommand) Validate() error {
	switch {
	case c.Sessions < 10 || c.Sessions > 20_000:
		return errors.New("--sessions must be from 10 to 20000")
	case c.Members < 1 || c.Members > c.Sessions:
		return errors.New("--members must be from 1 to --sessions")
	}
	return c.loadFlags.validate()
}

// Run measures, prints and saves.
func (c *idleCommand) Run(ctx context.Context, out *output) error {
	title := fmt.Sprintf("idle: %d sessions in groups of %d that do nothing; memory of the server for each; medians of %d",
		c.Sessions, c.Members, c.Rounds)
	r, err := newReport(title, c.DataParent, out.args)
	if err != nil {
		return err
	}
	bar := newProgress(out.stderr, time.Duration(c.Rounds)*idleTime)
	defer bar.finish()
	for round := 1; round <= c.Rounds; round++ {
		err := bar.during(fmt.Sprintf("round %d of %d", round, c.Rounds), idleTime, func() error { return c.round(ctx, r, round) })
		if err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
	}
	bar.finish()
	r.summarize()
	return errors.Join(r.print(out.stdout, idleColumns), r.save(c.Out))
}

// idleTime is about how long a round takes, for the progress.
const idleTime = 15 * time.Second

var idleColumns = []column{
	{"RSS", func(p phase) string { return kilo(p.Memory.RSS) }},
	{"anonymous", func(p phase) string { return kilo(p.Memory.Anonymous) }},
	{"heap", func(p phase) string { return kilo(p.Memory.Heap) }},
	{"stacks", func(p phase) string { return kilo(p.Memory.Stacks) }},
	{"goroutines", func(p phase) string { return fmt.Sprintf("%.2f", p.Memory.Routines) }},
}

func kilo(bytes float64) string { return fmt.Sprintf("%.2fk", bytes/1_000) }

// round measures once and adds that to the report.
func (c *idleCommand) round(ctx context.Context, r *report, round int) (err error) {
	server, err := startInstantd(c.serverFlags)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.close()) }()
	// The first session costs what no other does.
	first, err := server.community(ctx, 1, neighbours(1, 1))
	if err == nil {
		err = c.online(ctx, server, first, func() error { return nil })
	}
	if err != nil {
		return err
	}
	empty, err := server.atRest(ctx)
	if err != nil {
		return err
	}
	people, err := server.community(ctx, c.Sessions, neighbours(c.Sessions, c.Members))
	if err != nil {
		return err
	}
	known, err := server.atRest(ctx)
	if err != nil {
		return err
	}
	return c.online(ctx, server, people, func() error {
		online, err := server.atRest(ctx)
		if err != nil {
			return err
		}
		n := float64(c.Sessions)
		r.Rounds = append(r.Rounds,
			phase{Round: round, Peer: server.name(), Name: phaseIdleUser, Work: n, Memory: online.each(empty, c.Sessions)},
			phase{Round: round, Peer: server.name(), Name: phaseIdleSession, Work: n, Memory: online.each(known, c.Sessions)})
		return nil
	})
}

// online calls do while everybody is online.
func (c *idleCommand) online(ctx context.Context, server *instantd, people *community, do func() error) error {
	f, err := newFleet(c.Readers)
	if err != nil {
		return err
	}
	crowd := newCrowd(ctx, f, server.addr(), people)
	defer crowd.close()
	if _, err := crowd.arrive(); err != nil {
		return err
	}
	if err := crowd.settle(); err != nil {
		return err
	}
	if err := do(); err != nil {
		return crowd.cause(err)
	}
	return crowd.leave()
}
