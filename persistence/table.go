package persistence

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/dgraph-io/badger/v4"
	formats "github.com/dgraph-io/badger/v4/options"
	"github.com/dgraph-io/badger/v4/table"
)

// verifyTables verifies the checksums of all tables that Badger's manifest
// lists, before Badger opens them: it would panic over some kinds of damage in
// a goroutine of its own. Files that the manifest does not list are those of an
// interrupted compaction, and mean nothing.
func verifyTables(dir string) error {
	manifest, err := readManifest(filepath.Join(dir, badger.ManifestFilename))
	if err != nil {
		return err
	}
	for _, id := range slices.Sorted(maps.Keys(manifest.Tables)) {
		if err := verifyTable(table.NewFilename(id, dir), id, manifest.Tables[id].Compression); err != nil {
			return fmt.Errorf("table %s: %w", table.IDToFilename(id), err)
		}
	}
	return nil
}

func readManifest(name string) (badger.Manifest, error) {
	file, err := os.Open(name)
	if err != nil {
		return badger.Manifest{}, err
	}
	defer file.Close()
	const standard = 0 // the magic number of databases that chose none
	manifest, _, err := badger.ReplayManifestFile(file, standard, badger.DefaultOptions("").WithLogger(nil))
	if err != nil {
		return badger.Manifest{}, fmt.Errorf("manifest: %w", err)
	}
	return manifest, nil
}

func verifyTable(name string, id uint64, compression formats.CompressionType) (err error) {
	defer func() {
		if recover() != nil { // Badger counts on blocks that make sense
			err = errors.New("a block cannot be read")
		}
	}()
	data, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	opened, err := table.OpenInMemoryTable(data, id, &table.Options{Compression: compression})
	if err != nil {
		return err
	}
	return opened.VerifyChecksum()
}
