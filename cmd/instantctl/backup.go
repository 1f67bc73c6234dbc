package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"instantd/persistence"
)

type backupCommand struct {
	File string `arg:"" help:"The file to write. It must not exist."`
}

// saved is what backup and restore print.
type saved struct {
	Path  string `json:"path"`
	Bytes int64  `json:"bytes"`
}

// Run writes to a partial file first: a backup that exists under its name is
// whole.
func (c *backupCommand) Run(ctx context.Context, g *globals, out *output) error {
	client, err := g.client()
	if err != nil {
		return err
	}
	if _, err := os.Lstat(c.File); !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%s exists already", c.File)
	}
	partial, err := os.OpenFile(c.File+".partial", os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("create the backup: %w", err)
	}
	defer os.Remove(partial.Name()) // gone already when all went well
	defer partial.Close()

	bar := out.progress(-1, "backup", true)
	size, err := client.Backup(ctx, io.MultiWriter(partial, bar))
	if err != nil {
		return err
	}
	if err := errors.Join(partial.Sync(), partial.Close()); err != nil {
		return fmt.Errorf("write the backup: %w", err)
	}
	if err := os.Rename(partial.Name(), c.File); err != nil {
		return fmt.Errorf("name the backup: %w", err)
	}
	if err := syncFolder(filepath.Dir(c.File)); err != nil {
		return err
	}
	_ = bar.Finish()
	return out.show(saved{c.File, size}, func(w io.Writer) {
		fmt.Fprintf(w, "%s holds %d bytes\n", c.File, size)
	})
}

// syncFolder makes names in a folder durable.
func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("sync the folder of the backup: %w", err)
	}
	defer folder.Close()
	if err := folder.Sync(); err != nil {
		return fmt.Errorf("sync the folder of the backup: %w", err)
	}
	return nil
}

type restoreCommand struct {
	File string `arg:"" help:"A file that backup wrote."`
	Data string `env:"INSTANTD_DATA_DIR" placeholder:"DIR" help:"The data folder to make; it must be missing or empty."`
}

func (c *restoreCommand) Run(ctx context.Context, g *globals, out *output) error {
	dir, err := g.dataDir(c.Data)
	if err != nil {
		return err
	}
	backup, err := os.Open(c.File)
	if err != nil {
		return fmt.Errorf("open the backup: %w", err)
	}
	defer backup.Close()
	stat, err := backup.Stat()
	if err != nil {
		return fmt.Errorf("open the backup: %w", err)
	}
	bar := out.progress(stat.Size(), "restore", true)
	if err := persistence.Restore(ctx, dir, backup, func(done int64) { _ = bar.Set64(done) }); err != nil {
		return err
	}
	_ = bar.Finish()
	return out.show(saved{dir, stat.Size()}, func(w io.Writer) {
		fmt.Fprintf(w, "%s is restored from %s\n", dir, c.File)
	})
}

type checkCommand struct {
	Data string `env:"INSTANTD_DATA_DIR" placeholder:"DIR" help:"The data folder to verify. No server may hold it."`
}

// Run prints what the folder holds and everything that is wrong with it.
func (c *checkCommand) Run(g *globals, out *output) error {
	dir, err := g.dataDir(c.Data)
	if err != nil {
		return err
	}
	report, err := persistence.Check(dir)
	if err != nil {
		return err
	}
	err = out.show(report, func(w io.Writer) {
		line(w, "conversations", "%d", report.Conversations)
		line(w, "records", "%d", report.Records)
		line(w, "members", "%d", report.Members)
		line(w, "users", "%d", report.Users)
		line(w, "tokens", "%d", report.Tokens)
		line(w, "problems", "%d", len(report.Problems))
		for _, problem := range report.Problems {
			fmt.Fprintln(w, problem)
		}
	})
	if err == nil && !report.OK() {
		err = fmt.Errorf("%s has %d problems", dir, len(report.Problems))
	}
	return err
}
