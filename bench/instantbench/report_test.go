//go:build linux

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestMedian(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		values []float64
		want   float64
	}{
		{"of nothing is nothing", nil, 0},
		{"of one is that", []float64{3}, 3},
		{"of three is the middle", []float64{9, 1, 3}, 3},
		{"of two is between", []float64{4, 2}, 3},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := median(tt.values); got != tt.want {
				t.Errorf("median(%v) = %g, want %g", tt.values, got, tt.want)
			}
		})
	}
}

func TestReportComparesWithinARound(t *testing.T) {
	t.Parallel()
	r := &report{Title: "a title"}
	for round, rates := range [][2]float64{{10, 100}, {30, 60}, {8, 10}} {
		r.Rounds = append(r.Rounds,
			phase{Round: round + 1, Peer: "a", Name: "x", Rate: rates[0]},
			phase{Round: round + 1, Peer: "b", Name: "x", Rate: rates[1]},
			phase{Round: round + 1, Peer: "b", Name: "y", Rate: 1})
	}
	r.summarize()
	rate := func(p phase) float64 { return p.Rate }
	r.compare("a/b", "x", "a", "b", rate)
	r.compare("a/c", "x", "a", "c", rate)
	if len(r.Ratios) != 1 || r.Ratios[0] != (ratio{"a/b", 0.5}) {
		t.Errorf("ratios %v, want the median of 0.1, 0.5, 0.8", r.Ratios)
	}
	if len(r.Summary) != 3 || r.Summary[0].Rate != 10 || r.Summary[1].Rate != 60 {
		t.Errorf("summary %+v", r.Summary)
	}
	var printed strings.Builder
	if err := r.print(&printed, []column{{"rate", func(p phase) string { return thousands(p.Rate) }}}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"a title", "rate", "a/b", "0.50"} {
		if !strings.Contains(printed.String(), want) {
			t.Errorf("%q is not in\n%s", want, printed.String())
		}
	}
}

func TestReportIsSaved(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "results", "x.json")
	r := &report{Title: "a title", Rounds: []phase{{Peer: "a", Last: latency{P50: 1.5}}}}
	if err := r.save(path); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var back report
	if err := json.Unmarshal(text, &back); err != nil || back.Rounds[0].Last.P50 != 1.5 {
		t.Errorf("%s, %v", text, err)
	}
}

func TestCheckFailsLoudly(t *testing.T) {
	t.Parallel()
	if err := (check{Messages: 5, Members: 2}).err(); err != nil {
		t.Errorf("nothing is wrong and it says %v", err)
	}
	for _, c := range []check{{Losses: 1}, {Duplicates: 1}, {Reordered: 1}, {Foreign: 1}} {
		if c.err() == nil {
			t.Errorf("%+v is taken for fine", c)
		}
	}
}

func TestCPUTimes(t *testing.T) {
	t.Parallel()
	stat := "42 (a (strange) name) S 1 42 42 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 8 0 1000"
	if got, err := parseProcessTime([]byte(stat)); err != nil || got != 2*time.Second {
		t.Errorf("a process used %s, %v; want 2s", got, err)
	}
	if got, err := parseMachineTime([]byte("cpu  100 0 50 1000 70 10 20 20 0 0\ncpu0 1 2 3")); err != nil || got != 2*time.Second {
		t.Errorf("a machine used %s, %v; want 2s", got, err)
	}
	for _, bad := range []string{"", "42 (x) S 1", "cpu 1 2"} {
		if _, err := parseProcessTime([]byte(bad)); err == nil {
			t.Errorf("%q is taken for times of a process", bad)
		}
		if _, err := parseMachineTime([]byte(bad)); err == nil {
			t.Errorf("%q is taken for times of a machine", bad)
		}
	}
	before := usage{}
	after := usage{at: int64(time.Second), server: 200 * time.Millisecond, generator: 100 * time.Millisecond, machine: 300 * time.Millisecond}
	if got := after.since(before, 1_000); got.Server != 200 || got.Generator != 100 || got.Others != 0 {
		t.Errorf("1,000 pieces of work cost %+v", got)
	}
}
