package web

import (
	"net/http"

	"instantd/protocol"
)

// Refusal answers a request that never reached its handler. A dialect sets its
// own to speak in its own shape. Reason may be shown to the peer. A
// Retry-After header is set already where it makes sense.
type Refusal func(w http.ResponseWriter, r *http.Request, code protocol.Code, reason string)

// PlainRefusal answers with an HTTP status and the reason as plain text.
func PlainRefusal(w http.ResponseWriter, _ *http.Request, code protocol.Code, reason string) {
	http.Error(w, reason, statusOf(code))
}

func statusOf(code protocol.Code) int {
	switch code {
	case protocol.Invalid:
		return http.StatusBadRequest
	case protocol.Unauthenticated:
		return http.StatusUnauthorized
	case protocol.Forbidden:
		return http.StatusForbidden
	case protocol.NotFound:
		return http.StatusNotFound
	case protocol.Conflict:
		return http.StatusConflict
	case protocol.Gone:
		return http.StatusGone
	case protocol.TooLarge:
		return http.StatusRequestEntityTooLarge
	case protocol.RateLimited:
		return http.StatusTooManyRequests
	case protocol.Unavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}
