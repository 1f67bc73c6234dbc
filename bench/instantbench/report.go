//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// report is what a run found.
type report struct {
	Date    time.Time `json:"date"`
	Commit  string    `json:"commit"` // of the working tree; + when it was changed
	Machine machine   `json:"machine"`
	Command string    `json:"command"`
	Title   string    `json:"title"`
	Summary []phase   `json:"summary"`          // medians over the rounds
	Ratios  []ratio   `json:"ratios,omitempty"` // medians of what each round gave
	Checks  []check   `json:"checks,omitempty"`
	Rounds  []phase   `json:"rounds"`
	Tables  []table   `json:"tables,omitempty"` // the summary as it was printed
}

// table is the summary of all phases with one name.
type table struct {
	Name  string   `json:"name"`
	Heads []string `json:"heads"`
	Rows  []row    `json:"rows"`
}

// row is one peer.
type row struct {
	Peer  string   `json:"peer"`
	Cells []string `json:"cells"`
}

// phase is one load on one peer. Latencies are in milliseconds.
type phase struct {
	Round   int     `json:"round"` // 0 in a summary
	Peer    string  `json:"peer"`
	Name    string  `json:"name"`
	Sent    float64 `json:"sent"`    // messages
	Work    float64 `json:"work"`    // what cost counts: deliveries, or messages
	Seconds float64 `json:"seconds"` // from the first message until the last work was done
	Rate    float64 `json:"rate"`    // work per second
	Last    latency `json:"last"`    // from when it was due until the last member had read it
	Each    latency `json:"each"`    // until a member had read it
	Answer  latency `json:"answer"`  // until the sender had its answer
	Lag     latency `json:"lag"`     // until it was sent: our own fault
	Cost    cost    `json:"cost"`
	Memory  memory  `json:"memory,omitzero"` // of the server, for each session
}

// check is what the members of one group counted.
type check struct {
	Round      int    `json:"round"`
	Peer       string `json:"peer"`
	Messages   int    `json:"messages"`
	Members    int    `json:"members"`
	Losses     int    `json:"losses"`
	Duplicates int    `json:"duplicates"`
	Reordered  int    `json:"reordered"`
	Foreign    int    `json:"foreign"` // that nobody sent in this run
}

// err tells what is wrong, nil when everybody got everything once and in order.
func (c check) err() error {
	if c.Losses+c.Duplicates+c.Reordered+c.Foreign == 0 {
		return nil
	}
	return fmt.Errorf("%s, round %d: of %d messages to %d members there are %d losses, %d duplicates, %d out of order, %d that nobody sent",
		c.Peer, c.Round, c.Messages, c.Members, c.Losses, c.Duplicates, c.Reordered, c.Foreign)
}

// ratio compares two peers.
type ratio struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
}

// newReport begins a report. Its commit is that of the folder that we run in.
func newReport(title, dataParent string, args []string) (*report, error) {
	m, err := thisMachine(dataParent)
	if err != nil {
		return nil, err
	}
	return &report{
		Date: time.Now().UTC().Truncate(time.Second), Commit: commit(), Machine: m,
		Command: "instantbench " + strings.Join(args, " "), Title: title,
	}, nil
}

// commit names the commit of the working folder, "unknown" outside of one.
func commit() string {
	head, err := exec.Command("git", "rev-parse", "--short=12", "HEAD").Output()
	if err != nil {
		return "unknown"
	}
	name := string(bytes.TrimSpace(head))
	if changed, err := exec.Command("git", "status", "--porcelain", "--untracked-files=no").Output(); err != nil || len(changed) > 0 {
		name += "+"
	}
	return name
}

// summarize makes the medians of all rounds.
func (r *report) summarize() {
	type kind struct{ peer, name string }
	var order []kind
	byKind := map[kind][]phase{}
	for _, p := range r.Rounds {
		k := kind{p.Peer, p.Name}
		if byKind[k] == nil {
			order = append(order, k)
		}
		byKind[k] = append(byKind[k], p)
	}
	r.Summary = nil
	for _, k := range order {
		r.Summary = append(r.Summary, medianPhase(byKind[k]))
	}
}

// compare adds a ratio, or nothing when one of the peers was not measured.
func (r *report) compare(name, phaseName, peer, to string, figure func(phase) float64) {
	if value, ok := r.ratio(phaseName, peer, to, figure); ok {
		r.Ratios = append(r.Ratios, ratio{name, value})
	}
}

// ratio is the median over the rounds of a figure of one peer divided by that
// of another, false when one of them was not measured.
func (r *report) ratio(phaseName, peer, to string, figure func(phase) float64) (float64, bool) {
	var values []float64
	for _, a := range r.Rounds {
		for _, b := range r.Rounds {
			same := a.Round == b.Round && a.Name == phaseName && b.Name == phaseName
			if same && a.Peer == peer && b.Peer == to && figure(b) > 0 {
				values = append(values, figure(a)/figure(b))
			}
		}
	}
	return median(values), len(values) > 0
}

// summary is the summary of one phase of one peer, false when it did not run.
func (r *report) summary(phaseName, peer string) (phase, bool) {
	for _, p := range r.Summary {
		if p.Name == phaseName && p.Peer == peer {
			return p, true
		}
	}
	return phase{}, false
}

