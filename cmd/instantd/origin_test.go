package main

import (
	"net/http"
	"testing"
)

// A page of another site may use REST when it is configured, and sees the
// dialect's failures.
func TestPagesOfOtherSites(t *testing.T) {
	t.Parallel()
	server := startServer(t, func(c *Config) { c.HTTP.Origins = []string{"localhost:*"} })
	for _, row := range []struct {
		name, method, origin string
		status               int
		allowed              string
	}{
		{"a preflight of the document's own sample", http.MethodOptions, "http://localhost:8080", 204, "http://localhost:8080"},
		{"a failure may be read", http.MethodPost, "http://localhost:8080", 401, "http://localhost:8080"},
		{"a foreign preflight", http.MethodOptions, "http://evil.org", 403, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			r, err := http.NewRequestWithContext(t.Context(), row.method, "http://"+server.Addr()+"/app/c_message", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Origin", row.origin)
			if row.method == http.MethodOptions {
				r.Header.Set("Access-Control-Request-Method", http.MethodPost)
				r.Header.Set("Access-Control-Request-Headers", "x-token")
			}
			answer, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			answer.Body.Close()
			if got := answer.Header.Get("Access-Control-Allow-Origin"); answer.StatusCode != row.status || got != row.allowed {
				t.Errorf("%s, allows %q; want %d, %q", answer.Status, got, row.status, row.allowed)
			}
		})
	}
	_, err := New(testConfig(t, func(c *Config) { c.HTTP.Origins = []string{"https://chat.example.org/"} }), testLog(t))
	wantMentions(t, err, "http.origins", "https://chat.example.org/")
}
