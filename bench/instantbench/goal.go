//go:build linux

package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Peers that goals name, as reports do.
const (
	home   = "instantd"
	plain  = "RAW"   // one write for each member
	limit  = "RAW-C" // of all servers that write to sockets
	direct = "Centrifuge"
)

// wuKongIM is its deliveries a second with 4 in flight, measured once on two
// cores: it is not run here.
const wuKongIM = 41_000

// placePrefix begins the names of the places of history that are peers there.
const placePrefix = "at message "

// goal is what must be, and what is aimed at.
type goal struct {
	name    string
	figures []figure
}

// figure is one row of the table: a value and its limits.
type figure struct {
	trial     string
	name      string // with its unit
	format    string
	must, aim float64
	atLeast   bool // otherwise at most
	of        func(*report) (float64, bool)
}

// goals are those of the project: durable, ordered, with every rule on. Ratios
// are made in one run.
var goals = []goal{
	{"one message to 1,000 members, open loop 50/s", []figure{
		{trialFanout, "p50 / RAW", "%.2f", 1.5, 1.25, false, over(phaseOpen, plain, func(p phase) float64 { return p.Last.P50 })},
		{trialFanout, "p99, ms", "%.1f", 25, 18, false, value(phaseOpen, func(p phase) float64 { return p.Last.P99 })},
	}},
	{"16 in flight, 1,000 members: deliveries/s", []figure{
		{trialFanout, "/ Centrifuge", "%.2f", 1, 1.7, true, over(phaseSaturated, direct, rateOf)},
		{trialFanout, "/ RAW-C", "%.2f", 0.45, 0.70, true, over(phaseSaturated, limit, rateOf)},
	}},
	{"8 in flight, 5,000 members: deliveries/s", []figure{
		{trialCrowded, "/ Centrifuge", "%.2f", 2, 3.4, true, over(phaseSaturated, direct, rateOf)},
	}},
	{"4 in flight, 1,000 members: deliveries/s", []figure{
		{trialFew, "/ WuKongIM's 41k", "%.1f", 4, 6, true, value(phaseSaturated, func(p phase) float64 { return p.Rate / wuKongIM })},
	}},
	{"server CPU per delivery, 1,000 members", []figure{
		{trialFanout, "one message, µs", "%.1f", 13, 10, false, value(phaseOpen, serverOf)},
		{trialFanout, "saturated, µs", "%.2f", 2.2, 1.4, false, value(phaseSaturated, serverOf)},
	}},
	{"durable answer over REST", []figure{
		{trialSend, "one at a time, p50 ms", "%.2f", 1.5, 1, false, value(sendCase{overREST, 1}.name(), func(p phase) float64 { return p.Answer.P50 })},
		{trialSend, "256 publishers, messages/s", "%.0f", 30_000, 100_000, true, value(sendCase{overREST, 256}.name(), rateOf)},
	}},
	{"AMQP, 1,000 members: deliveries/s", []figure{
		{trialAMQP, "/ RabbitMQ alone", "%.2f", 0.85, 0.97, true, over(phaseSaturated, "RabbitMQ", rateOf)},
	}},
	{"idle WebSocket session with its user actor", []figure{
		{trialIdle, "RSS, KB", "%.1f", 24, 12, false, value(phaseIdleUser, func(p phase) float64 { return p.Memory.RSS / 1_000 })},
	}},
	{"many small groups, 10,000 of 20, Zipf: deliveries/s", []figure{
		{trialChat, "/ Centrifuge", "%.2f", 1, 1.7, true, over(phaseSaturated, direct, rateOf)},
	}},
	{"5,000 sessions return to 20 missed messages each", []figure{
		{trialReturn, "all caught up, s", "%.2f", 3, 1, false, value(phaseReturn, func(p phase) float64 { return p.Seconds })},
	}},
	{"a page of history, early and late in a conversation", []figure{
		{trialHistory, "slower / faster", "%.2f", 1.5, 1.1, false, apart},
	}},
}

func rateOf(p phase) float64   { return p.Rate }
func serverOf(p phase) float64 { return p.Cost.Server }

// value is a figure of instantd in one phase.
func value(phaseName string, of func(phase) float64) func(*report) (float64, bool) {
	return func(r *report) (float64, bool) {
		p, ok := r.summary(phaseName, home)
		return of(p), ok
	}
}

