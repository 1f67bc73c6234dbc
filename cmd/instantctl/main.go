// Command instantctl is the operator's tool: it imports users, logs them in
// and out, shows what the server knows, and makes, restores and checks backups.
//
// Most commands talk to a running server's admin listener. restore and check
// work on a data folder that no server holds.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
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
	globals

	User         userCommands         `cmd:"" help:"Import, log in, log out and show users."`
	Conversation conversationCommands `cmd:"" help:"Show conversations."`
	History      historyCommand       `cmd:"" help:"Show messages of a conversation, newest first."`
	Trace        traceCommand         `cmd:"" help:"Show what became of a message."`
	Backup       backupCommand        `cmd:"" help:"Save a consistent copy of a running server's state."`
	Restore      restoreCommand       `cmd:"" help:"Make a data folder from a backup."`
	Check        checkCommand         `cmd:"" help:"Verify a data folder that no server holds."`
	Version      versionCommand       `cmd:"" help:"Print the version."`
}

// run parses and executes one command line and returns the exit status: 0 done,
// 1 failed, 2 not understood.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var line commands
	exit := -1
	parser, err := kong.New(&line,
		kong.Name("instantctl"),
		kong.Description("Operate an instantd server."),
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { exit = code }),
		kong.UsageOnError(),
	)
	if err != nil {
		fmt.Fprintf(stderr, "instantctl: %v\n", err)
		return 2
	}
	parsed, err := parser.Parse(args)
	if exit >= 0 {
		return exit // --help was printed
	}
	if err != nil {
		fmt.Fprintf(stderr, "instantctl: %v\nTry instantctl --help.\n", err)
		return 2
	}
	parsed.BindTo(ctx, (*context.Context)(nil))
	out := &output{stdout: stdout, stderr: stderr, json: line.JSON}
	if err := parsed.Run(&line.globals, out); err != nil {
		fmt.Fprintf(stderr, "instantctl: %v\n", err)
		return 1
	}
	return 0
}
