package transcript

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// names are the variables of a scenario, as text.
type names map[string]string

// expand replaces every $name in a request; the longest known name wins.
func (n names) expand(text string) string {
	known := slices.SortedFunc(maps.Keys(n), func(a, b string) int { return len(b) - len(a) })
	pairs := make([]string, 0, 2*len(known))
	for _, name := range known {
		pairs = append(pairs, "$"+name, n[name])
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// contract is the contrary of expand. Only values that are nothing else by
// chance are taken for names.
func (n names) contract(text string) string {
	var known []string
	for name, value := range n {
		if volatile.MatchString(value) {
			known = append(known, name)
		}
	}
	slices.SortFunc(known, func(a, b string) int {
		return cmp.Or(len(n[b])-len(n[a]), cmp.Compare(a, b))
	})
	pairs := make([]string, 0, 2*len(known))
	for _, name := range known {
		pairs = append(pairs, n[name], "$"+name)
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// match compares a JSON text with a pattern: "*" is anything, "$name" is bound
// at its first use and compared afterwards, the key "..." lets an object have
// more keys than the pattern. It binds names only if everything matches.
func (n names) match(pattern, got []byte) error {
	want, err := decode(pattern)
	if err != nil {
		return fmt.Errorf("the pattern is not JSON: %w", err)
	}
	value, err := decode(got)
	if err != nil {
		return fmt.Errorf("the answer is not JSON: %w", err)
	}
	bound := maps.Clone(n)
	if err := bound.compare("", want, value); err != nil {
		return err
	}
	maps.Copy(n, bound)
	return nil
}

// decode keeps numbers as they were written.
func decode(text []byte) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var v any
	return v, decoder.Decode(&v)
}

func (n names) compare(at string, want, got any) error {
	switch w := want.(type) {
	case string:
		return n.compareText(at, w, got)
	case map[string]any:
		return n.compareObject(at, w, got)
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			return fmt.Errorf("%s: want %d elements, got %s", at, len(w), show(got))
		}
		for i := range w {
			if err := n.compare(fmt.Sprintf("%s[%d]", at, i), w[i], g[i]); err != nil {
				return err
			}
		}
		return nil
	}
	if show(want) != show(got) {
		return fmt.Errorf("%s: want %s, got %s", at, show(want), show(got))
	}
	return nil
}

func (n names) compareText(at, want string, got any) error {
	if want == "*" {
		return nil
	}
	name, variable := strings.CutPrefix(want, "$")
	if !variable {
		if text, ok := got.(string); !ok || text != n.expand(want) {
			return fmt.Errorf("%s: want %q, got %s", at, n.expand(want), show(got))
		}
		return nil
	}
	text := plain(got)
	if former, bound := n[name]; bound && former != text {
		return fmt.Errorf("%s: want $%s = %q, got %s", at, name, former, show(got))
	}
	n[name] = text
	return nil
}

func (n names) compareObject(at string, want map[string]any, got any) error {
	g, ok := got.(map[string]any)
	if !ok {
		return fmt.Errorf("%s: want an object, got %s", at, show(got))
	}
	_, open := want["..."]
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if key == "..." {
			continue
		}
		value, present := g[key]
		if !present {
			return fmt.Errorf("%s: %q is missing in %s", at, key, show(got))
		}
		if err := n.compare(at+"."+key, want[key], value); err != nil {
			return err
		}
	}
	for key := range g {
		if _, known := want[key]; !known && !open {
			return fmt.Errorf("%s: %q is too much in %s", at, key, show(got))
		}
	}
	return nil
}

// plain is a string or number as text.
func plain(v any) string {
	if text, ok := v.(string); ok {
		return text
	}
	return show(v)
}
