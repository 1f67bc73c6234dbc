package instant

import (
	"testing"

	"instantd/protocol"
)

func TestParseToken(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]protocol.Token{
		"Tricolor<4aed382fead9ba96657c4d0a27f5ac82>": "4aed382fead9ba96657c4d0a27f5ac82",
		"Tricolor 4aed":        "4aed",
		"Tricolor4aed":         "4aed",
		"4aed":                 "4aed",
		"<4aed>":               "4aed",
		"tRICOLOR <4aed> ":     "4aed",
		" TRICOLOR<4aed":       "4aed",
		"":                     "",
		"Tricolor":             "",
		"Tricolor<>":           "",
		"tricolor tricolor<x>": "x",
		"a<b>":                 "a<b>",
		"trico":                "trico",
	} {
		if got := ParseToken(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}
