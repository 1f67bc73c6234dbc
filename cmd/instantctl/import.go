package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// importBatch is how many users one request carries.
const importBatch = 500

type importCommand struct {
	File string `arg:"" help:"CSV with the columns standard_id,name,sex,platform_id, or JSON with a list of such objects."`
	Dry  bool   `name:"check" help:"Only check the file."`
}

// imported is what import prints.
type imported struct {
	Users int `json:"imported"`
	Of    int `json:"of"`
}

// Run reads the whole file before it sends anything: a file with a bad line
// imports nobody.
func (c *importCommand) Run(ctx context.Context, g *globals, out *output) error {
	people, err := readPeople(c.File)
	if err != nil {
		return err
	}
	if c.Dry {
		return out.show(imported{0, len(people)}, func(w io.Writer) {
			fmt.Fprintf(w, "%s holds %d users and can be imported\n", c.File, len(people))
		})
	}
	client, err := g.client()
	if err != nil {
		return err
	}
	bar := out.progress(int64(len(people)), "import", false)
	done := 0
	for batch := range slices.Chunk(people, importBatch) {
		if err := client.Base(ctx, "user_import", batch); err != nil {
			return fmt.Errorf("%d of %d users are imported; stopped at those from line %d: %w\nNothing is lost: import the file again, users that exist are only updated", done, len(people), batch[0].line, err)
		}
		done += len(batch)
		_ = bar.Add(len(batch)) // a bar that cannot be drawn is no reason to stop
	}
	_ = bar.Finish()
	return out.show(imported{done, len(people)}, func(w io.Writer) { fmt.Fprintf(w, "%d users are imported\n", done) })
}

// readPeople reads a file of users by its extension.
func readPeople(path string) ([]person, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the users: %w", err)
	}
	var people []person
	switch strings.ToLower(filepath.Ext(path)) {
	case ".csv":
		people, err = decodeCSV(text)
	case ".json":
		people, err = decodeJSON(text)
	default:
		return nil, fmt.Errorf("%s is neither a .csv nor a .json file", path)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(people) == 0 {
		return nil, fmt.Errorf("%s holds no users", path)
	}
	return people, nil
}
