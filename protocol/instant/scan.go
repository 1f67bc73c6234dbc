package instant

import (
	"bytes"
	"encoding/json"
	"iter"
)

// A scanner over JSON that checkJSON has found valid. encoding/json would read
// every value again at each level.

// begins tells whether a value is of the kind that begins with c.
func begins(raw []byte, c byte) bool {
	i := blank(raw, 0)
	return i < len(raw) && raw[i] == c
}

// elements are the members of an object, or the elements of an array without
// keys. Keys have their quotes.
func elements(raw []byte) iter.Seq2[[]byte, json.RawMessage] {
	return func(yield func([]byte, json.RawMessage) bool) {
		i := blank(raw, 0)
		keyed := raw[i] == '{'
		for i = blank(raw, i+1); raw[i] != '}' && raw[i] != ']'; {
			var key []byte
			if keyed {
				end := afterString(raw, i)
				key = raw[i:end]
				i = blank(raw, blank(raw, end)+1) // past the colon
			}
			end := afterValue(raw, i)
			if !yield(key, raw[i:end:end]) {
				return
			}
			if i = blank(raw, end); raw[i] == ',' {
				i = blank(raw, i+1)
			}
		}
	}
}

// blank is the first place from i on that is no blank.
func blank(raw []byte, i int) int {
	for i < len(raw) && (raw[i] == ' ' || raw[i] == '\t' || raw[i] == '\n' || raw[i] == '\r') {
		i++
	}
	return i
}

// afterString is the place behind the string that begins at i.
func afterString(raw []byte, i int) int {
	for i++; raw[i] != '"'; i++ {
		if raw[i] == '\\' {
			i++
		}
	}
	return i + 1
}

// afterValue is the place behind the value that begins at i.
func afterValue(raw []byte, i int) int {
	switch raw[i] {
	case '"':
		return afterString(raw, i)
	case '{', '[':
		for depth := 0; ; i++ {
			switch raw[i] {
			case '"':
				i = afterString(raw, i) - 1
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return i + 1
				}
			}
		}
	}
	for i < len(raw) && !ends(raw[i]) {
		i++
	}
	return i
}

// unquote is the text of a string.
func unquote(raw []byte) string {
	raw = bytes.TrimSpace(raw)
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1])
	}
	var text string
	_ = json.Unmarshal(raw, &text) // it is valid
	return text
}

// ends tells whether c follows a number or a word.
func ends(c byte) bool {
	switch c {
	case ',', ']', '}', ' ', '\t', '\n', '\r':
		return true
	}
	return false
}
