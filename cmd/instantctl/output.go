package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// output is where a command writes: results to stdout, progress to stderr.
type output struct {
	stdout io.Writer
	stderr io.Writer
	json   bool
}

// show prints a result: as JSON when that was asked for, otherwise as human
// writes it.
func (o *output) show(result any, human func(w io.Writer)) error {
	if o.json {
		encoder := json.NewEncoder(o.stdout)
		encoder.SetIndent("", "  ")
		return encoder.Encode(result)
	}
	table := tabwriter.NewWriter(o.stdout, 0, 8, 2, ' ', 0)
	human(table)
	return table.Flush()
}

// progress returns a bar on a terminal and silence elsewhere. A total of -1 is
// unknown.
func (o *output) progress(total int64, what string, bytes bool) *progressbar.ProgressBar {
	terminal, ok := o.stderr.(*os.File)
	if !ok || !term.IsTerminal(int(terminal.Fd())) {
		return progressbar.DefaultSilent(total, what)
	}
	return progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(o.stderr),
		progressbar.OptionSetDescription(what),
		progressbar.OptionShowBytes(bytes),
		progressbar.OptionShowCount(),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionClearOnFinish(),
	)
}

func timeText(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") }

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func line(w io.Writer, name, format string, args ...any) {
	fmt.Fprintf(w, "%s\t%s\n", name, fmt.Sprintf(format, args...))
}
