//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// sendCommand measures how fast the server answers that messages are durable.
// Every publisher has a group of its own with nobody else in it, so that
// nothing is fanned out; over WebSocket the publisher is sent its own message.
type sendCommand struct {
	serverFlags
	loadFlags
	Publishers []int         `default:"1,256" help:"How many publish at once, one phase each; 1 is one message at a time. Default ${default}."`
	Over       []string      `default:"rest,ws" enum:"rest,ws" help:"How they send: ${default}."`
	Gap        time.Duration `default:"1ms" help:"One message at a time begins no sooner after the last one: a session may send 2,000 frames a second. Default ${default}."`
	Shared     bool          `help:"All publish into one group. They are its members, so over WebSocket everything is fanned out."`
}

// Validate is called by the command line.
func (c *sendCommand) Validate() error {
	for _, n := range c.Publishers {
		if n < 1 || n > 10_000 {
			return errors.New("--publishers must be from 1 to 10000")
		}
	}
	if c.Gap < 0 || c.Gap > time.Minute {
		return errors.New("--gap must be at most a minute")
	}
	return c.loadFlags.validate()
}

// sendCase is one way to send.
type sendCase struct {
	over       transport
	publishers int
}

func (c sendCase) name() string {
	if c.publishers == 1 {
		return fmt.Sprintf("%s, one at a time", c.over)
	}
	return fmt.Sprintf("%s, %d publishers", c.over, c.publishers)
}

func (c *sendCommand) cases() []sendCase {
	var cases []sendCase
	for _, n := range c.Publishers {
		for _, over := range c.Over {
			cases = append(cases, sendCase{transport(over), n})
		}
	}
	return cases
}

// Run measures, prints and saves.
func (c *sendCommand) Run(ctx context.Context, out *output) error {
	where := "a group each"
	if c.Shared {
		where = "one group"
	}
	r, err := newReport(fmt.Sprintf("send: durable answers, %d bytes, %s; %s a case; medians of %d", c.Size, where, c.Duration, c.Rounds), c.DataParent, out.args)
	if err != nil {
		return err
	}
	bar := newProgress(out.stderr, time.Duration(c.Rounds*len(c.cases()))*(c.Warmup+c.Duration))
	defer bar.finish()
	for round := 1; round <= c.Rounds; round++ {
		if err := c.measure(ctx, r, bar, round); err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
	}
	bar.finish()
	r.summarize()
	return errors.Join(r.print(out.stdout, sendColumns), r.save(c.Out))
}

var sendColumns = []column{
	{"messages/s", func(p phase) string { return thousands(p.Rate) }},
	{"answer p50", func(p phase) string { return milliseconds(p.Answer.P50) }},
	{"p90", func(p phase) string { return milliseconds(p.Answer.P90) }},
	{"p99", func(p phase) string { return milliseconds(p.Answer.P99) }},
	{"p99.9", func(p phase) string { return milliseconds(p.Answer.P999) }},
	{"max", func(p phase) string { return milliseconds(p.Answer.Max) }},
	{"server µs", func(p phase) string { return microseconds(p.Cost.Server) }},
	{"generator µs", func(p phase) string { return microseconds(p.Cost.Generator) }},
	{"others", func(p phase) string { return percent(p.Cost.Others) }},
}

// measure runs every case against one server.
func (c *sendCommand) measure(ctx context.Context, r *report, bar *progress, round int) (err error) {
	server, err := startInstantd(c.serverFlags)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.close()) }()
	cases := c.cases()
	for i, this := range cases {
		profile := ""
		if round == 1 && i == len(cases)-1 {
			profile = c.CPUProfile
		}
		for try := 1; ; try++ {
			measured, err := c.run(ctx, server, bar, this, profile)
			if err != nil {
				return fmt.Errorf("%s: %w", this.name(), err)
			}
			if c.again(try, measured) {
				continue
			}
			measured.Round = round
			r.Rounds = append(r.Rounds, measured)
			break
		}
	}
	return nil
}

// run runs one case, and checks that every answered message is in the
// conversations.
func (c *sendCommand) run(ctx context.Context, server *instantd, bar *progress, this sendCase, profile string) (phase, error) {
	groups, err := c.groups(ctx, server, this.publishers)
	if err != nil {
		return phase{}, err
	}
	before, err := heads(ctx, server, groups)
	if err != nil {
		return phase{}, err
	}
	f, err := newFleet(c.Readers)
	if err != nil {
		return phase{}, err
	}
	p, err := newPress(ctx, f, server.addr(), this.over, groups, c.Size)
	if err != nil {
		return phase{}, err
	}
	if this.publishers == 1 {
		p.gap = c.Gap
	}
	measured, err := c.press(ctx, p, server, bar, this, profile)
	p.close()
	if err != nil {
		return phase{}, err
	}
	after, err := heads(ctx, server, groups)
	if err == nil && after-before != int(p.sent.Load()) {
		err = fmt.Errorf("%d messages were answered, and the conversations have %d more", p.sent.Load(), after-before)
	}
	return measured, err
}

func (c *sendCommand) press(ctx context.Context, p *press, server *instantd, bar *progress, this sendCase, profile string) (phase, error) {
	if c.Warmup > 0 {
		err := bar.during(this.name()+", warms up", c.Warmup, func() error {
			_, _, err := p.run(c.Warmup)
			return err
		})
		if err != nil {
			return phase{}, err
		}
	}
	before, err := use(server.pid())
	if err != nil {
		return phase{}, err
	}
	var total page
	var begin int64
	profiled := make(chan error, 1)
	go func() { // ends with the case
		if profile == "" {
			profiled <- nil
			return
		}
		profiled <- server.profile(ctx, profile, c.Duration)
	}()
	err = bar.during(this.name(), c.Duration, func() (err error) {
		total, begin, err = p.run(c.Duration)
		return err
	})
	if err = errors.Join(err, <-profiled); err != nil {
		return phase{}, err
	}
	after, err := use(server.pid())
	if err != nil {
		return phase{}, err
	}
	answers := total.answer.latency()
	seconds := float64(total.end-begin) / 1e9
	return phase{
		Peer: server.name(), Name: this.name(), Sent: float64(answers.Count), Work: float64(answers.Count),
		Seconds: seconds, Rate: float64(answers.Count) / seconds,
		Answer: answers, Cost: after.since(before, answers.Count),
	}, nil
}

// groups makes the conversations: one for each publisher, or the same for all.
func (c *sendCommand) groups(ctx context.Context, server *instantd, n int) ([]group, error) {
	if !c.Shared {
		return server.rooms(ctx, n)
	}
	shared, err := server.group(ctx, n)
	if err != nil {
		return nil, err
	}
	groups := make([]group, n)
	for i := range groups {
		groups[i] = group{conversation: shared.conversation, tokens: shared.tokens[i : i+1]}
	}
	return groups, nil
}

// heads adds up the heads of the conversations, each once.
func heads(ctx context.Context, server *instantd, groups []group) (int, error) {
	seen, sum := map[string]bool{}, 0
	for _, g := range groups {
		if seen[g.conversation] {
			continue
		}
		seen[g.conversation] = true
		head, err := server.head(ctx, g.conversation)
		if err != nil {
			return 0, fmt.Errorf("count messages: %w", err)
		}
		sum += head
	}
	return sum, nil
}
