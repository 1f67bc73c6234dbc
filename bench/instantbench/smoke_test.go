//go:build linux

package main

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The raw peer is this very program in another process.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "raw" {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
	}
	var err error
	if buildDir, err = os.MkdirTemp("", "instantbench-test-"); err != nil {
		panic(err)
	}
	status := m.Run()
	_ = os.RemoveAll(buildDir)
	os.Exit(status)
}

var buildDir string // set before any test runs

// build builds the server once for all tests.
var build = sync.OnceValues(func() (string, error) {
	binary := filepath.Join(buildDir, "instantd")
	out, err := exec.Command("go", "build", "-o", binary, "instantd/cmd/instantd").CombinedOutput()
	if err != nil {
		err = &exec.Error{Name: "go build: " + string(out), Err: err}
	}
	return binary, err
})

// bench runs a command line against a server of its own and returns its report.
func bench(t *testing.T, args ...string) report {
	t.Helper()
	server, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return short(t, append(args, "--server", server, "--config", "../../configs/dev.yaml", "--data-parent", t.TempDir())...)
}

// short runs a command line for a short time and returns its report.
func short(t *testing.T, args ...string) report {
	t.Helper()
	saved := filepath.Join(t.TempDir(), "report.json")
	var stdout, stderr strings.Builder
	args = append(args, "--rounds", "1", "--duration", "300ms", "--warmup", "100ms", "--out", saved)
	if status := run(t.Context(), args, &stdout, &stderr); status != 0 {
		t.Fatalf("status %d\n%s%s", status, stdout.String(), stderr.String())
	}
	text, err := os.ReadFile(saved)
	if err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(stdout.String(), r.Title) {
		t.Errorf("the printed report has no title:\n%s", stdout.String())
	}
	return r
}

func TestFanout(t *testing.T) {
	for _, sender := range []string{"ws", "rest"} {
		t.Run("from "+sender, func(t *testing.T) {
			r := bench(t, "fanout", "--members", "20", "--rate", "100", "--in-flight", "4", "--sender", sender, "--senders", "2")
			if len(r.Rounds) != 6 || len(r.Checks) != 3 || len(r.Ratios) == 0 {
				t.Fatalf("%d phases, %d checks, %d ratios; want 6, 3 and some", len(r.Rounds), len(r.Checks), len(r.Ratios))
			}
			for _, p := range r.Rounds {
				if p.Sent == 0 || p.Work != 20*p.Sent || p.Last.Count != int64(p.Sent) || p.Each.Count != int64(p.Work) || p.Answer.Count != int64(p.Sent) {
					t.Errorf("%s, %s does not add up: %+v", p.Peer, p.Name, p)
				}
				if p.Name == phaseOpen && p.Sent != 30 {
					t.Errorf("%s: %g messages, want 100 a second for 300 ms", p.Peer, p.Sent)
				}
			}
		})
	}
}

func TestSend(t *testing.T) {
	r := bench(t, "send", "--publishers", "1,8")
	if len(r.Rounds) != 4 {
		t.Fatalf("%d phases, want 4", len(r.Rounds))
	}
	for _, p := range r.Rounds {
		if p.Sent == 0 || p.Answer.Count != int64(p.Sent) || p.Answer.P50 <= 0 {
			t.Errorf("%s does not add up: %+v", p.Name, p)
		}
	}
}

func TestSendIntoOneGroup(t *testing.T) {
	if r := bench(t, "send", "--publishers", "4", "--over", "ws", "--shared"); r.Rounds[0].Sent == 0 {
		t.Error("nothing was sent")
	}
}

func TestRunningServer(t *testing.T) {
	binary, err := build()
	if err != nil {
		t.Fatal(err)
	}
	server, err := startProcess("instantd", binary, nil, []string{
		"INSTANTD_DATA_DIR=" + t.TempDir(), "INSTANTD_ADMIN_SECRET=a secret of this test",
		"INSTANTD_HTTP_ADDR=127.0.0.1:0", "INSTANTD_ADMIN_ADDR=127.0.0.1:0", "INSTANTD_OPS_ADDR=127.0.0.1:0",
	})
	if err != nil {
		t.Fatal(err)
	}
	profile := filepath.Join(t.TempDir(), "cpu.prof")
	r := short(t, "fanout", "--members", "5", "--peers", "instantd", "--cpu-profile", profile,
		"--url", server.addresses["clients"], "--secret", "a secret of this test",
		"--admin", strings.TrimSuffix(server.addresses["admin"], "/instant/base"),
		"--ops", strings.TrimSuffix(server.addresses["ops"], "/readyz"))
	if err := server.stop(); err != nil {
		t.Error(err)
	}
	if len(r.Rounds) != 2 || r.Rounds[0].Cost.Server != 0 {
		t.Errorf("%+v, want two phases whose server CPU is not known", r.Rounds)
	}
	if info, err := os.Stat(profile); err != nil || info.Size() == 0 {
		t.Errorf("there is no profile: %v", err)
	}
}

func TestCommandLine(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		args []string
		want int
		says string
	}{
		{"help is no failure", []string{"--help"}, 0, "fanout"},
		{"a scenario is needed", nil, 2, "--help"},
		{"an unknown flag is refused", []string{"fanout", "--nonsense"}, 2, "nonsense"},
		{"a group of one is no fan-out", []string{"fanout", "--members", "1"}, 2, "--members"},
		{"a load of nothing is refused", []string{"fanout", "--rate", "0", "--in-flight", "0"}, 2, "nothing to do"},
		{"an endless run is refused", []string{"send", "--duration", "10000h"}, 2, "--duration"},
		{"a server that is not there", []string{"send", "--server", "/nonexistent/instantd"}, 1, "/nonexistent/instantd"},
		{"a server that prints nothing", []string{"send", "--server", "/bin/true", "--config="}, 1, "no address"},
		{"load stays on this machine", []string{"send", "--url", "http://192.0.2.1:80", "--admin", "http://192.0.2.1:81"}, 1, "loopback only"},
		{"a running server needs a secret", []string{"send", "--url", "http://127.0.0.1:1", "--admin", "http://127.0.0.1:2"}, 1, "INSTANTD_ADMIN_SECRET"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var stdout, stderr strings.Builder
			got := run(t.Context(), tt.args, &stdout, &stderr)
			if said := stdout.String() + stderr.String(); got != tt.want || !strings.Contains(said, tt.says) {
				t.Errorf("status %d and %q, want %d and %q", got, said, tt.want, tt.says)
			}
		})
	}
}

func TestPaceKeepsTheSchedule(t *testing.T) {
	t.Parallel()
	begin := now()
	var dues []int64
	err := pace(t.Context(), begin, begin+int64(20*time.Millisecond), 5*time.Millisecond, func(i int, due int64) error {
		if now() < due {
			t.Errorf("call %d comes %s early", i, time.Duration(due-now()))
		}
		dues = append(dues, due-begin)
		return nil
	})
	if err != nil || len(dues) != 4 || dues[3] != int64(15*time.Millisecond) {
		t.Errorf("pace = %v at %v", err, dues)
	}
}
