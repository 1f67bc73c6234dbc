//go:build linux

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

func TestTrialsMakeAReport(t *testing.T) {
	server, err := build()
	if err != nil {
		t.Fatal(err)
	}
	c := goalsCommand{Server: server, Config: "../../configs/dev.yaml", DataParent: t.TempDir(), Results: t.TempDir()}
	var stdout, stderr strings.Builder
	err = c.try(t.Context(), &output{stdout: &stdout, stderr: &stderr, args: []string{"goals"}}, []trial{
		{name: trialFew, args: "fanout --members 10 --rate 0 --in-flight 2 --peers instantd,raw-c", short: "fanout --members 10 --rate 0 --in-flight 2 --peers instantd,raw-c"},
		{name: trialFanout, args: "fanout --members 10 --peers centrifuge"}, // there is no such program
	})
	if err == nil || !strings.Contains(err.Error(), "1 of 2 trials failed: fanout") {
		t.Errorf("a failed trial is told as %v", err)
	}
	if said := stdout.String(); !strings.Contains(said, "4 in flight, 1,000 members") || !strings.Contains(said, verdictUnmeasured) {
		t.Errorf("the goals are not printed:\n%s", said)
	}
	dirs, err := filepath.Glob(filepath.Join(c.Results, "*"))
	if err != nil || len(dirs) != 1 {
		t.Fatalf("results are in %q, %v; want one folder", dirs, err)
	}
	text, err := os.ReadFile(filepath.Join(dirs[0], "goals.json"))
	if err != nil {
		t.Fatal(err)
	}
	var found outcome
	if err := json.Unmarshal(text, &found); err != nil {
		t.Fatal(err)
	}
	few := slices.IndexFunc(found.Goals, func(g goalRow) bool { return strings.HasPrefix(g.Goal, "4 in flight") })
	if few < 0 || found.Goals[few].Verdict == verdictUnmeasured || !slices.Equal(found.Failed, []string{trialFanout}) || found.Command != "instantbench goals" {
		t.Errorf("found %+v", found)
	}
	page, err := os.ReadFile(filepath.Join(dirs[0], "goals.html"))
	if err != nil || !strings.Contains(string(page), "<svg") {
		t.Errorf("the page has no chart: %v", err)
	}
}

// What trials run must be understood, or a goal is found unmeasured only after
// minutes.
func TestTrialsAreUnderstood(t *testing.T) {
	t.Parallel()
	for _, full := range []bool{false, true} {
		c := goalsCommand{Full: full, Server: "server", Config: "config", DataParent: "dir", Quiet: 15, AMQPURL: "amqp://127.0.0.1:1"}
		for _, trial := range trials {
			args := c.args(trial, "report.json")
			if err := understand(args); err != nil {
				t.Errorf("%s: %q: %v", trial.name, args, err)
			}
		}
	}
}

func TestGoalsRefuse(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		args []string
		says string
	}{
		{"a trial that nobody knows", []string{"--only", "fanout,telegraph"}, `"telegraph"`},
		{"queues without a broker", []string{"--only", "amqp"}, "--amqp-url"},
		{"less than nobody's share", []string{"--quiet", "-1"}, "--quiet"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var stdout, stderr strings.Builder
			if status := run(t.Context(), append([]string{"goals"}, tt.args...), &stdout, &stderr); status != 2 || !strings.Contains(stderr.String(), tt.says) {
				t.Errorf("status %d and %q, want 2 and %q", status, stderr.String(), tt.says)
			}
		})
	}
}

// understand parses a command line and runs nothing.
func understand(args []string) error {
	parser, err := kong.New(&commands{}, kong.Vars{"trials": ""})
	if err != nil {
		return err
	}
	_, err = parser.Parse(args)
	return err
}
