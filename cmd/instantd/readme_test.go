package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"instantd/protocol/instant/rabbittest"
)

var readmes = []string{"../../README.md", "../../README.zh-CN.md"}

// The README's tour is run as a newcomer pastes it: the ```sh blocks, one after
// another in one shell. The ```text block that follows one is what it prints.

// tourStep is one block of the tour.
type tourStep struct {
	commands string
	output   string // … is any text; empty when the step prints nothing
}

// fence matches the start of a code block, indented or not.
var fence = regexp.MustCompile("(?m)^( *)```([a-z]+)\n((?s).*?)^ *```$")

// tourOf extracts the tour from a README.
func tourOf(t *testing.T, file string) []tourStep {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var steps []tourStep
	for _, block := range fence.FindAllStringSubmatch(string(text), -1) {
		switch language, content := block[2], block[3]; {
		case language == "sh":
			steps = append(steps, tourStep{commands: content})
		case language == "text" && len(steps) > 0 && steps[len(steps)-1].output == "":
			steps[len(steps)-1].output = content
		case language == "text":
			t.Errorf("%s: nobody printed this:\n%s", file, content)
		}
	}
	if len(steps) < 5 {
		t.Fatalf("%s: %d steps are no tour", file, len(steps))
	}
	return steps
}

func TestReadmesHaveOneTour(t *testing.T) {
	t.Parallel()
	want := tourOf(t, readmes[0])
	for _, file := range readmes[1:] {
		got := tourOf(t, file)
		if len(got) != len(want) {
			t.Errorf("%s has %d steps, %s has %d", file, len(got), readmes[0], len(want))
			continue
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("%s: step %d differs:\n%s%s\nwant\n%s%s", file, i+1, got[i].commands, got[i].output, want[i].commands, want[i].output)
			}
		}
	}
}

func TestReadmeTour(t *testing.T) {
	t.Parallel()
	needTourClients(t)
	steps := tourOf(t, readmes[0])
	documented, err := LoadConfig(devConfig, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, addr := range map[string]string{"HTTP": documented.HTTP.Addr, "ADMIN": documented.Admin.Addr, "OPS": documented.Ops.Addr} {
		if setting := name + "=http://" + addr + "\n"; !strings.Contains(strings.ReplaceAll(steps[0].commands, " ", "\n"), setting) {
			t.Errorf("the first step does not set %s as make run has it", setting)
		}
	}

	url := rabbittest.Start(t).URL()
	server := startServer(t, func(c *Config) {
		own := *c
		*c = documented
		c.Data.Dir, c.HTTP.Addr, c.Admin.Addr, c.Ops.Addr = own.Data.Dir, own.HTTP.Addr, own.Admin.Addr, own.Ops.Addr
		c.AMQP.URL, c.AMQP.PublicURL = url, url
	})
	server.waitReady(t, "broker")

	// The ports of this server instead of the documented ones.
	script := steps[0].commands + fmt.Sprintf("HTTP=http://%s ADMIN=http://%s OPS=http://%s\n", server.Addr(), server.AdminAddr(), server.OpsAddr())
	const border = "-- end of step --"
	for _, step := range steps[1:] {
		script += step.commands + "echo '" + border + "'\n"
	}
	folder := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(folder, "bin")+"/", "../instantctl")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build instantctl: %v\n%s", err, out)
	}
	printed := runTour(t, folder, script, "INSTANTD_ADMIN_ADDR="+server.AdminAddr(), "TMPDIR="+folder)
	outputs := strings.Split(printed, border+"\n")
	for i, step := range steps[1:] {
		if i == len(outputs)-1 {
			t.Fatalf("the tour ends in\n%s\nafter printing\n%s", step.commands, outputs[i])
		}
		if problem := compareOutput(outputs[i], step.output); problem != "" {
			t.Errorf("%s\n%s\nprinted\n%s\nthe README says\n%s", problem, step.commands, outputs[i], step.output)
		}
	}
}

// needTourClients says what to install. Without them the tour cannot be run,
// and a tour that nobody runs is not documentation.
func needTourClients(t *testing.T) {
	t.Helper()
	check := exec.CommandContext(t.Context(), "/bin/sh", "-c", `command -v bash curl && /usr/bin/python3 -c "import pika, websockets"`)
	if out, err := check.CombinedOutput(); err != nil {
		t.Fatalf("the README's tour needs clients: run  make deps, or on Debian and Ubuntu  apt-get install curl python3-pika python3-websockets\n%s", out)
	}
}

