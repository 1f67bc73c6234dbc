package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// serve is a peer: it prints where it listens and ends with ctx.
type serve func(ctx context.Context, stdout io.Writer) error

// peers are what this program can be.
var peers = map[string]serve{
	"centrifuge": serveCentrifuge,
	"nats":       serveNATS,
	"jetstream":  serveJetStream,
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is one command line. It returns the exit status: 0 done, 1 failed, 2 not
// understood.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) != 1 || peers[args[0]] == nil {
		fmt.Fprintln(stderr, "usage: peers centrifuge|nats|jetstream")
		return 2
	}
	if err := peers[args[0]](ctx, stdout); err != nil {
		fmt.Fprintf(stderr, "peers %s: %v\n", args[0], err)
		return 1
	}
	return 0
}

// announce prints where clients connect to. "data" is the last line, as it is
// of instantd.
func announce(w io.Writer, address, dir string) error {
	_, err := fmt.Fprintf(w, "clients http://%s/\ndata %s\n", address, dir)
	return err
}
