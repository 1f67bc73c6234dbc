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

// compare adds the median over the rounds of a figure of one peer divided by
// that of another. It adds nothing when one of them was not measured.
func (r *report) compare(name, phaseName, peer, to string, figure func(phase) float64) {
	var values []float64
	for _, a := range r.Rounds {
		for _, b := range r.Rounds {
			same := a.Round == b.Round && a.Name == phaseName && b.Name == phaseName
			if same && a.Peer == peer && b.Peer == to && figure(b) > 0 {
				values = append(values, figure(a)/figure(b))
			}
		}
	}
	if len(values) > 0 {
		r.Ratios = append(r.Ratios, ratio{name, median(values)})
	}
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

// print writes the report for people: one table for each name of a phase.
func (r *report) print(w io.Writer, columns []column) error {
	m := r.Machine
	fmt.Fprintf(w, "%s\n%s, %d cores, %.0f GiB, Linux %s, %s, fdatasync %.2f ms; commit %s\n", r.Title, m.CPU, m.Cores, m.MemoryGB, m.Kernel, m.Go, m.SyncMS, r.Commit)
	var names []string
	for _, p := range r.Summary {
		if !slices.Contains(names, p.Name) {
			names = append(names, p.Name)
		}
	}
	table := tabwriter.NewWriter(w, 0, 8, 2, ' ', tabwriter.AlignRight)
	for _, name := range names {
		fmt.Fprintf(table, "\n%s\t", name)
		for _, c := range columns {
			fmt.Fprintf(table, "%s\t", c.head)
		}
		fmt.Fprintln(table)
		for _, p := range r.Summary {
			if p.Name != name {
				continue
			}
			fmt.Fprintf(table, "%s\t", p.Peer)
			for _, c := range columns {
				fmt.Fprintf(table, "%s\t", c.of(p))
			}
			fmt.Fprintln(table)
		}
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("print the report: %w", err)
	}
	if len(r.Ratios) > 0 {
		fmt.Fprintln(w)
	}
	for _, ratio := range r.Ratios {
		fmt.Fprintf(w, "%-60s %6.2f\n", ratio.Name, ratio.Value)
	}
	messages, deliveries := 0, 0
	for _, c := range r.Checks {
		messages += c.Messages
		deliveries += c.Messages * c.Members
	}
	if messages > 0 { // a run with a check that failed has no report
		fmt.Fprintf(w, "\n%d messages, %d deliveries: each once and in order\n", messages, deliveries)
	}
	return nil
}

// save writes the report as JSON; no path saves nothing.
func (r *report) save(path string) error {
	if path == "" {
		return nil
	}
	text, err := json.MarshalIndent(r, "", "  ")
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
