//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
)

// fanoutCommand measures one group: a sender and many members who are all
// online. First the messages come at a fixed rate, however long each takes;
// then a number of them is always on its way.
type fanoutCommand struct {
	serverFlags
	peerFlags
	loadFlags
	Members   int      `default:"1000" help:"Members of the group, the sender among them. Default ${default}."`
	Rate      float64  `default:"50" help:"Messages a second of the open loop; 0 leaves it out. Default ${default}."`
	InFlight  int      `default:"16" help:"Messages that are always on their way when saturated; 0 leaves it out. Default ${default}."`
	Senders   int      `default:"1" help:"Members that send in turn over WebSocket: a session may send 2,000 frames a second. Default ${default}."`
	Sender    string   `default:"ws" enum:"ws,rest" help:"How the sender sends to instantd: ws or rest; with --transport amqp always rest."`
	Transport string   `default:"ws" enum:"ws,amqp" help:"How members read: ws is a session each, amqp a queue each, which instantd declares for them."`
	AMQPURL   string   `name:"amqp-url" placeholder:"URL" help:"A private RabbitMQ on this machine, for --transport amqp. What a run declares there is deleted at its end."`
	Peers     []string `enum:"instantd,raw,raw-c,centrifuge,nats,jetstream,rabbitmq" help:"What is measured, in turn: some of ${enum}. Default instantd,raw,raw-c; with --transport amqp instantd,rabbitmq, and nothing else."`
}

// Names of the phases.
const (
	phaseOpen      = "open loop"
	phaseSaturated = "saturated"
)

// transportAMQP is what --transport calls queues.
const transportAMQP = "amqp"

// Validate is called by the command line.
func (c *fanoutCommand) Validate() error {
	overAMQP := c.Transport == transportAMQP
	if len(c.Peers) == 0 {
		c.Peers = []string{"instantd", "raw", "raw-c"}
		if overAMQP {
			c.Peers = []string{"instantd", "rabbitmq"}
		}
	}
	switch {
	case overAMQP != (c.AMQPURL != ""):
		return errors.New("--transport amqp and --amqp-url need each other")
	case c.Members < 2:
		return errors.New("--members must be at least 2")
	case c.Senders < 1 || c.Senders > c.Members:
		return errors.New("--senders must be from 1 to --members")
	case c.Rate < 0 || c.Rate > 100_000:
		return errors.New("--rate must be from 0 to 100000")
	case c.InFlight < 0 || c.InFlight > 10_000:
		return errors.New("--in-flight must be from 0 to 10000")
	case c.Rate == 0 && c.InFlight == 0:
		return errors.New("--rate and --in-flight leave nothing to do")
	}
	for _, name := range c.Peers {
		if reads := name == "instantd" || (name == "rabbitmq") == overAMQP; !reads {
			return fmt.Errorf("--peers: %s is not read over %s", name, c.Transport)
		}
		if c.Senders > 1 && !peerKinds[name].places {
			return fmt.Errorf("--senders above 1 needs peers that number messages, and %s does not", name)
		}
	}
	return c.loadFlags.validate()
}