// over is a figure of instantd divided by that of a peer.
func over(phaseName, peer string, of func(phase) float64) func(*report) (float64, bool) {
	return func(r *report) (float64, bool) { return r.ratio(phaseName, home, peer, of) }
}

// apart is how far the medians of the earliest and the latest page are from
// each other: the places of history are its peers, in this order.
func apart(r *report) (float64, bool) {
	if len(r.Summary) == 0 {
		return 0, false
	}
	one := r.Summary[0].Name
	early, late := "", ""
	for _, p := range r.Summary {
		if p.Name != one || !strings.HasPrefix(p.Peer, placePrefix) {
			continue
		}
		if early == "" {
			early = p.Peer
		}
		late = p.Peer
	}
	ratio, ok := r.ratio(one, late, early, func(p phase) float64 { return p.Answer.P50 })
	if ok && ratio < 1 {
		ratio = 1 / ratio
	}
	return ratio, ok && early != late
}

// Verdicts on a goal.
const (
	verdictAim        = "aim reached"
	verdictMust       = "must reached"
	verdictMissed     = "missed"
	verdictUnmeasured = "not measured"
)

// goalRow is a figure of a goal with what was measured.
type goalRow struct {
	Goal     string `json:"goal"`
	Figure   string `json:"figure"`
	Must     string `json:"must"`
	Aim      string `json:"aim"`
	Measured string `json:"measured"` // a dash when it was not
	Verdict  string `json:"verdict"`
}

// Class names the verdict for the HTML page.
func (g goalRow) Class() string {
	return map[string]string{verdictAim: "aim", verdictMust: "must", verdictMissed: "missed", verdictUnmeasured: "unmeasured"}[g.Verdict]
}

// judge makes the table of goals from the reports of trials; a trial that has
// not run has none.
func judge(reports map[string]*report) []goalRow {
	var rows []goalRow
	for _, g := range goals {
		for _, f := range g.figures {
			row := f.judge(reports[f.trial])
			row.Goal = g.name
			rows = append(rows, row)
		}
	}
	return append(rows, judgeChecks(reports))
}

// judge measures a figure, if its trial has run with the peers that it needs.
func (f figure) judge(r *report) goalRow {
	row := goalRow{Figure: f.name, Must: f.limit(f.must), Aim: f.limit(f.aim), Measured: "–", Verdict: verdictUnmeasured}
	if r == nil {
		return row
	}
	v, ok := f.of(r)
	if !ok {
		return row
	}
	row.Measured, row.Verdict = fmt.Sprintf(f.format, v), f.verdict(v)
	return row
}

func (f figure) limit(v float64) string {
	if f.atLeast {
		return "≥ " + fmt.Sprintf(f.format, v)
	}
	return "≤ " + fmt.Sprintf(f.format, v)
}

func (f figure) verdict(v float64) string {
	reaches := func(bound float64) bool { return f.atLeast && v >= bound || !f.atLeast && v <= bound }
	switch {
	case reaches(f.aim):
		return verdictAim
	case reaches(f.must):
		return verdictMust
	}
	return verdictMissed
}

// judgeChecks is the goal that nothing is lost, for all trials together.
func judgeChecks(reports map[string]*report) goalRow {
	row := goalRow{Goal: "losses, duplicates, reorderings", Figure: "in all trials", Must: "0", Aim: "0", Measured: "–", Verdict: verdictUnmeasured}
	wrong, deliveries := 0, 0
	for _, r := range reports {
		for _, c := range r.Checks {
			wrong += c.Losses + c.Duplicates + c.Reordered + c.Foreign
			deliveries += c.Messages * c.Members
		}
	}
	if deliveries == 0 {
		return row
	}
	row.Measured, row.Verdict = fmt.Sprintf("%d of %d", wrong, deliveries), verdictAim
	if wrong > 0 {
		row.Verdict = verdictMissed
	}
	return row
}

// printGoals writes the table. A goal is named once.
func printGoals(w io.Writer, rows []goalRow) error {
	lines := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(lines, "goal\t\tmust\taim\tmeasured\t")
	last := ""
	for _, row := range rows {
		name := row.Goal
		if name == last {
			name = ""
		}
		last = row.Goal
		fmt.Fprintf(lines, "%s\t%s\t%s\t%s\t%s\t%s\n", name, row.Figure, row.Must, row.Aim, row.Measured, row.Verdict)
	}
	if err := lines.Flush(); err != nil {
		return fmt.Errorf("print the goals: %w", err)
	}
	return nil
}
