package instant

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestSpecAndCodeCiteEachOther: every numbered section of SPEC.md is cited by
// the code that serves it, and no citation leads nowhere.
func TestSpecAndCodeCiteEachOther(t *testing.T) {
	t.Parallel()
	spec, err := os.ReadFile("SPEC.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]bool{}
	for _, found := range regexp.MustCompile(`(?m)^#+ (\d+(?:\.\d+)?)\.? `).FindAllSubmatch(spec, -1) {
		sections[string(found[1])] = false
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, citation := range regexp.MustCompile(`SPEC (§[\d.]+(?:, §[\d.]+)*)`).FindAllSubmatch(text, -1) {
			for _, one := range strings.Split(string(citation[1]), ", ") {
				section := strings.TrimRight(strings.TrimPrefix(one, "§"), ".")
				if _, known := sections[section]; !known {
					t.Errorf("%s cites §%s, which SPEC.md does not have", file, section)
				}
				sections[section] = true
				sections[strings.SplitN(section, ".", 2)[0]] = true
			}
		}
	}
	for section, cited := range sections {
		if !cited {
			t.Errorf("nobody cites §%s of SPEC.md", section)
		}
	}
}