func medianPhase(phases []phase) phase {
	of := func(figure func(phase) float64) float64 {
		values := make([]float64, len(phases))
		for i, p := range phases {
			values[i] = figure(p)
		}
		return median(values)
	}
	latencyOf := func(which func(phase) latency) latency {
		return latency{
			Count: int64(of(func(p phase) float64 { return float64(which(p).Count) })),
			P50:   of(func(p phase) float64 { return which(p).P50 }),
			P90:   of(func(p phase) float64 { return which(p).P90 }),
			P99:   of(func(p phase) float64 { return which(p).P99 }),
			P999:  of(func(p phase) float64 { return which(p).P999 }),
			Max:   of(func(p phase) float64 { return which(p).Max }),
			Curve: medianCurve(phases, which),
		}
	}
	return phase{
		Peer: phases[0].Peer, Name: phases[0].Name,
		Sent: of(func(p phase) float64 { return p.Sent }), Work: of(func(p phase) float64 { return p.Work }),
		Seconds: of(func(p phase) float64 { return p.Seconds }), Rate: of(func(p phase) float64 { return p.Rate }),
		Last: latencyOf(func(p phase) latency { return p.Last }), Each: latencyOf(func(p phase) latency { return p.Each }),
		Answer: latencyOf(func(p phase) latency { return p.Answer }), Lag: latencyOf(func(p phase) latency { return p.Lag }),
		Cost: cost{
			Server:    of(func(p phase) float64 { return p.Cost.Server }),
			Generator: of(func(p phase) float64 { return p.Cost.Generator }),
			Others:    of(func(p phase) float64 { return p.Cost.Others }),
		},
		Memory: memory{
			RSS:       of(func(p phase) float64 { return p.Memory.RSS }),
			Anonymous: of(func(p phase) float64 { return p.Memory.Anonymous }),
			Heap:      of(func(p phase) float64 { return p.Memory.Heap }),
			Stacks:    of(func(p phase) float64 { return p.Memory.Stacks }),
			Routines:  of(func(p phase) float64 { return p.Memory.Routines }),
		},
	}
}

// medianCurve is as long as the shortest one.
func medianCurve(phases []phase, which func(phase) latency) []float64 {
	n := curveLength
	for _, p := range phases {
		n = min(n, len(which(p).Curve))
	}
	var curve []float64
	for i := range n {
		values := make([]float64, len(phases))
		for j, p := range phases {
			values[j] = which(p).Curve[i]
		}
		curve = append(curve, median(values))
	}
	return curve
}

// median of values; the mean of the middle two when their number is even.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	if n == 0 {
		return 0
	}
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// column is one column of a printed table.
type column struct {
	head string
	of   func(phase) string
}

// tabulate makes one table for each name of a phase.
func (r *report) tabulate(columns []column) {
	r.Tables = nil
	for _, p := range r.Summary {
		i := slices.IndexFunc(r.Tables, func(t table) bool { return t.Name == p.Name })
		if i < 0 {
			i = len(r.Tables)
			r.Tables = append(r.Tables, table{Name: p.Name})
			for _, c := range columns {
				r.Tables[i].Heads = append(r.Tables[i].Heads, c.head)
			}
		}
		this := row{Peer: p.Peer}
		for _, c := range columns {
			this.Cells = append(this.Cells, c.of(p))
		}
		r.Tables[i].Rows = append(r.Tables[i].Rows, this)
	}
}

// print makes the tables of the report, and writes it for people.
func (r *report) print(w io.Writer, columns []column) error {
	fmt.Fprintf(w, "%s\n%s; commit %s\n", r.Title, r.Machine, r.Commit)
	r.tabulate(columns)
	lines := tabwriter.NewWriter(w, 0, 8, 2, ' ', tabwriter.AlignRight)
	for _, t := range r.Tables {
		fmt.Fprintf(lines, "\n%s\t%s\t\n", t.Name, strings.Join(t.Heads, "\t"))
		for _, row := range t.Rows {
			fmt.Fprintf(lines, "%s\t%s\t\n", row.Peer, strings.Join(row.Cells, "\t"))
		}
	}
	if err := lines.Flush(); err != nil {
		return fmt.Errorf("print the report: %w", err)
	}
	if len(r.Ratios) > 0 {
		fmt.Fprintln(w)
	}
	for _, ratio := range r.Ratios {
		fmt.Fprintf(w, "%-60s %6.2f\n", ratio.Name, ratio.Value)
	}
	if checked := r.checked(); checked != "" {
		fmt.Fprintf(w, "\n%s\n", checked)
	}
	return nil
}

// checked says what the members counted, nothing when nobody did. A run with a
// check that failed has no report.
func (r *report) checked() string {
	messages, deliveries := 0, 0
	for _, c := range r.Checks {
		messages += c.Messages
		deliveries += c.Messages * c.Members
	}
	if messages == 0 {
		return ""
	}
	return fmt.Sprintf("%d messages, %d deliveries: each once and in order", messages, deliveries)
}

// save writes the report as JSON, and as HTML beside it; no path saves nothing.
func (r *report) save(path string) error {
	if path == "" {
		return nil
	}
	if err := saveJSON(path, r); err != nil {
		return err
	}
	return saveHTML(htmlBeside(path), document{Title: r.Title, Reports: []*report{r}})
}

// saveJSON writes what a run found, and makes the folder for it.
func saveJSON(path string, found any) error {
	text, err := json.MarshalIndent(found, "", "  ")
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o755)
	}
	if err == nil {
		err = os.WriteFile(path, append(text, '\n'), 0o644)
	}
	if err != nil {
		return fmt.Errorf("save the report: %w", err)
	}
	return nil
}

// loadReport reads what save has written.
func loadReport(path string) (*report, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("load the report: %w", err)
	}
	r := &report{}
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("load the report %s: %w", path, err)
	}
	return r, nil
}

// Figures as tables show them.
func milliseconds(v float64) string { return fmt.Sprintf("%.2f", v) }
func microseconds(v float64) string { return fmt.Sprintf("%.2f", v) }
func percent(v float64) string      { return fmt.Sprintf("%.0f%%", v) }

func thousands(v float64) string {
	if v < 10_000 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.1fk", v/1_000)
}
