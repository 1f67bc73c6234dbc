//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
)

// connectCommand measures storms: everybody connects at once, first to a server
// that is new to them, then after everybody has been away and missed something.
type connectCommand struct {
	serverFlags
	loadFlags
	Sessions int `default:"5000" help:"Sessions, a user each. Default ${default}."`
	Members  int `default:"20" help:"Members of a group; everybody is in one. Default ${default}."`
	Missed   int `default:"20" help:"Messages that are sent to each group while everybody is away. Default ${default}."`
	Storms   int `default:"3" help:"How often everybody returns in a round. Default ${default}."`
}

// Names of the phases.
const (
	phaseConnect = "connect"
	phaseReturn  = "return"
)

// Validate is called by the command line.
func (c *connectCommand) Validate() error {
	switch {
	case c.Sessions < 1 || c.Sessions > 20_000:
		return errors.New("--sessions must be from 1 to 20000")
	case c.Members < 1 || c.Members > c.Sessions:
		return errors.New("--members must be from 1 to --sessions")
	case c.Missed < 0 || c.Missed > 900:
		return errors.New("--missed must be from 0 to 900: servers leave out what is more than 1,000")
	case c.Storms < 0 || c.Storms > 100:
		return errors.New("--storms must be from 0 to 100")
	}
	return c.loadFlags.validate()
}

// Run measures, prints and saves.
func (c *connectCommand) Run(ctx context.Context, out *output) error {
	title := fmt.Sprintf("connect: %d sessions at once, in groups of %d; %d messages missed by each at a return; medians of %d",
		c.Sessions, c.Members, c.Missed, c.Rounds)
	r, err := newReport(title, c.DataParent, out.args)
	if err != nil {
		return err
	}
	bar := newProgress(out.stderr, time.Duration(c.Rounds*(1+c.Storms))*stormTime)
	defer bar.finish()
	for round := 1; round <= c.Rounds; round++ {
		if err := c.round(ctx, r, bar, round); err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
	}
	bar.finish()
	r.summarize()
	return errors.Join(r.print(out.stdout, connectColumns), r.save(c.Out))
}

// stormTime is about how long a storm takes, for the progress.
const stormTime = 5 * time.Second

var connectColumns = []column{
	{"sessions/s", func(p phase) string { return thousands(p.Rate) }},
	{"all after s", func(p phase) string { return fmt.Sprintf("%.3f", p.Seconds) }},
	{"ready p50", func(p phase) string { return milliseconds(p.Each.P50) }},
	{"p99", func(p phase) string { return milliseconds(p.Each.P99) }},
	{"max", func(p phase) string { return milliseconds(p.Each.Max) }},
	{"accepted p50", func(p phase) string { return milliseconds(p.Answer.P50) }},
	{"p99", func(p phase) string { return milliseconds(p.Answer.P99) }},
	{"server µs", func(p phase) string { return microseconds(p.Cost.Server) }},
	{"generator µs", func(p phase) string { return microseconds(p.Cost.Generator) }},
	{"others", func(p phase) string { return percent(p.Cost.Others) }},
}

// round measures once and adds that to the report.
func (c *connectCommand) round(ctx context.Context, r *report, bar *progress, round int) error {
	for try := 1; ; try++ {
		phases, counted, err := c.measure(ctx, bar, round)
		if err != nil {
			return err
		}
		r.Checks = append(r.Checks, counted)
		if c.again(try, phases...) {
			continue
		}
		r.Rounds = append(r.Rounds, phases...)
		return nil
	}
}

// measure runs all storms against a server of their own.
func (c *connectCommand) measure(ctx context.Context, bar *progress, round int) (_ []phase, _ check, err error) {
	server, err := startInstantd(c.serverFlags)
	if err != nil {
		return nil, check{}, err
	}
	defer func() { err = errors.Join(err, server.close()) }()
	people, err := server.community(ctx, c.Sessions, neighbours(c.Sessions, c.Members))
	if err != nil {
		return nil, check{}, err
	}
	var phases []phase
	for storm := range c.Storms + 1 {
		name := phaseConnect
		if storm > 0 {
			name = phaseReturn
			if err := c.miss(ctx, server, people); err != nil {
				return nil, check{}, fmt.Errorf("send what is missed: %w", err)
			}
		}
		var profile errgroup.Group // ends after stormTime
		if c.CPUProfile != "" && round == 1 && storm == c.Storms {
			profile.Go(func() error { return server.profile(ctx, c.CPUProfile, stormTime) })
		}
		var measured phase
		err := bar.during(fmt.Sprintf("%s, round %d of %d", name, round, c.Rounds), stormTime, func() (err error) {
			measured, err = c.storm(ctx, server, people)
			return err
		})
		if err = errors.Join(err, profile.Wait()); err != nil {
			return nil, check{}, fmt.Errorf("%s: %w", name, err)
		}
		measured.Round, measured.Name = round, name
		phases = append(phases, measured)
	}
	counted := people.check(c.Members)
	counted.Round, counted.Peer = round, server.name()
	return c.medians(phases), counted, counted.err()
}

// medians makes one phase of all returns.
func (c *connectCommand) medians(phases []phase) []phase {
	if len(phases) < 2 {
		return phases
	}
	returned := medianPhase(phases[1:])
	returned.Round = phases[0].Round
	return []phase{phases[0], returned}
}

// storm lets everybody come, and go.
func (c *connectCommand) storm(ctx context.Context, server *instantd, people *community) (phase, error) {
	f, err := newFleet(c.Readers)
	if err != nil {
		return phase{}, err
	}
	crowd := newCrowd(ctx, f, server.addr(), people)
	defer crowd.close()
	heard := people.heard()
	before, err := use(server.pid())
	if err != nil {
		return phase{}, err
	}
	begin := now()
	came, err := crowd.arrive()
	if err != nil {
		return phase{}, err
	}
	after, err := use(server.pid())
	if err != nil {
		return phase{}, err
	}
	if err := crowd.settle(); err != nil {
		return phase{}, err
	}
	if err := crowd.leave(); err != nil {
		return phase{}, err
	}
	seconds := float64(came.end-begin) / 1e9
	return phase{
		Peer: server.name(), Sent: float64(people.heard() - heard), Work: float64(c.Sessions),
		Seconds: seconds, Rate: float64(c.Sessions) / seconds,
		Each: came.ready.latency(), Answer: came.accepted.latency(), Cost: after.since(before, int64(c.Sessions)),
	}, nil
}

// miss sends to every group while nobody is there.
func (c *connectCommand) miss(ctx context.Context, server *instantd, people *community) error {
	f, err := newFleet(c.Readers)
	if err != nil {
		return err
	}
	defer f.close()
	d, err := newDesk(ctx, f, server.addr(), dialers)
	if err != nil {
		return err
	}
	defer d.close()
	for i := range c.Missed {
		for _, r := range people.rooms {
			token := people.residents[r.members[i%len(r.members)]].token
			r.sent++
			body := draft(r.conversation, text(r.sent, c.Size))
			if err := d.ask(postText(d.host, token, body), func(input, int64, answer) error { return nil }); err != nil {
				return err
			}
		}
	}
	return d.drain()
}
