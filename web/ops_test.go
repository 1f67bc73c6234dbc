package web

import (
	"errors"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func TestOps(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	NewMetrics(registry).FrameSent("sse", 100)
	ok := Check{Name: "store", Run: func() error { return nil }}
	away := Check{Name: "broker", Run: func() error { return errors.New("no connection since 12:00") }}
	optional := away
	optional.Optional = true
	for _, row := range []struct {
		name, method, path, peer string
		checks                   []Check
		status                   int
		body                     string // contained
	}{
		{"metrics are shown", "GET", "/metrics", "192.0.2.1:1", nil, 200, `instantd_frame_bytes_sent_total{transport="sse"} 100`},
		{"a process that answers is healthy", "GET", "/healthz", "192.0.2.1:1", []Check{away}, 200, "ok\n"},
		{"without checks it is ready", "GET", "/readyz", "192.0.2.1:1", nil, 200, `{"ready":true,"checks":[]}`},
		{"ready when every check passes", "GET", "/readyz", "192.0.2.1:1", []Check{ok}, 200,
			`{"ready":true,"checks":[{"name":"store","ok":true}]}`},
		{"not ready when one fails, with its reason", "GET", "/readyz", "192.0.2.1:1", []Check{ok, away}, 503,
			`{"ready":false,"checks":[{"name":"store","ok":true},{"name":"broker","ok":false,"reason":"no connection since 12:00"}]}`},
		{"ready when an optional one fails, with its reason", "GET", "/readyz", "192.0.2.1:1", []Check{optional, ok}, 200,
			`{"ready":true,"checks":[{"name":"broker","ok":false,"reason":"no connection since 12:00"},{"name":"store","ok":true}]}`},
		{"nothing is changed by a POST", "POST", "/readyz", "192.0.2.1:1", nil, 405, ""},
		{"profiles are for loopback", "GET", "/debug/pprof/", "127.0.0.1:1", nil, 200, "goroutine"},
		{"profiles are for loopback of IPv6", "GET", "/debug/pprof/heap?debug=1", "[::1]:1", nil, 200, "heap profile"},
		{"profiles are not for others", "GET", "/debug/pprof/", "192.0.2.1:1", nil, 403, ""},
		{"a profile by name is not for others", "GET", "/debug/pprof/heap", "192.0.2.1:1", nil, 403, ""},
		{"everything else is not found", "GET", "/", "127.0.0.1:1", nil, 404, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(row.method, row.path, nil)
			r.RemoteAddr = row.peer
			w := httptest.NewRecorder()
			Ops(registry, row.checks...).ServeHTTP(w, r)
			if w.Code != row.status || !strings.Contains(w.Body.String(), row.body) {
				t.Errorf("answered %d %s; want %d %s", w.Code, w.Body, row.status, row.body)
			}
		})
	}
}
