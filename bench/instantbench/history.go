//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/errgroup"
)

// historyCommand measures pages of history: whether they cost the same in a
// short conversation and in a long one, at its beginning, in its middle and at
// its end.
type historyCommand struct {
	serverFlags
	loadFlags
	Messages int   `default:"1000000" help:"Messages of the long conversation; they are sent first, which takes about half a minute for a million. Default ${default}."`
	Page     int   `default:"10" help:"Messages of a page. Default ${default}."`
	At       []int `default:"1,16" help:"How many pages are asked for at once, one phase each. Default ${default}."`
}

// fillers is how many messages are on their way while a conversation is filled.
const fillers = 256

// Validate is called by the command line.
func (c *historyCommand) Validate() error {
	switch {
	case c.Page < 1 || c.Page > 200:
		return errors.New("--page must be from 1 to 200: servers give no more")
	case c.Messages < 4*c.Page || c.Messages > 100_000_000:
		return errors.New("--messages must be from four pages to 100000000")
	case len(c.At) == 0:
		return errors.New("--at leaves nothing to do")
	}
	for _, n := range c.At {
		if n < 1 || n > 1_000 {
			return errors.New("--at must be from 1 to 1000")
		}
	}
	return c.loadFlags.validate()
}

// place is where a page is read. The newest message of the page is the nth.
type place struct {
	name    string
	log     group
	before  func() uint64 // the id that the page is to come before; 0 for the newest
	message int           // n; 0 when it is another one each time
}

func (c *historyCommand) shortName() string     { return fmt.Sprintf("a conversation of %d", c.Page) }
func (c *historyCommand) nameOf(n int) string   { return fmt.Sprintf("at message %d", n) }
func (c *historyCommand) phaseOf(at int) string { return fmt.Sprintf("%d at a time", at) }

// Run measures, prints and saves.
func (c *historyCommand) Run(ctx context.Context, out *output) error {
	title := fmt.Sprintf("history: pages of %d messages of %d bytes, the newest one as named, in a conversation of %d; %s a case; medians of %d",
		c.Page, c.Size, c.Messages, c.Duration, c.Rounds)
	r, err := newReport(title, c.DataParent, out.args)
	if err != nil {
		return err
	}
	if err := c.measure(ctx, r, out); err != nil {
		return err
	}
	r.summarize()
	for _, at := range c.At {
		r.compare(fmt.Sprintf("%s, p50: at message %d / at message %d", c.phaseOf(at), c.Messages, c.Page),
			c.phaseOf(at), c.nameOf(c.Messages), c.nameOf(c.Page), func(p phase) float64 { return p.Answer.P50 })
		r.compare(fmt.Sprintf("%s, p50: at message %d / a conversation of %d", c.phaseOf(at), c.Messages, c.Page),
			c.phaseOf(at), c.nameOf(c.Messages), c.shortName(), func(p phase) float64 { return p.Answer.P50 })
	}
	return errors.Join(r.print(out.stdout, historyColumns), r.save(c.Out))
}

var historyColumns = []column{
	{"pages/s", func(p phase) string { return thousands(p.Rate) }},
	{"page p50", func(p phase) string { return milliseconds(p.Answer.P50) }},
	{"p90", func(p phase) string { return milliseconds(p.Answer.P90) }},
	{"p99", func(p phase) string { return milliseconds(p.Answer.P99) }},
	{"max", func(p phase) string { return milliseconds(p.Answer.Max) }},
	{"server µs", func(p phase) string { return microseconds(p.Cost.Server) }},
	{"generator µs", func(p phase) string { return microseconds(p.Cost.Generator) }},
	{"others", func(p phase) string { return percent(p.Cost.Others) }},
}

// measure fills one server and reads all places in turn, as often as there are
// rounds.
func (c *historyCommand) measure(ctx context.Context, r *report, out *output) (err error) {
	const places = 5
	fillTime := time.Duration(c.Messages) * 40 * time.Microsecond
	bar := newProgress(out.stderr, fillTime+time.Duration(c.Rounds*places*len(c.At))*c.Duration)
	defer bar.finish()
	server, err := startInstantd(c.serverFlags)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.close()) }()
	var all []place
	err = bar.during("sends", fillTime, func() (err error) {
		all, err = c.prepare(ctx, server)
		return err
	})
	if err != nil {
		return err
	}
	for round := 1; round <= c.Rounds; round++ {
		for i, at := range c.At {
			for j, p := range all {
				profile := ""
				if round == 1 && i == len(c.At)-1 && j == len(all)-1 {
					profile = c.CPUProfile
				}
				what := fmt.Sprintf("%s, %s, round %d of %d", p.name, c.phaseOf(at), round, c.Rounds)
				err := bar.during(what, c.Duration, func() error { return c.phase(ctx, server, r, round, p, at, profile) })
				if err != nil {
					return fmt.Errorf("%s: %w", what, err)
				}
			}
		}
	}
	return nil
}

