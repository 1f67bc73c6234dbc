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

// chatCommand measures many small groups: everybody is online and in many of
// them, some groups are far busier than others, and besides sending, pages of
// history are read.
type chatCommand struct {
	serverFlags
	peerFlags
	loadFlags
	Groups   int      `default:"10000" help:"Groups. Default ${default}."`
	Members  int      `default:"20" help:"Members of each. Default ${default}."`
	Users    int      `default:"2000" help:"Users, all online; groups draw their members from them. Default ${default}."`
	Zipf     float64  `default:"1.1" help:"Exponent of the groups' popularity, above 1: the greater, the more goes to the first groups. Default ${default}."`
	Reads    float64  `default:"0.2" help:"Part of what is done that reads the newest page of a group's history. Default ${default}."`
	Rate     float64  `default:"1000" help:"Messages and reads a second of the open loop; 0 leaves it out. Default ${default}."`
	Peers    []string `default:"instantd" enum:"instantd,centrifuge" help:"What is measured, in turn: some of ${enum}. Centrifuge keeps no history, so nobody reads from it. Default ${default}."`
	InFlight int      `default:"256" help:"Messages and reads that are always on their way when saturated; 0 leaves it out. Default ${default}."`
}

// chatPage is how many messages a client asks for when it opens a group.
const chatPage = 20

// Validate is called by the command line.
func (c *chatCommand) Validate() error {
	switch {
	case c.Members < 2 || c.Members > c.Users:
		return errors.New("--members must be from 2 to --users")
	case c.Users > 20_000:
		return errors.New("--users must be at most 20000")
	case c.Groups < 1 || c.Groups > 1_000_000:
		return errors.New("--groups must be from 1 to 1000000")
	case c.Zipf <= 1 || c.Zipf > 10:
		return errors.New("--zipf must be above 1 and at most 10")
	case c.Reads < 0 || c.Reads > 0.99:
		return errors.New("--reads must be from 0 to 0.99")
	case c.Rate < 0 || c.Rate > 100_000:
		return errors.New("--rate must be from 0 to 100000")
	case c.InFlight < 0 || c.InFlight > 10_000:
		return errors.New("--in-flight must be from 0 to 10000")
	case c.Rate == 0 && c.InFlight == 0:
		return errors.New("--rate and --in-flight leave nothing to do")
	}
	return c.loadFlags.validate()
}

// Run measures, prints and saves.
func (c *chatCommand) Run(ctx context.Context, out *output) error {
	title := fmt.Sprintf("chat: %d groups of %d, %d users online, %d bytes, %g%% reads; open loop %g/s for %s, then %d in flight for %s; medians of %d",
		c.Groups, c.Members, c.Users, c.Size, 100*c.Reads, c.Rate, c.Duration, c.InFlight, c.Duration, c.Rounds)
	r, err := newReport(title, c.DataParent, out.args)
	if err != nil {
		return err
	}
	bar := newProgress(out.stderr, time.Duration(c.Rounds*len(c.Peers))*(c.Warmup+c.Duration*time.Duration(len(c.phases()))))
	defer bar.finish()
	for round := 1; round <= c.Rounds; round++ {
		for _, name := range c.Peers {
			if err := c.round(ctx, r, bar, round, name); err != nil {
				return fmt.Errorf("%s, round %d: %w", name, round, err)
			}
		}
	}
	bar.finish()
	r.summarize()
	r.compareWith(c.Peers)
	return errors.Join(r.print(out.stdout, fanoutColumns), r.save(c.Out))
}

func (c *chatCommand) phases() []string {
	var names []string
	if c.Rate > 0 {
		names = append(names, phaseOpen)
	}
	if c.InFlight > 0 {
		names = append(names, phaseSaturated)
	}
	return names
}

// round measures once and adds that to the report.
func (c *chatCommand) round(ctx context.Context, r *report, bar *progress, round int, name string) error {
	for try := 1; ; try++ {
		phases, counted, err := c.measure(ctx, bar, round, name)
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

// measure runs all phases against a server of their own. What its members
// counted is right when there is no error.
func (c *chatCommand) measure(ctx context.Context, bar *progress, round int, name string) (_ []phase, _ check, err error) {
	p, err := startPeer(name, c.serverFlags, c.peerFlags)
	if err != nil {
		return nil, check{}, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	server, ok := p.(town)
	if !ok {
		return nil, check{}, fmt.Errorf("%s has no groups", p.name())
	}
	t, err := c.gather(ctx, server)
	if err != nil {
		return nil, check{}, err
	}
	defer t.close()
	if c.Warmup > 0 {
		err := bar.during(p.name()+" warms up", c.Warmup, func() error {
			_, err := t.run(phaseSaturated, max(1, c.InFlight), 0, c.Warmup)
			return err
		})
		if err != nil {
			return nil, check{}, err
		}
	}
	var phases []phase
	names := c.phases()
	for i, name := range names {
		inFlight, rate := 0, c.Rate
		if name == phaseSaturated {
			inFlight, rate = c.InFlight, 0
		}
		var profile errgroup.Group // ends after the duration of the phase
		if instantd, ok := p.(*instantd); ok && c.CPUProfile != "" && round == 1 && i == len(names)-1 {
			profile.Go(func() error { return instantd.profile(ctx, c.CPUProfile, c.Duration) })
		}
		var measured []phase
		err := bar.during(fmt.Sprintf("%s, %s, round %d of %d", p.name(), name, round, c.Rounds), c.Duration, func() (err error) {
			measured, err = t.run(name, inFlight, rate, c.Duration)
			return err
		})
		if err = errors.Join(err, profile.Wait()); err != nil {
			return nil, check{}, err
		}
		for _, p := range measured {
			p.Round = round
			phases = append(phases, p)
		}
	}
	t.close()
	counted := t.crowd.community.check(c.Members)
	counted.Round, counted.Peer = round, server.name()
	return phases, counted, counted.err()
}

// gather brings everybody online.
func (c *chatCommand) gather(ctx context.Context, server town) (_ *talk, err error) {
	people, err := server.community(ctx, c.Users, mixed(c.Users, c.Groups, c.Members))
	if err != nil {
		return nil, err
	}
	f, err := newFleet(c.Readers)
	if err != nil {
		return nil, err
	}
	t := &talk{server: server, crowd: newCrowd(ctx, f, server.addr(), people), size: c.Size, members: c.Members, reads: c.Reads}
	defer func() {
		if err != nil {
			t.close()
		}
	}()
	t.lots = rand.New(rand.NewPCG(1, 1))
	t.popular = rand.NewZipf(t.lots, c.Zipf, 1, uint64(c.Groups-1))
	if _, err := t.crowd.arrive(); err != nil {
		return nil, err
	}
	if err := t.crowd.settle(); err != nil {
		return nil, err
	}
	if !people.speaks.keeps() {
		return t, nil
	}
	t.desk, err = newDesk(t.crowd.healthy, f, server.addr(), max(c.InFlight, 16))
	return t, err
}
