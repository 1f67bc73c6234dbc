package transcript

import (
	"encoding/json"
	"regexp"
	"strings"
	"unicode/utf8"
)

// mismatch is an answer other than the one that a line expects. recorded is the
// line as it fits the answer: several lines when more came, empty when nothing
// came.
type mismatch struct {
	cause    error
	recorded string
}

func (m *mismatch) Error() string { return m.cause.Error() }
func (m *mismatch) Unwrap() error { return m.cause }

// width is where a recorded line is broken.
const width = 140

// recorder writes answers as patterns that the next play matches too.
type recorder struct {
	names names
	again bool // what differs now was recorded a moment ago: it differs in every play
}

// line is the line that begins with start and expects got. What the former
// pattern left open stays open; without a pattern everything is written out.
// An answer that is no JSON leaves only the start.
func (r *recorder) line(start, pattern string, got []byte) string {
	value, err := decodeOrdered(got)
	if err != nil {
		return start
	}
	if former, err := decodeOrdered([]byte(pattern)); err == nil {
		value = r.merge(former, value)
	} else {
		value = r.generalize(value)
	}
	line, column := start+" ", utf8.RuneCountInString(start)+1
	for i, piece := range pieces(value) {
		size := utf8.RuneCountInString(piece)
		if i > 0 && column+size > width {
			line, column = line+"\n    ", 4
		}
		line, column = line+piece, column+size
	}
	return line
}

// merge is a pattern, changed where the answer differs. It binds the names that
// the pattern keeps.
func (r *recorder) merge(want, got any) any {
	switch w := want.(type) {
	case string:
		return r.mergeText(w, got)
	case object:
		if g, same := got.(object); same {
			return r.mergeObject(w, g)
		}
	case list:
		if g, same := got.(list); same {
			return r.mergeList(w, g)
		}
	default:
		if want == got {
			return want
		}
	}
	return r.generalize(got)
}

func (r *recorder) mergeText(want string, got any) any {
	if want == "*" {
		return want
	}
	name, variable := strings.CutPrefix(want, "$")
	if !variable {
		if got == r.names.expand(want) {
			return want
		}
		return r.generalize(got)
	}
	switch got.(type) {
	case object, list:
		return r.generalize(got)
	}
	if former, bound := r.names[name]; bound && former != plain(got) {
		return r.generalize(got)
	}
	r.names[name] = plain(got)
	return want
}

func (r *recorder) mergeObject(want, got object) object {
	var recorded object
	for _, w := range want {
		if w.key == "..." {
			recorded = append(recorded, w)
		} else if value, present := got.find(w.key); present {
			recorded = append(recorded, member{w.key, r.merge(w.value, value)})
		}
	}
	if _, open := want.find("..."); open {
		return recorded
	}
	for _, g := range got {
		if _, known := want.find(g.key); !known {
			recorded = append(recorded, member{g.key, r.generalize(g.value)})
		}
	}
	return recorded
}

func (r *recorder) mergeList(want, got list) list {
	var recorded list
	for i, g := range got {
		if i < len(want) {
			recorded = append(recorded, r.merge(want[i], g))
		} else {
			recorded = append(recorded, r.generalize(g))
		}
	}
	return recorded
}

// generalize is the pattern for an answer that has none.
func (r *recorder) generalize(got any) any {
	switch g := got.(type) {
	case object:
		return r.mergeObject(nil, g)
	case list:
		return r.mergeList(nil, g)
	case string:
		return r.generalizeText(g)
	case json.Number:
		if text := r.generalizeText(g.String()); text != g.String() {
			return text
		}
	}
	return got
}

// volatile are ids, times and random names: what no two plays have in common.
var volatile = regexp.MustCompile(`[0-9]{10}|[0-9a-f]{16}`)

// generalizeText puts names in the place of their values, and "*" in the place
// of what would differ in the next play.
func (r *recorder) generalizeText(text string) string {
	replaced := r.names.contract(text)
	name, variable := strings.CutPrefix(replaced, "$")
	if variable && r.names[name] == text {
		return replaced
	}
	if r.again || variable || volatile.MatchString(replaced) {
		return "*"
	}
	return replaced
}