// runTour runs a script in one shell and returns everything it prints. It ends
// at the first command that fails, and takes its background jobs with it.
func runTour(t *testing.T, folder, script string, environ ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	const endJobs = "trap 'jobs -p | xargs -r kill' EXIT\n"
	shell := exec.CommandContext(ctx, "bash", "-eu", "-o", "pipefail", "-c", endJobs+script)
	shell.Dir, shell.Env = folder, append(os.Environ(), environ...)
	var printed bytes.Buffer
	shell.Stdout, shell.Stderr = &printed, &printed
	shell.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	shell.Cancel = func() error { return syscall.Kill(-shell.Process.Pid, syscall.SIGKILL) }
	shell.WaitDelay = patience
	if err := shell.Run(); err != nil {
		t.Errorf("the tour's shell: %v", err)
	}
	return printed.String()
}

// compareOutput tells what is wrong with what a step printed, "" if nothing.
// Two programs that run at once may print in any order, so lines are compared
// without it. Blank lines do not count.
func compareOutput(printed, want string) string {
	lines := strings.FieldsFunc(printed, func(r rune) bool { return r == '\n' })
	lines = slices.DeleteFunc(lines, func(line string) bool { return strings.TrimSpace(line) == "" })
	for pattern := range strings.Lines(want) {
		pattern = strings.TrimSpace(pattern)
		if pattern == "" {
			continue
		}
		line := regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(pattern), "…", ".*") + "$")
		i := slices.IndexFunc(lines, line.MatchString)
		if i < 0 {
			return "was not printed: " + pattern
		}
		lines = slices.Delete(lines, i, i+1)
	}
	if len(lines) > 0 {
		return "was printed besides: " + lines[0]
	}
	return ""
}

func TestCompareOutput(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name          string
		printed, want string
		ok            bool
	}{
		{"the same text is as documented", "a\nb\n", "a\nb\n", true},
		{"lines of two programs come in any order", "b\na\n", "a\nb\n", true},
		{"what differs each time is left out", `{"id":"1","n":2}`, `{"id":"…","n":2}`, true},
		{"an ellipsis is no licence for the rest", `{"id":"1","n":3}`, `{"id":"…","n":2}`, false},
		{"a line too few is noticed", "a\n", "a\na\n", false},
		{"a line too many is noticed", "a\na\n", "a\n", false},
		{"a step that prints nothing prints nothing", "warning\n", "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if problem := compareOutput(tt.printed, tt.want); (problem == "") != tt.ok {
				t.Errorf("compareOutput(%q, %q) = %q, want ok %t", tt.printed, tt.want, problem, tt.ok)
			}
		})
	}
}

// keyRow is a row of the table of configuration keys.
var keyRow = regexp.MustCompile("(?m)^\\| `([a-z_.]+)` \\| `(INSTANTD_[A-Z_]+)` \\| (?:`([^`]*)`|–) \\|")

func TestReadmesListEveryKey(t *testing.T) {
	t.Parallel()
	defaults := DefaultConfig()
	keys := keysOf(&defaults)
	for _, file := range readmes {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		rows := keyRow.FindAllStringSubmatch(string(text), -1)
		if len(rows) != len(keys) {
			t.Errorf("%s lists %d keys, there are %d", file, len(rows), len(keys))
		}
		for _, k := range keys {
			i := slices.IndexFunc(rows, func(row []string) bool { return row[1] == k.path && row[2] == k.env })
			if i < 0 {
				t.Errorf("%s does not list %s as %s", file, k.path, k.env)
				continue
			}
			documented := reflect.New(k.field.Type()).Elem()
			if text := rows[i][3]; text != "" {
				if err := (key{k.path, k.env, documented}).set(text); err != nil {
					t.Errorf("%s: %s %v", file, k.path, err)
				}
			}
			if !reflect.DeepEqual(documented.Interface(), k.field.Interface()) {
				t.Errorf("%s: the default of %s is %v, not %v", file, k.path, k.field, documented)
			}
		}
	}
}

var (
	link       = regexp.MustCompile(`\]\(([^):#]+)[^)]*\)`)
	makeTarget = regexp.MustCompile("(?m)(?:`|^)make ([a-z]+)")
)

func TestDocumentsNameWhatExists(t *testing.T) {
	t.Parallel()
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append([]string{"../../CONTRIBUTING.md", "../../ARCHITECTURE.md"}, readmes...) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, to := range link.FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(file), to[1])); err != nil {
				t.Errorf("%s links to nothing: %v", file, err)
			}
		}
		for _, target := range makeTarget.FindAllStringSubmatch(string(text), -1) {
			if !regexp.MustCompile(`(?m)^` + target[1] + `:`).Match(makefile) {
				t.Errorf("%s: there is no make %s", file, target[1])
			}
		}
	}
}
