package instant

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"

	"instantd/protocol"
)

func TestEveryCodeHasAStatusOfItsOwn(t *testing.T) {
	t.Parallel()
	taken := map[int]protocol.Code{}
	for _, code := range protocol.Codes {
		got := status(code)
		if got < 400 || got > 599 {
			t.Errorf("%v is answered with %d", code, got)
		}
		if other, twice := taken[got]; twice {
			t.Errorf("%v and %v are both answered with %d", code, other, got)
		}
		taken[got] = code
	}
}

func TestRefuse(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	Refuse(w, httptest.NewRequest("GET", "/", nil), protocol.RateLimited, "too many requests")
	if want := `{"code":429,"reason":"too many requests"}` + "\n"; w.Code != 429 || w.Body.String() != want || w.Header().Get("Retry-After") == "" {
		t.Errorf("got %d %s %v", w.Code, w.Body, w.Header())
	}
}

func TestADefectTellsTheOutsideNothing(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	d := New(Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	w := httptest.NewRecorder()
	d.refuse(w, httptest.NewRequest("GET", "/instant/ws?token=secret", nil), errors.New("disk on fire"))
	if want := `{"code":500,"reason":"internal error"}` + "\n"; w.Code != 500 || w.Body.String() != want {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	if !strings.Contains(log.String(), "disk on fire") || strings.Contains(log.String(), "secret") {
		t.Errorf("the log says %s", log.String())
	}
}
