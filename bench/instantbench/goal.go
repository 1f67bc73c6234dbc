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

// goal is one row of the table: what must be, what is aimed at.
type goal struct {
	name    string
	figures []figure
}

// figure is one value of a goal.
type figure struct {
	trial     string
	format    string // of a value, with its unit
	must, aim float64
	atLeast   bool // otherwise at most
	of        func(*report) (float64, bool)
}

// goals are those of the project: durable, ordered, with every rule on. Ratios
// are made in one run.
var goals = []goal{
	{"one message to 1,000 members, open loop 50/s", []figure{
		{trialFanout, "p50 %.2f × RAW", 1.5, 1.25, false, over(phaseOpen, plain, func(p phase) float64 { return p.Last.P50 })},
		{trialFanout, "p99 %.1f ms", 25, 18, false, value(phaseOpen, func(p phase) float64 { return p.Last.P99 })},
	}},
	{"16 in flight, 1,000 members: deliveries/s", []figure{
		{trialFanout, "%.2f × Centrifuge", 1, 1.7, true, over(phaseSaturated, direct, rateOf)},
		{trialFanout, "%.2f × RAW-C", 0.45, 0.70, true, over(phaseSaturated, limit, rateOf)},
	}},
	{"8 in flight, 5,000 members: deliveries/s", []figure{
		{trialCrowded, "%.2f × Centrifuge", 2, 3.4, true, over(phaseSaturated, direct, rateOf)},
	}},
	{"4 in flight, 1,000 members: deliveries/s", []figure{
		{trialFew, "%.1f × WuKongIM's 41k", 4, 6, true, value(phaseSaturated, func(p phase) float64 { return p.Rate / wuKongIM })},
	}},
	{"server CPU per delivery, 1,000 members", []figure{
		{trialFanout, "one message %.1f µs", 13, 10, false, value(phaseOpen, serverOf)},
		{trialFanout, "saturated %.2f µs", 2.2, 1.4, false, value(phaseSaturated, serverOf)},
	}},
	{"durable answer over REST", []figure{
		{trialSend, "one at a time p50 %.2f ms", 1.5, 1, false, value(sendCase{overREST, 1}.name(), func(p phase) float64 { return p.Answer.P50 })},
		{trialSend, "256 publishers %.0f/s", 30_000, 100_000, true, value(sendCase{overREST, 256}.name(), rateOf)},
	}},
	{"AMQP, 1,000 members: deliveries/s", []figure{
		{trialAMQP, "%.2f × RabbitMQ alone", 0.85, 0.97, true, over(phaseSaturated, "RabbitMQ", rateOf)},
	}},
	{"idle WebSocket session with its user actor", []figure{
		{trialIdle, "%.1f KB", 24, 12, false, value(phaseIdleUser, func(p phase) float64 { return p.Memory.RSS / 1_000 })},
	}},
	{"many small groups (10,000 of 20, Zipf): deliveries/s", []figure{
		{trialChat, "%.2f × Centrifuge", 1, 1.7, true, over(phaseSaturated, direct, rateOf)},
	}},
	{"reconnect storm: 5,000 sessions, 20 missed messages each", []figure{
		{trialReturn, "all caught up in %.2f s", 3, 1, false, value(phaseReturn, func(p phase) float64 { return p.Seconds })},
	}},
	{"a page of history, early and late in a conversation", []figure{
		{trialHistory, "within %.2f × of each other", 1.5, 1.1, false, apart},
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

// goalRow is a goal with what was measured.
type goalRow struct {
	Goal     string `json:"goal"`
	Must     string `json:"must"`
	Aim      string `json:"aim"`
	Measured string `json:"measured"`
	Verdict  string `json:"verdict"`
}

// Class names the verdict for the HTML page.
func (g goalRow) Class() string {
	return map[string]string{verdictAim: "aim", verdictMust: "must", verdictMissed: "missed", verdictUnmeasured: "unmeasured"}[g.Verdict]
}

// judge makes the table of goals from the reports of trials; a trial that has
// not run has none.
func judge(reports map[string]*report) []goalRow {
	rows := make([]goalRow, 0, len(goals)+1)
	for _, g := range goals {
		rows = append(rows, g.judge(reports))
	}
	return append(rows, judgeChecks(reports))
}

// judge measures a goal: it is reached when each of its figures is.
func (g goal) judge(reports map[string]*report) goalRow {
	var must, aim, measured []string
	verdict := verdictAim
	for _, f := range g.figures {
		must, aim = append(must, f.limit(f.must)), append(aim, f.limit(f.aim))
		r := reports[f.trial]
		if r == nil {
			measured, verdict = append(measured, "–"), worse(verdict, verdictUnmeasured)
			continue
		}
		v, ok := f.of(r)
		if !ok {
			measured, verdict = append(measured, "–"), worse(verdict, verdictUnmeasured)
			continue
		}
		measured, verdict = append(measured, fmt.Sprintf(f.format, v)), worse(verdict, f.verdict(v))
	}
	return goalRow{g.name, strings.Join(must, "; "), strings.Join(aim, "; "), strings.Join(measured, "; "), verdict}
}

// limit is a limit in words: the bound stands before its number.
func (f figure) limit(v float64) string {
	sign := "≤ "
	if f.atLeast {
		sign = "≥ "
	}
	before, _, _ := strings.Cut(f.format, "%")
	return before + sign + strings.TrimPrefix(fmt.Sprintf(f.format, v), before)
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

// worse is the worse of two verdicts. What was not measured hides nothing that
// was missed.
func worse(a, b string) string {
	for _, verdict := range []string{verdictMissed, verdictUnmeasured, verdictMust} {
		if a == verdict || b == verdict {
			return verdict
		}
	}
	return verdictAim
}

// judgeChecks is the goal that nothing is lost, for all trials together.
func judgeChecks(reports map[string]*report) goalRow {
	row := goalRow{Goal: "losses, duplicates, reorderings", Must: "0", Aim: "0", Measured: "–", Verdict: verdictUnmeasured}
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
	row.Measured, row.Verdict = fmt.Sprintf("%d of %d deliveries", wrong, deliveries), verdictAim
	if wrong > 0 {
		row.Verdict = verdictMissed
	}
	return row
}

// printGoals writes the table.
func printGoals(w io.Writer, rows []goalRow) error {
	lines := tabwriter.NewWriter(w, 0, 8, 3, ' ', 0)
	fmt.Fprintln(lines, "goal\tmust\taim\tmeasured\t")
	for _, row := range rows {
		fmt.Fprintf(lines, "%s\t%s\t%s\t%s\t%s\n", row.Goal, row.Must, row.Aim, row.Measured, row.Verdict)
	}
	if err := lines.Flush(); err != nil {
		return fmt.Errorf("print the goals: %w", err)
	}
	return nil
}
