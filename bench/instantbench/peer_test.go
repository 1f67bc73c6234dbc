//go:build linux

package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// buildPeers makes the program of bench/peers, once.
var buildPeers = sync.OnceValues(func() (string, error) {
	binary := filepath.Join(buildDir, "peers")
	out, err := exec.Command("go", "build", "-C", "../peers", "-o", binary, ".").CombinedOutput()
	if err != nil {
		err = &exec.Error{Name: "go build: " + string(out), Err: err}
	}
	return binary, err
})

func TestFanoutOfOtherServers(t *testing.T) {
	binary, err := buildPeers()
	if err != nil {
		t.Fatal(err)
	}
	r := short(t, "fanout", "--members", "20", "--rate", "100", "--in-flight", "4",
		"--peers", "raw,centrifuge,nats,jetstream", "--peer-server", binary, "--data-parent", t.TempDir())
	if len(r.Rounds) != 8 || len(r.Checks) != 4 {
		t.Fatalf("%d phases, %d checks; want 8 and 4", len(r.Rounds), len(r.Checks))
	}
	for _, p := range r.Rounds {
		if p.Sent == 0 || p.Work != 20*p.Sent || p.Last.Count != int64(p.Sent) || p.Answer.Count != int64(p.Sent) {
			t.Errorf("%s, %s does not add up: %+v", p.Peer, p.Name, p)
		}
		if promisesOf(p.Peer) == "" {
			t.Errorf("nothing is known of what %s promises", p.Peer)
		}
	}
}

func TestPeersAreAskedForInVain(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		args []string
		want int
		says string
	}{
		{"a peer that nobody knows", []string{"--peers", "telegraph"}, 2, "telegraph"},
		{"a program that is not built", []string{"--peers", "nats", "--peer-server", "no-such-binary"}, 1, "go build -C bench/peers"},
		{"several senders to a peer that does not number", []string{"--peers", "raw,nats", "--senders", "2"}, 2, "nats does not"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var stdout, stderr strings.Builder
			got := run(t.Context(), append([]string{"fanout"}, tt.args...), &stdout, &stderr)
			if said := stdout.String() + stderr.String(); got != tt.want || !strings.Contains(said, tt.says) {
				t.Errorf("status %d and %q, want %d and %q", got, said, tt.want, tt.says)
			}
		})
	}
}
