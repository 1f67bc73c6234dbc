//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// commands is the command line.
type commands struct {
	Fanout  fanoutCommand  `cmd:"" help:"One group whose members are all online, one sender: until when has the last one read?"`
	Send    sendCommand    `cmd:"" help:"Durable answers without receivers, one at a time and with many publishers."`
	Chat    chatCommand    `cmd:"" help:"Many small groups, some busier than others: sends and reads of history."`
	Connect connectCommand `cmd:"" help:"Storms of sessions: everybody connects at once, and returns to what was missed."`
	Idle    idleCommand    `cmd:"" help:"The server's memory for each session that does nothing."`
	History historyCommand `cmd:"" help:"Pages of history at the beginning and at the end of a long conversation."`
	Goals   goalsCommand   `cmd:"" help:"Everything that the goals need, and how far they are reached."`
	Raw     rawCommand     `cmd:"" hidden:"" help:"Be the raw peer; fanout starts it."`
}

// output is where a command writes: results to stdout, progress to stderr.
type output struct {
	stdout, stderr io.Writer
	args           []string // the command line, for the record
}

// run parses and executes one command line and returns the exit status: 0 done,
// 1 failed, 2 not understood.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var line commands
	exit := -1
	parser, err := kong.New(&line,
		kong.Name("instantbench"),
		kong.Description("Put load on an instantd server and measure it."),
		kong.Vars{"trials": strings.Join(trialNames(), ", ")},
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { exit = code }),
	)
	if err != nil {
		fmt.Fprintf(stderr, "instantbench: %v\n", err)
		return 2
	}
	parsed, err := parser.Parse(args)
	if exit >= 0 {
		return exit // --help was printed
	}
	if err != nil {
		fmt.Fprintf(stderr, "instantbench: %v\nTry instantbench --help.\n", err)
		return 2
	}
	parsed.BindTo(ctx, (*context.Context)(nil))
	if err := parsed.Run(&output{stdout: stdout, stderr: stderr, args: args}); err != nil {
		fmt.Fprintf(stderr, "instantbench: %v\n", err)
		return 1
	}
	return 0
}
