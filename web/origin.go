package web

import (
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"

	"instantd/protocol"
)

// Origins are the sites whose pages browsers let in besides those of the
// server's own host: host patterns such as "*.example.org" or "localhost:*", or
// scheme://host patterns. Make them with ParseOrigins. One rule serves
// WebSockets and requests.
type Origins []string

// ParseOrigins checks a list of patterns (path.Match, without regard to case).
// A port is part of the host, unless it is the scheme's own. The error is
// Invalid and names the entry.
func ParseOrigins(list []string) (Origins, error) {
	origins := make(Origins, 0, len(list))
	for _, text := range list {
		pattern := strings.ToLower(strings.TrimSpace(text))
		host := pattern
		if _, rest, ok := strings.Cut(pattern, "://"); ok {
			host = rest
		}
		if _, err := path.Match(pattern, ""); err != nil || host == "" || strings.Contains(host, "/") {
			return nil, protocol.Errorf(protocol.Invalid, "%q is neither a host such as *.example.org nor an origin such as https://example.org:8443", text)
		}
		origins = append(origins, pattern)
	}
	return origins, nil
}

// allow tells whether a request comes from a page that is let in, or from no
// page at all.
func (o Origins) allow(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true // a program
	}
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" {
		return false // "null" is a page that hides where it comes from
	}
	if strings.EqualFold(u.Host, r.Host) {
		return true
	}
	host := strings.ToLower(u.Host)
	return slices.ContainsFunc(o, func(pattern string) bool {
		target := host
		if strings.Contains(pattern, "://") {
			target = strings.ToLower(u.Scheme) + "://" + host
		}
		matched, _ := path.Match(pattern, target) // ParseOrigins has seen the error
		return matched
	})
}

// What a page of another site may do: the methods and headers that dialects
// use. Nothing allows credentials (cookies); tokens travel in headers.
const (
	corsMethods = "GET, HEAD, POST, PUT, DELETE"
	corsHeaders = "x-token, content-type, idempotency-key"
	corsExposed = "Retry-After"
	corsMaxAge  = "7200" // seconds that a preflight may be remembered; no browser keeps it much longer

	foreignOrigin = "pages of this origin are not allowed"
)

// mark tells a browser whether the page that asks may read the answer, whatever
// it will be.
func (o Origins) mark(h http.Header, r *http.Request) {
	if len(o) == 0 {
		return
	}
	h.Add("Vary", "Origin")
	if origin := r.Header.Get("Origin"); origin != "" && o.allow(r) {
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Expose-Headers", corsExposed)
	}
}

// preflight answers the question that a browser asks before a page's request,
// with 204 or, for a page that is not let in, with Forbidden. Its answers are
// to be marked.
func (o Origins) preflight(refuse Refusal, next http.Handler) http.Handler {
	if len(o) == 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked := r.Method == http.MethodOptions && r.Header.Get("Origin") != "" && r.Header.Get("Access-Control-Request-Method") != ""
		if !asked {
			next.ServeHTTP(w, r)
			return
		}
		if !o.allow(r) {
			refuse(w, r, protocol.Forbidden, foreignOrigin)
			return
		}
		h := w.Header()
		h.Set("Access-Control-Allow-Methods", corsMethods)
		h.Set("Access-Control-Allow-Headers", corsHeaders)
		h.Set("Access-Control-Max-Age", corsMaxAge)
		w.WriteHeader(http.StatusNoContent)
	})
}