// prepare fills a short and a long conversation and finds places in them.
func (c *historyCommand) prepare(ctx context.Context, server *instantd) ([]place, error) {
	rooms, err := server.rooms(ctx, 2)
	if err != nil {
		return nil, err
	}
	short, long := rooms[0], rooms[1]
	if err := c.fill(ctx, server, short, c.Page); err != nil {
		return nil, fmt.Errorf("fill the short conversation: %w", err)
	}
	if err := c.fill(ctx, server, long, c.Messages); err != nil {
		return nil, fmt.Errorf("fill the long conversation: %w", err)
	}
	fixed := func(id uint64) func() uint64 { return func() uint64 { return id } }
	all := []place{{c.shortName(), short, fixed(0), c.Page}}
	newest, err := c.newest(ctx, server, long)
	if err != nil {
		return nil, err
	}
	first, err := c.idBehind(ctx, server, long, newest, c.Page)
	if err != nil {
		return nil, err
	}
	middle, err := c.idBehind(ctx, server, long, newest, c.Messages/2)
	if err != nil {
		return nil, err
	}
	lots := rand.New(rand.NewPCG(1, 1))
	return append(all,
		place{c.nameOf(c.Page), long, fixed(first), c.Page},
		place{c.nameOf(c.Messages / 2), long, fixed(middle), c.Messages / 2},
		place{c.nameOf(c.Messages), long, fixed(0), c.Messages},
		place{"anywhere", long, func() uint64 { return first + lots.Uint64N(newest-first) }, 0},
	), nil
}

// phase asks for pages at one place for a while, and checks each.
func (c *historyCommand) phase(ctx context.Context, server *instantd, r *report, round int, p place, at int, profile string) error {
	for try := 1; ; try++ {
		var profiling errgroup.Group // ends after the duration of the phase
		if profile != "" {
			profiling.Go(func() error { return server.profile(ctx, profile, c.Duration) })
		}
		measured, err := c.read(ctx, server, p, at)
		if err = errors.Join(err, profiling.Wait()); err != nil {
			return err
		}
		if c.again(try, measured) {
			continue
		}
		measured.Round, measured.Peer, measured.Name = round, p.name, c.phaseOf(at)
		r.Rounds = append(r.Rounds, measured)
		return nil
	}
}

func (c *historyCommand) read(ctx context.Context, server *instantd, p place, at int) (phase, error) {
	f, err := newFleet(c.Readers)
	if err != nil {
		return phase{}, err
	}
	defer f.close()
	d, err := newDesk(ctx, f, server.addr(), at)
	if err != nil {
		return phase{}, err
	}
	defer d.close()
	pages := newReadings(len(f.readers))
	before, err := use(server.pid())
	if err != nil {
		return phase{}, err
	}
	begin := now()
	for now() < begin+int64(c.Duration) {
		request := getPage(d.host, p.log.tokens[0], p.log.conversation, c.Page, p.before())
		err := d.ask(request, func(in input, begun int64, a answer) error {
			pages[in.reader].note(in.at, begun)
			return c.checkPage(p, a)
		})
		if err != nil {
			return phase{}, err
		}
	}
	if err := d.drain(); err != nil {
		return phase{}, err
	}
	after, err := use(server.pid())
	if err != nil {
		return phase{}, err
	}
	measured := sumReadings(pages).phase(begin)
	measured.Cost = after.since(before, int64(measured.Work))
	return measured, nil
}

// checkPage checks that a page has the messages that it should have.
func (c *historyCommand) checkPage(p place, a answer) error {
	e, err := readPage(a.body)
	if err != nil {
		return err
	}
	if e.messages != c.Page {
		return fmt.Errorf("a page has %d messages, want %d", e.messages, c.Page)
	}
	if p.message > 0 && e.newest != seqOf(p.message) {
		return fmt.Errorf("a page begins at seq %d, want %d", e.newest, seqOf(p.message))
	}
	return nil
}

// seqOf is the seq of the nth message of a conversation that was only created
// before.
func seqOf(n int) uint64 { return uint64(n + 1) }
