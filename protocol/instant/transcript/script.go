package transcript

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// script is a scenario as it was written, and what it consists of.
type script struct {
	lines      []string // of the file, the first one is line 1
	statements []statement
}

// statement is one line of a scenario, continuation lines joined.
type statement struct {
	first, last int // line numbers
	text        string
}

// read takes a file apart. Comments are only kept in its lines.
func read(path string) (*script, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	s := &script{lines: strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")}
	for i, raw := range s.lines {
		trimmed := strings.TrimSpace(raw)
		if trimmed == "" || strings.HasPrefix(trimmed, "#") {
			continue
		}
		if raw[0] != ' ' && raw[0] != '\t' {
			s.statements = append(s.statements, statement{i + 1, i + 1, trimmed})
			continue
		}
		if len(s.statements) == 0 {
			return nil, fmt.Errorf("%s:%d: a continuation of nothing", path, i+1)
		}
		last := &s.statements[len(s.statements)-1]
		last.text += " " + trimmed
		last.last = i + 1
	}
	return s, nil
}

// replace writes other text in the place of a statement, or takes it out when
// the text is empty. Comments among its lines stay. Line numbers stay, too; write
// leaves out what is gone.
func (s *script) replace(old statement, text string) {
	for i := old.first; i <= old.last; i++ {
		if !strings.HasPrefix(strings.TrimSpace(s.lines[i-1]), "#") {
			s.lines[i-1] = gone
		}
	}
	if text != "" {
		s.lines[old.first-1] = text
	}
}

// gone is a line that no file holds.
const gone = "\x00"

func (s *script) write(path string) error {
	kept := slices.DeleteFunc(slices.Clone(s.lines), func(line string) bool { return line == gone })
	return os.WriteFile(path, []byte(strings.Join(kept, "\n")+"\n"), 0o644)
}

// cut takes the first word off a text.
func cut(text string) (word, rest string) {
	word, rest, _ = strings.Cut(strings.TrimSpace(text), " ")
	return word, strings.TrimSpace(rest)
}
