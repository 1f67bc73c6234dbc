package persistence

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"

	"instantd/protocol"
)

// diskOf is a store on a disk whose free bytes the test says, and its log.
func diskOf(t *testing.T, free *atomic.Int64) (*Store, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	o := options(t.TempDir())
	o.MinFree = 512 << 20
	o.Log = slog.New(slog.NewJSONHandler(&log, nil))
	o.free = func(string) (uint64, error) {
		if n := free.Load(); n >= 0 {
			return uint64(n), nil
		}
		return 0, errors.New("no such disk")
	}
	return open(t, o), &log
}

func TestFiguresOfTheDiskAreForTheOperator(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		free int64
		want string
	}{
		{"a disk that is nearly full", 300 << 20, "300 MiB free, 512 MiB needed"},
		{"a disk that cannot be measured", -1, "no such disk"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var free atomic.Int64
			free.Store(1 << 30)
			s, log := diskOf(t, &free)
			free.Store(c.free)
			s.disk.look()

			refused := <-hand(s, protocol.UserKey("ann"), 0, protocol.UserImported{})
			wantCode(t, refused, protocol.Unavailable)
			const told = "the server's disk is nearly full"
			for _, err := range []error{refused.err, s.files.disk.refusal()} {
				if err.Error() != told || protocol.ReasonOf(err) != told {
					t.Errorf("a client is told %q, want %q", err, told)
				}
			}
			if err := s.Ready(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Ready is %v, want it to contain %q", err, c.want)
			}
			if code := protocol.CodeOf(s.Ready()); code != protocol.Unavailable {
				t.Errorf("Ready has code %v", code)
			}
			closeStore(t, s) // nobody writes the log any more
			if !strings.Contains(log.String(), c.want) || strings.Contains(log.String(), "null") {
				t.Errorf("the log is\n%swant it to contain %q and nothing that is null", log, c.want)
			}
		})
	}
}
