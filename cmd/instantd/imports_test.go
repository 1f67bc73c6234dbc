package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "instantd"

// mayImport is the import law, for folders relative to the module: everything
// imports protocol, protocol imports nothing of ours, siblings do not know
// each other, and only cmd and bench see them all.
func mayImport(folder, imported string) bool {
	owner := owner(folder)
	switch {
	case imported == owner || strings.HasPrefix(imported, owner+"/"):
		return owner != "protocol" || imported == "protocol" // a dialect is no part of the language
	case owner == "cmd" || owner == "bench":
		return true
	case owner == "protocol":
		return false
	}
	return imported == "protocol"
}

// owner is the part of the module that a folder belongs to: its first folder,
// or for dialects the first two.
func owner(folder string) string {
	parts := strings.Split(folder, "/")
	if parts[0] == "protocol" && len(parts) > 1 {
		return "protocol/" + parts[1]
	}
	return parts[0]
}

func TestMayImport(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name             string
		folder, imported string
		want             bool
	}{
		{"a sibling imports the language", "actors", "protocol", true},
		{"a dialect imports the language", "protocol/instant", "protocol", true},
		{"a dialect imports its own parts", "protocol/instant", "protocol/instant/transcript", true},
		{"a dialect's part imports the dialect", "protocol/tlim/xmpp", "protocol/tlim", true},
		{"a program imports everything", "cmd/instantctl", "persistence", true},
		{"siblings do not know each other", "actors", "persistence", false},
		{"a sibling knows no dialect", "web", "protocol/instant", false},
		{"dialects do not know each other", "protocol/tlim", "protocol/instant", false},
		{"a dialect knows no transport", "protocol/instant", "web", false},
		{"the language imports nothing of ours", "protocol", "actors", false},
		{"the language knows no dialect", "protocol", "protocol/instant", false},
		{"nobody imports a program", "actors", "cmd/operator", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := mayImport(tt.folder, tt.imported); got != tt.want {
				t.Errorf("mayImport(%s, %s) = %t, want %t", tt.folder, tt.imported, got, tt.want)
			}
		})
	}
}

func TestImportLaw(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	seen := map[string]bool{}
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() {
			if file != root && (strings.HasPrefix(name, ".") || slices.Contains([]string{"bin", "data", "testdata"}, name)) {
				return fs.SkipDir
			}
			if slices.Contains([]string{"util", "utils", "common", "helper", "helpers", "misc"}, name) {
				t.Errorf("%s has no noun for a name", file)
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil // a test may use the real part that it is joined with in cmd
		}
		relative, err := filepath.Rel(root, filepath.Dir(file))
		if err != nil {
			return err
		}
		folder := filepath.ToSlash(relative)
		seen[owner(folder)] = true
		for _, imported := range importsOf(t, file) {
			if !mayImport(folder, imported) {
				t.Errorf("%s imports %s", path.Join(folder, name), imported)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{"actors", "persistence", "protocol", "protocol/instant", "web", "cmd"} {
		if !seen[folder] {
			t.Errorf("%s was not looked at", folder)
		}
	}
}

// importsOf are the folders of this module that a file imports.
func importsOf(t *testing.T, file string) []string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
	if err != nil {
		t.Errorf("parse %s: %v", file, err)
		return nil
	}
	var folders []string
	for _, spec := range parsed.Imports {
		name, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Errorf("import of %s: %v", file, err)
		}
		if folder, ours := strings.CutPrefix(name, module+"/"); ours {
			folders = append(folders, folder)
		}
	}
	return folders
}
