//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// trial is a command line whose report goals are judged by.
type trial struct {
	name  string
	args  string // without what all trials share
	short string // instead of args when there is little time; "" is args
	amqp  bool   // it needs a broker
}

// Names of the trials.
const (
	trialFanout  = "fanout"
	trialCrowded = "fanout-5000"
	trialFew     = "fanout-four"
	trialSend    = "send"
	trialIdle    = "idle"
	trialReturn  = "connect"
	trialHistory = "history"
	trialChat    = "chat"
	trialAMQP    = "amqp"
)

var trials = []trial{
	{name: trialFanout, args: "fanout --members 1000 --rate 50 --in-flight 16 --peers instantd,raw,raw-c,centrifuge,nats,jetstream"},
	{name: trialCrowded, args: "fanout --members 5000 --rate 0 --in-flight 8 --peers instantd,raw-c,centrifuge"},
	{name: trialFew, args: "fanout --members 1000 --rate 0 --in-flight 4 --peers instantd,raw-c"},
	{name: trialSend, args: "send --publishers 1,256 --over rest"},
	{name: trialIdle, args: "idle --sessions 5000"},
	{name: trialReturn, args: "connect --sessions 5000 --missed 20", short: "connect --sessions 5000 --missed 20 --storms 1"},
	{name: trialHistory, args: "history --messages 10000000", short: "history --messages 100000 --at 1"},
	{name: trialAMQP, args: "fanout --transport amqp --members 1000 --rate 5 --in-flight 16", amqp: true},
	{name: trialChat, args: "chat --groups 10000 --members 20 --reads 0 --peers instantd,centrifuge"},
}

// goalsCommand runs what the goals need and prints how far they are reached.
type goalsCommand struct {
	peerFlags
	Server     string   `default:"bin/instantd" placeholder:"BINARY" help:"The server to start. Default ${default}."`
	Config     string   `default:"configs/dev.yaml" placeholder:"FILE" help:"Its configuration. Default ${default}."`
	DataParent string   `placeholder:"DIR" help:"Where data folders are made; beware of memory file systems."`
	AMQPURL    string   `name:"amqp-url" placeholder:"URL" help:"A private RabbitMQ on this machine; without one nothing is measured over AMQP."`
	Full       bool     `help:"Everything, three times and for longer: about an hour. Otherwise less than five minutes, and pages of history from a shorter conversation."`
	Only       []string `placeholder:"TRIAL" help:"Run these trials alone: ${trials}."`
	Quiet      float64  `placeholder:"PERCENT" help:"Measure again, some times, when others used more of the machine than this."`
	Results    string   `default:"bench/results" placeholder:"DIR" help:"Where a folder for the reports is made. Default ${default}."`
}

// trialNames are all of them, for help and errors.
func trialNames() []string {
	var names []string
	for _, t := range trials {
		names = append(names, t.name)
	}
	return names
}

// Validate is called by the command line.
func (c *goalsCommand) Validate() error {
	if c.Quiet < 0 {
		return errors.New("--quiet must not be negative")
	}
	for _, name := range c.Only {
		if !slices.Contains(trialNames(), name) {
			return fmt.Errorf("there is no trial %q: they are %s", name, strings.Join(trialNames(), ", "))
		}
		if name == trialAMQP && c.AMQPURL == "" {
			return fmt.Errorf("the trial %s needs --amqp-url", name)
		}
	}
	return nil
}

// Run measures, prints and saves.
func (c *goalsCommand) Run(ctx context.Context, out *output) error {
	var wanted []trial
	for _, t := range trials {
		if len(c.Only) == 0 && (c.AMQPURL != "" || !t.amqp) || slices.Contains(c.Only, t.name) {
			wanted = append(wanted, t)
		}
	}
	return c.try(ctx, out, wanted)
}

// outcome is what a run of the goals found, for machines.
type outcome struct {
	Date    time.Time `json:"date"`
	Commit  string    `json:"commit"`
	Machine machine   `json:"machine"`
	Command string    `json:"command"`
	Goals   []goalRow `json:"goals"`
	Failed  []string  `json:"failed,omitempty"` // trials
}

// try runs trials one after another. One that fails is told and leaves its
// goals unmeasured; the others go on.
func (c *goalsCommand) try(ctx context.Context, out *output, wanted []trial) error {
	r, err := newReport("goals", c.DataParent, out.args)
	if err != nil {
		return err
	}
	found := outcome{Date: r.Date, Commit: r.Commit, Machine: r.Machine, Command: r.Command}
	dir := filepath.Join(c.Results, found.Date.Format("20060102-150405")+"-"+found.Commit)
	reports := map[string]*report{}
	page := document{Title: "instantd: goals, " + c.length()}
	for i, t := range wanted {
		args := c.args(t, filepath.Join(dir, t.name+".json"))
		fmt.Fprintf(out.stderr, "%d of %d: instantbench %s\n", i+1, len(wanted), strings.Join(args, " "))
		if status := run(ctx, args, out.stdout, out.stderr); status != 0 {
			found.Failed = append(found.Failed, t.name)
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			continue
		}
		measured, err := loadReport(filepath.Join(dir, t.name+".json"))
		if err != nil {
			return err
		}
		reports[t.name] = measured
		page.Reports = append(page.Reports, measured)
		fmt.Fprintln(out.stdout)
	}
	found.Goals = judge(reports)
	page.Goals = found.Goals
	if err := errors.Join(saveJSON(filepath.Join(dir, "goals.json"), found), saveHTML(filepath.Join(dir, "goals.html"), page)); err != nil {
		return err
	}
	fmt.Fprintf(out.stdout, "Goals, %s; %s; commit %s\n\n", c.length(), found.Machine, found.Commit)
	if err := printGoals(out.stdout, found.Goals); err != nil {
		return err
	}
	fmt.Fprintf(out.stdout, "\nReports: %s\n", filepath.Join(dir, "goals.html"))
	if len(found.Failed) > 0 {
		return fmt.Errorf("%d of %d trials failed: %s", len(found.Failed), len(wanted), strings.Join(found.Failed, ", "))
	}
	return nil
}

// length says which set was run.
func (c *goalsCommand) length() string {
	if c.Full {
		return "the full set"
	}
	return "the short set"
}

// args is the command line of a trial that saves its report at a path.
func (c *goalsCommand) args(t trial, path string) []string {
	load, pace := t.args, "--rounds 3 --duration 10s --warmup 1s"
	if !c.Full {
		pace = "--rounds 1 --duration 3s --warmup 500ms"
	}
	if !c.Full && t.short != "" {
		load = t.short
	}
	args := strings.Fields(load + " " + pace)
	args = append(args, "--server", c.Server, "--config", c.Config, "--out", path)
	switch {
	case t.amqp:
		args = append(args, "--amqp-url", c.AMQPURL)
	case slices.Contains(args, "--peers"):
		args = append(args, "--peer-server", c.PeerServer)
	}
	if c.DataParent != "" {
		args = append(args, "--data-parent", c.DataParent)
	}
	if c.Quiet > 0 {
		args = append(args, "--quiet", fmt.Sprint(c.Quiet))
	}
	return args
}
