// Command instantd is the real-time messaging server.
//
//	instantd -config FILE   run; SIGTERM drains, a second one ends at once
//	instantd -check         tell what is wrong with the configuration
//	instantd -version
//
// Reading the configuration is config.go; everything that runs is wired in
// server.go, and nothing else in this module knows all packages.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	_ "time/tzdata" // the zone of times on the wire must be known on every machine

	"golang.org/x/term"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal finds nobody who waits for it, and ends the process
	os.Exit(run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}

// run is the program: it serves until ctx ends and returns the exit status, 0
// done, 1 failed, 2 not understood.
func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("instantd", flag.ContinueOnError)
	flags.SetOutput(stderr)
	path := flags.String("config", "", "configuration `file`; the environment wins over it")
	check := flags.Bool("check", false, "check the configuration and exit")
	version := flags.Bool("version", false, "print the version and exit")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return 0
	} else if err != nil {
		return 2
	}
	if flags.NArg() > 0 {
		fmt.Fprintf(stderr, "instantd: %q is not understood; the configuration is named with -config\n", flags.Arg(0))
		return 2
	}
	if *version {
		fmt.Fprintf(stdout, "instantd %s\n", buildVersion())
		return 0
	}
	config, err := LoadConfig(*path, environ)
	if err == nil {
		err = config.Validate()
	}
	if err != nil {
		fmt.Fprintf(stderr, "instantd: %v\n", err)
		return 1
	}
	if *check {
		fmt.Fprintln(stdout, "the configuration can be used")
		return 0
	}
	server, err := New(config, newLog(config, stderr))
	if err != nil {
		fmt.Fprintf(stderr, "instantd: %v\n", err)
		return 1
	}
	server.PrintAddresses(stdout)
	if err := server.Run(ctx); err != nil {
		fmt.Fprintf(stderr, "instantd: %v\n", err)
		return 1
	}
	return 0
}

// newLog writes text for people and JSON for machines. config is valid.
func newLog(config Config, w io.Writer) *slog.Logger {
	level, _ := config.LogLevel()
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: readable}
	text := config.Log.Format == "text"
	if file, ok := w.(*os.File); ok && config.Log.Format == "auto" {
		text = term.IsTerminal(int(file.Fd()))
	}
	if text {
		return slog.New(slog.NewTextHandler(w, options))
	}
	return slog.New(slog.NewJSONHandler(w, options))
}

// readable writes durations with their unit, which JSON alone would not.
func readable(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		return slog.String(a.Key, a.Value.Duration().String())
	}
	return a
}

// buildVersion is the version that the program was built from.
func buildVersion() string {
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return build.Main.Version + ", " + build.GoVersion
}