// Run measures, prints and saves.
func (c *fanoutCommand) Run(ctx context.Context, out *output) error {
	title := fmt.Sprintf("fanout: %d members, %d bytes over %s; open loop %g/s for %s, then %d in flight for %s; medians of %d",
		c.Members, c.Size, c.way(), c.Rate, c.Duration, c.InFlight, c.Duration, c.Rounds)
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

// fanoutRatios are what instantd is compared by with every other peer.
var fanoutRatios = []struct {
	name, phase string
	of          func(phase) float64
}{
	{"one message, last reader p50", phaseOpen, func(p phase) float64 { return p.Last.P50 }},
	{"one message, last reader p99", phaseOpen, func(p phase) float64 { return p.Last.P99 }},
	{"one message, server CPU per delivery", phaseOpen, func(p phase) float64 { return p.Cost.Server }},
	{"saturated, deliveries/s", phaseSaturated, func(p phase) float64 { return p.Rate }},
	{"saturated, server CPU per delivery", phaseSaturated, func(p phase) float64 { return p.Cost.Server }},
}

// compareWith adds the ratios of instantd to every other one of these peers.
func (r *report) compareWith(peers []string) {
	for _, ratio := range fanoutRatios {
		for _, name := range peers {
			if to := peerKinds[name].name; to != "instantd" {
				r.compare(ratio.name+": instantd / "+to, ratio.phase, "instantd", to, ratio.of)
			}
		}
	}
}

var fanoutColumns = []column{
	{"deliveries/s", func(p phase) string { return thousands(p.Rate) }},
	{"last p50", func(p phase) string { return milliseconds(p.Last.P50) }},
	{"p99", func(p phase) string { return milliseconds(p.Last.P99) }},
	{"max", func(p phase) string { return milliseconds(p.Last.Max) }},
	{"each p50", func(p phase) string { return milliseconds(p.Each.P50) }},
	{"p99", func(p phase) string { return milliseconds(p.Each.P99) }},
	{"answer p50", func(p phase) string { return milliseconds(p.Answer.P50) }},
	{"p99", func(p phase) string { return milliseconds(p.Answer.P99) }},
	{"server µs", func(p phase) string { return microseconds(p.Cost.Server) }},
	{"generator µs", func(p phase) string { return microseconds(p.Cost.Generator) }},
	{"lag p99", func(p phase) string { return milliseconds(p.Lag.P99) }},
	{"others", func(p phase) string { return percent(p.Cost.Others) }},
	{"promises", func(p phase) string { return promisesOf(p.Peer) }},
}

// phases are the names of the phases that are to run.
func (c *fanoutCommand) phases() []string {
	var names []string
	if c.Rate > 0 {
		names = append(names, phaseOpen)
	}
	if c.InFlight > 0 {
		names = append(names, phaseSaturated)
	}
	return names
}

// round measures a peer once and adds that to the report.
func (c *fanoutCommand) round(ctx context.Context, r *report, bar *progress, round int, name string) error {
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

// measure runs all phases against one peer. What its members counted is right
// when there is no error.
func (c *fanoutCommand) measure(ctx context.Context, bar *progress, round int, name string) (_ []phase, _ check, err error) {
	p, err := c.start(name)
	if err != nil {
		return nil, check{}, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	load, err := c.prepare(ctx, p)
	if err != nil {
		return nil, check{}, err
	}
	defer load.audience.close()

	if c.Warmup > 0 {
		err := bar.during(p.name()+" warms up", c.Warmup, func() error {
			_, err := load.run(phaseSaturated, max(1, c.InFlight), 0, c.Warmup)
			return err
		})
		if err != nil {
			return nil, check{}, err
		}
	}
	var phases []phase
	for _, phaseName := range c.phases() {
		measured, err := c.phase(ctx, load, bar, round, phaseName)
		if err != nil {
			return nil, check{}, err
		}
		phases = append(phases, measured)
	}
	load.audience.close()
	counted := load.audience.check(load.sent)
	counted.Round, counted.Peer = round, p.name()
	return phases, counted, counted.err()
}

// phase runs one phase, and takes a profile of instantd in the last one.
func (c *fanoutCommand) phase(ctx context.Context, load *load, bar *progress, round int, name string) (phase, error) {
	inFlight, rate := 0, c.Rate
	if name == phaseSaturated {
		inFlight, rate = c.InFlight, 0
	}
	var profile errgroup.Group // ends after the duration of the phase
	names := c.phases()
	if server, ok := load.peer.(*instantd); ok && c.CPUProfile != "" && round == 1 && name == names[len(names)-1] {
		profile.Go(func() error { return server.profile(ctx, c.CPUProfile, c.Duration) })
	}
	var measured phase
	what := fmt.Sprintf("%s, %s, round %d of %d", load.peer.name(), name, round, c.Rounds)
	err := bar.during(what, c.Duration, func() (err error) {
		measured, err = load.run(name, inFlight, rate, c.Duration)
		return err
	})
	measured.Round = round
	return measured, errors.Join(err, profile.Wait())
}

// start starts a peer.
func (c *fanoutCommand) start(name string) (peer, error) {
	switch {
	case name == "rabbitmq":
		return startRabbit(c.AMQPURL)
	case c.Transport == transportAMQP:
		return startBrokered(c.serverFlags, c.AMQPURL)
	}
	return startPeer(name, c.serverFlags, c.peerFlags)
}

// way is how messages go, for people.
func (c *fanoutCommand) way() string {
	if c.Transport == transportAMQP {
		return "AMQP"
	}
	return c.Sender
}

// prepareQueues lets a group of a peer read queues.
func (c *fanoutCommand) prepareQueues(ctx context.Context, p peer) (*load, error) {
	l := &load{peer: p, size: c.Size}
	var err error
	switch p := p.(type) {
	case *instantd:
		if l.audience, err = p.consume(ctx, c.Readers, c.AMQPURL, c.Members); err == nil {
			l.sender, err = newRestSender(l.audience, p.addr(), max(c.InFlight, 16))
		}
	case *rabbit:
		if l.audience, err = p.consume(ctx, c.Readers, c.Members); err == nil {
			l.sender, err = newRabbitSender(l.audience, p)
		}
	default:
		err = fmt.Errorf("%s has no queues", p.name())
	}
	if err != nil && l.audience != nil {
		l.audience.close()
	}
	return l, err
}

// prepare brings a group of a peer online.
func (c *fanoutCommand) prepare(ctx context.Context, p peer) (*load, error) {
	if c.Transport == transportAMQP {
		return c.prepareQueues(ctx, p)
	}
	g, err := p.group(ctx, c.Members)
	if err != nil {
		return nil, err
	}
	f, err := newFleet(c.Readers)
	if err != nil {
		return nil, err
	}
	a, err := gather(ctx, f, p.addr(), g, c.Senders)
	if err != nil {
		return nil, err
	}
	l := &load{peer: p, audience: a, size: c.Size, sender: &sessionSender{members: a.members[:c.Senders]}}
	if _, isInstantd := p.(*instantd); isInstantd && c.Sender == "rest" {
		if l.sender, err = newRestSender(a, p.addr(), max(c.InFlight, 16)); err != nil {
			a.close()
			return nil, err
		}
	}
	return l, nil
}
