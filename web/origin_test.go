package web

import (
	"net/http"
	"strings"
	"testing"

	"instantd/protocol"
)

func TestParseOrigins(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, text string
		want       string // empty: refused
	}{
		{"a host", "chat.example.org", "chat.example.org"},
		{"a host of any port", "localhost:*", "localhost:*"},
		{"all hosts of a domain", "*.example.org", "*.example.org"},
		{"an origin", "https://example.org:8443", "https://example.org:8443"},
		{"case and blanks do not matter", " HTTPS://Example.ORG ", "https://example.org"},
		{"anybody", "*", "*"},
		{"nothing", " ", ""},
		{"a scheme alone", "https://", ""},
		{"an address with a path, which no origin has", "https://example.org/chat", ""},
		{"an address with a slash at its end", "https://example.org/", ""},
		{"a pattern that does not end", "[a", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			got, err := ParseOrigins([]string{row.text})
			if row.want == "" {
				if protocol.CodeOf(err) != protocol.Invalid || !strings.Contains(err.Error(), row.text) {
					t.Errorf("got %q, %v; want an error that names it", got, err)
				}
				return
			}
			if err != nil || len(got) != 1 || got[0] != row.want {
				t.Errorf("got %q, %v; want %q", got, err, row.want)
			}
		})
	}
}

// ask sends a request as a browser does for a page of an origin.
func ask(t *testing.T, s *Server, method, origin, preflightFor string) *http.Response {
	t.Helper()
	r, err := http.NewRequest(method, root(s), nil)
	if err != nil {
		t.Fatal(err)
	}
	if origin != "" {
		r.Header.Set("Origin", origin)
	}
	if preflightFor != "" {
		r.Header.Set("Access-Control-Request-Method", preflightFor)
	}
	answer, err := client(t).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	return answer
}

func TestCrossOriginRequests(t *testing.T) {
	t.Parallel()
	origins, err := ParseOrigins([]string{"localhost:*", "*.example.com", "https://Exact.org"})
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, Options{Origins: origins, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusTeapot)
	})})
	const handler = http.StatusTeapot
	for _, row := range []struct {
		name, method, origin, preflightFor string
		status                             int
		allowed                            bool
	}{
		{"a page of a pattern may read the answer", "POST", "http://localhost:3000", "", handler, true},
		{"a host of a pattern is matched without regard to case", "GET", "https://App.Example.com", "", handler, true},
		{"an origin is matched with its scheme", "GET", "https://exact.org", "", handler, true},
		{"another scheme is another origin", "GET", "http://exact.org", "", handler, false},
		{"a page of our own may read it", "GET", root(s), "", handler, true},
		{"a program is told nothing", "GET", "", "", handler, false},
		{"a foreign page may not read it", "POST", "https://evil.org", "", handler, false},
		{"a host that only ends like a pattern is foreign", "GET", "https://app.example.com.evil.org", "", handler, false},
		{"null is foreign", "GET", "null", "", handler, false},
		{"what is no origin is foreign", "GET", "::", "", handler, false},
		{"a preflight is answered", "OPTIONS", "http://localhost:3000", "PUT", http.StatusNoContent, true},
		{"a foreign preflight is refused", "OPTIONS", "https://evil.org", "PUT", http.StatusForbidden, false},
		{"OPTIONS without the question is no preflight", "OPTIONS", "http://localhost:3000", "", handler, true},
		{"OPTIONS of a program is no preflight", "OPTIONS", "", "PUT", handler, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			answer := ask(t, s, row.method, row.origin, row.preflightFor)
			if answer.StatusCode != row.status {
				t.Errorf("answered %s, want %d", answer.Status, row.status)
			}
			want := ""
			if row.allowed {
				want = row.origin
			}
			h := answer.Header
			if got := h.Get("Access-Control-Allow-Origin"); got != want {
				t.Errorf("allows %q, want %q", got, want)
			}
			if h.Get("Vary") != "Origin" {
				t.Errorf("Vary is %q: a cache would give it to others", h.Get("Vary"))
			}
			if h.Get("Access-Control-Allow-Credentials") != "" {
				t.Error("credentials are allowed")
			}
			preflight := answer.StatusCode == http.StatusNoContent
			for _, name := range []string{"Access-Control-Allow-Methods", "Access-Control-Allow-Headers", "Access-Control-Max-Age"} {
				if preflight != (h.Get(name) != "") {
					t.Errorf("%s is %q", name, h.Get(name))
				}
			}
		})
	}
	h := ask(t, s, "OPTIONS", "http://localhost:3000", "PUT").Header
	for _, header := range []string{"x-token", "content-type", "idempotency-key"} {
		if !strings.Contains(h.Get("Access-Control-Allow-Headers"), header) {
			t.Errorf("%s is not allowed", header)
		}
	}
	for _, method := range []string{"GET", "POST", "PUT", "DELETE"} {
		if !strings.Contains(h.Get("Access-Control-Allow-Methods"), method) {
			t.Errorf("%s is not allowed", method)
		}
	}
}

func TestAPageMayReadThatItsRateIsLimited(t *testing.T) {
	t.Parallel()
	s := serve(t, Options{Handler: say("hi"), Origins: Origins{"localhost:*"}, Exempt: nobody, RequestRate: 0.001, RequestBurst: 1})
	ask(t, s, "GET", "http://localhost:1", "")
	answer := ask(t, s, "GET", "http://localhost:1", "")
	if answer.StatusCode != http.StatusTooManyRequests || answer.Header.Get("Access-Control-Allow-Origin") != "http://localhost:1" {
		t.Errorf("%s, allows %q", answer.Status, answer.Header.Get("Access-Control-Allow-Origin"))
	}
	if answer := ask(t, s, "OPTIONS", "http://localhost:1", "GET"); answer.StatusCode != http.StatusTooManyRequests {
		t.Errorf("a preflight is free of the rate: %s", answer.Status)
	}
}

func TestWithoutOriginsNothingIsSaidOfThem(t *testing.T) {
	t.Parallel()
	s := serve(t, Options{Handler: say("hi")})
	for _, preflightFor := range []string{"", "GET"} {
		answer := ask(t, s, "OPTIONS", "http://localhost:1", preflightFor)
		if answer.StatusCode != http.StatusOK || answer.Header.Get("Vary") != "" || answer.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s, %v", answer.Status, answer.Header)
		}
	}
}
