//go:build linux

package main

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// measured is a report of one round with these phases.
func measured(phases ...phase) *report {
	r := &report{}
	for _, p := range phases {
		p.Round = 1
		r.Rounds = append(r.Rounds, p)
	}
	r.summarize()
	return r
}

func TestGoalsAreJudged(t *testing.T) {
	t.Parallel()
	saturated := func(instantd, centrifuge, limit float64) map[string]*report {
		return map[string]*report{trialFanout: measured(
			phase{Peer: "instantd", Name: phaseSaturated, Rate: instantd},
			phase{Peer: "Centrifuge", Name: phaseSaturated, Rate: centrifuge},
			phase{Peer: "RAW-C", Name: phaseSaturated, Rate: limit})}
	}
	const inFlight = "16 in flight, 1,000 members: deliveries/s"
	tests := []struct {
		name     string
		reports  map[string]*report
		goal     string
		figure   string
		measured string
		verdict  string
	}{
		{"more than the aim reaches it", saturated(180, 100, 200), inFlight, "/ Centrifuge", "1.80", verdictAim},
		{"exactly the aim reaches it", saturated(170, 100, 200), inFlight, "/ Centrifuge", "1.70", verdictAim},
		{"exactly as much as must be is enough", saturated(100, 100, 200), inFlight, "/ Centrifuge", "1.00", verdictMust},
		{"less than must be misses the goal", saturated(99, 100, 100), inFlight, "/ Centrifuge", "0.99", verdictMissed},
		{"figures of one goal are judged apart", saturated(99, 100, 100), inFlight, "/ RAW-C", "0.99", verdictAim},
		{"a trial that has not run measures nothing", nil, inFlight, "/ Centrifuge", "–", verdictUnmeasured},
		{"a peer that was not there measures nothing", map[string]*report{trialFanout: measured(
			phase{Peer: "instantd", Name: phaseSaturated, Rate: 10}, phase{Peer: "RAW-C", Name: phaseSaturated, Rate: 10})},
			inFlight, "/ Centrifuge", "–", verdictUnmeasured},
		{"less is better for latencies", map[string]*report{trialFanout: measured(
			phase{Peer: "instantd", Name: phaseOpen, Last: latency{P50: 12, P99: 20}}, phase{Peer: "RAW", Name: phaseOpen, Last: latency{P50: 10}})},
			"one message to 1,000 members, open loop 50/s", "p99, ms", "20.0", verdictMust},
		{"durable answers are those over REST", map[string]*report{trialSend: measured(
			phase{Peer: "instantd", Name: "ws, 256 publishers", Rate: 10}, phase{Peer: "instantd", Name: "rest, 256 publishers", Rate: 31_000})},
			"durable answer over REST", "256 publishers, messages/s", "31000", verdictMust},
		{"pages that are faster late are as far apart as slower ones", map[string]*report{trialHistory: measured(
			phase{Peer: "a conversation of 10", Name: "1 at a time", Answer: latency{P50: 9}},
			phase{Peer: "at message 10", Name: "1 at a time", Answer: latency{P50: 4}},
			phase{Peer: "at message 500", Name: "1 at a time", Answer: latency{P50: 100}},
			phase{Peer: "at message 1000", Name: "1 at a time", Answer: latency{P50: 2}},
			phase{Peer: "anywhere", Name: "1 at a time", Answer: latency{P50: 100}})},
			"a page of history, early and late in a conversation", "slower / faster", "2.00", verdictMissed},
		{"an idle session costs thousands of bytes", map[string]*report{trialIdle: measured(
			phase{Peer: "instantd", Name: phaseIdleUser, Memory: memory{RSS: 11_900}})},
			"idle WebSocket session with its user actor", "RSS, KB", "11.9", verdictAim},
		{"nothing lost of something is right", map[string]*report{"a": {Checks: []check{{Messages: 5, Members: 2}}}, "b": {Checks: []check{{Messages: 1, Members: 3}}}},
			"losses, duplicates, reorderings", "in all trials", "0 of 13", verdictAim},
		{"one duplicate is missed", map[string]*report{"a": {Checks: []check{{Messages: 5, Members: 2, Duplicates: 1}}}},
			"losses, duplicates, reorderings", "in all trials", "1 of 10", verdictMissed},
		{"nothing lost of nothing is not measured", nil, "losses, duplicates, reorderings", "in all trials", "–", verdictUnmeasured},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			rows := judge(tt.reports)
			i := slices.IndexFunc(rows, func(r goalRow) bool { return r.Goal == tt.goal && r.Figure == tt.figure })
			if i < 0 {
				t.Fatalf("there is no figure %q of %q", tt.figure, tt.goal)
			}
			if rows[i].Measured != tt.measured || rows[i].Verdict != tt.verdict {
				t.Errorf("%q is %q, want %q is %q", rows[i].Measured, rows[i].Verdict, tt.measured, tt.verdict)
			}
		})
	}
}

func TestGoalsSayTheirLimits(t *testing.T) {
	t.Parallel()
	var printed strings.Builder
	if err := printGoals(&printed, judge(nil)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"one message to 1,000 members, open loop 50/s +p50 / RAW +≤ 1.50 +≤ 1.25 +– +not measured",
		"256 publishers, messages/s +≥ 30000 +≥ 100000 +– +not measured", "RabbitMQ alone +≥ 0.85 +≥ 0.97",
	} {
		if !regexp.MustCompile(want).MatchString(printed.String()) {
			t.Errorf("%q is not in\n%s", want, printed.String())
		}
	}
	if n := strings.Count(printed.String(), "open loop 50/s"); n != 1 {
		t.Errorf("a goal of two figures is named %d times, want once", n)
	}
}

// Every figure must find its trial, and its limits must not contradict.
func TestGoalsAreMeasurable(t *testing.T) {
	t.Parallel()
	for _, g := range goals {
		for _, f := range g.figures {
			if !slices.Contains(trialNames(), f.trial) {
				t.Errorf("%s: no trial is called %q", g.name, f.trial)
			}
			if f.atLeast != (f.aim > f.must) {
				t.Errorf("%s: the aim of %q is easier than what must be", g.name, f.name)
			}
		}
	}
}
