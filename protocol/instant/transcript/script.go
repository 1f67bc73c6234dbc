package transcript

import (
	"fmt"
	"os"
	"strings"
)

// line is one statement of a scenario, continuation lines joined.
type line struct {
	number int
	text   string
}

// read returns the statements of a file, without comments.
func read(path string) ([]line, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var lines []line
	for i, raw := range strings.Split(string(text), "\n") {
		trimmed := strings.TrimSpace(raw)
		if trimmed == "" || strings.HasPrefix(trimmed, "#") {
			continue
		}
		if raw[0] != ' ' && raw[0] != '\t' {
			lines = append(lines, line{i + 1, trimmed})
			continue
		}
		if len(lines) == 0 {
			return nil, fmt.Errorf("%s:%d: a continuation of nothing", path, i+1)
		}
		lines[len(lines)-1].text += " " + trimmed
	}
	return lines, nil
}

// cut takes the first word off a text.
func cut(text string) (word, rest string) {
	word, rest, _ = strings.Cut(strings.TrimSpace(text), " ")
	return word, strings.TrimSpace(rest)
}
