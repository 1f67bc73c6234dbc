package instant

import (
	"testing"

	"instantd/protocol/instant/transcript"
)

func TestTranscript(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	transcript.RunAll(t, transcript.Server{URL: s.main.URL, AdminURL: s.admin.URL, AdminSecret: adminSecret}, "testdata")
}
