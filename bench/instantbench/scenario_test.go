//go:build linux

package main

import (
	"os"
	"strings"
	"testing"
)

// devNull is a descriptor that takes everything.
func devNull(t *testing.T) int {
	t.Helper()
	file, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	return int(file.Fd())
}

// named returns the phases with a name.
func named(r report, name string) []phase {
	var found []phase
	for _, p := range r.Rounds {
		if p.Name == name {
			found = append(found, p)
		}
	}
	return found
}

func TestChat(t *testing.T) {
	r := bench(t, "chat", "--groups", "30", "--members", "5", "--users", "20", "--rate", "200", "--in-flight", "8", "--reads", "0.3")
	if len(r.Rounds) != 4 || len(r.Checks) != 1 || r.Checks[0].Members != 5 {
		t.Fatalf("%d phases, checks %+v; want 4 and one", len(r.Rounds), r.Checks)
	}
	done := 0.0
	for _, name := range []string{phaseOpen, phaseSaturated} {
		p, pages := named(r, name)[0], named(r, name+", pages")[0]
		if p.Sent == 0 || p.Work != 5*p.Sent || p.Last.Count != int64(p.Sent) || p.Each.Count != int64(p.Work) || p.Answer.Count != int64(p.Sent) {
			t.Errorf("%s does not add up: %+v", name, p)
		}
		if pages.Work == 0 || pages.Answer.Count != int64(pages.Work) || pages.Rate <= 0 {
			t.Errorf("%s: pages do not add up: %+v", name, pages)
		}
		if name == phaseOpen {
			done = p.Sent + pages.Work
		}
	}
	if done != 60 {
		t.Errorf("%g messages and pages, want 200 a second for 300 ms", done)
	}
}

func TestChatWithoutHistory(t *testing.T) {
	server, err := buildPeers()
	if err != nil {
		t.Fatal(err)
	}
	r := short(t, "chat", "--groups", "30", "--members", "5", "--users", "20", "--rate", "200", "--in-flight", "8", "--peers", "centrifuge", "--peer-server", server)
	if len(r.Rounds) != 2 || len(r.Checks) != 1 {
		t.Fatalf("%d phases, %d checks; want 2 and one", len(r.Rounds), len(r.Checks))
	}
	for _, p := range r.Rounds {
		if p.Peer != "Centrifuge" || p.Sent == 0 || p.Work != 5*p.Sent || p.Last.Count != int64(p.Sent) || p.Answer.Count != int64(p.Sent) {
			t.Errorf("%s does not add up: %+v", p.Name, p)
		}
	}
}

func TestConnect(t *testing.T) {
	r := bench(t, "connect", "--sessions", "30", "--members", "7", "--missed", "9", "--storms", "2")
	if len(r.Rounds) != 2 || len(r.Checks) != 1 {
		t.Fatalf("%d phases, %d checks; want 2 and one", len(r.Rounds), len(r.Checks))
	}
	first, again := named(r, phaseConnect)[0], named(r, phaseReturn)[0]
	if first.Sent != 0 || again.Sent != 30*9 || r.Checks[0].Messages != 5*9*2 {
		t.Errorf("%g and %g messages were read, %d sent; want none, 270, 90", first.Sent, again.Sent, r.Checks[0].Messages)
	}
	for _, p := range r.Rounds {
		if p.Work != 30 || p.Each.Count != 30 || p.Answer.Count != 30 || p.Seconds <= 0 || p.Each.Max < p.Answer.P50 {
			t.Errorf("%s does not add up: %+v", p.Name, p)
		}
	}
}

func TestIdle(t *testing.T) {
	r := bench(t, "idle", "--sessions", "50")
	with, alone := named(r, phaseIdleUser), named(r, phaseIdleSession)
	if len(with) != 1 || len(alone) != 1 {
		t.Fatalf("%+v, want two phases", r.Rounds)
	}
	for _, p := range r.Rounds {
		if p.Memory.RSS == 0 || p.Memory.Anonymous == 0 || p.Memory.Routines < 0.5 || p.Memory.Routines > 10 {
			t.Errorf("%s: %+v", p.Name, p.Memory)
		}
	}
}

func TestHistory(t *testing.T) {
	r := bench(t, "history", "--messages", "200", "--at", "1,4")
	if len(r.Rounds) != 10 || len(r.Ratios) != 4 {
		t.Fatalf("%d phases, %d ratios; want 10 and 4", len(r.Rounds), len(r.Ratios))
	}
	for _, p := range r.Rounds {
		if p.Work == 0 || p.Answer.Count != int64(p.Work) || p.Rate <= 0 {
			t.Errorf("%s, %s does not add up: %+v", p.Peer, p.Name, p)
		}
	}
}

func TestScenariosRefuse(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		args []string
		says string
	}{
		{"groups larger than everybody", []string{"chat", "--users", "10", "--members", "11"}, "--members"},
		{"a popularity that is none", []string{"chat", "--zipf", "1"}, "--zipf"},
		{"reads only", []string{"chat", "--reads", "1"}, "--reads"},
		{"more than servers replay", []string{"connect", "--missed", "1000"}, "--missed"},
		{"nobody", []string{"connect", "--sessions", "0"}, "--sessions"},
		{"too few to divide by", []string{"idle", "--sessions", "1"}, "--sessions"},
		{"pages that servers do not give", []string{"history", "--page", "201"}, "--page"},
		{"a conversation shorter than its places", []string{"history", "--messages", "30"}, "--messages"},
		{"no reader", []string{"history", "--at", "0"}, "--at"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var stdout, stderr strings.Builder
			if got := run(t.Context(), tt.args, &stdout, &stderr); got != 2 || !strings.Contains(stderr.String(), tt.says) {
				t.Errorf("status %d and %q, want 2 and %q", got, stderr.String(), tt.says)
			}
		})
	}
}
