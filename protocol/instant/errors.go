package instant

import (
	"errors"
	"net/http"
	"net/textproto"
	"strconv"

	"instantd/protocol"
)

// status maps the code of an error to HTTP (SPEC §1.4). A WebSocket reply
// carries the same number.
func status(code protocol.Code) int {
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

// Refuse answers a request in the dialect's shape: for limits that are
// enforced before the dialect sees it.
func Refuse(w http.ResponseWriter, _ *http.Request, code protocol.Code, reason string) {
	if code == protocol.RateLimited || code == protocol.Unavailable {
		w.Header().Set("Retry-After", "1")
	}
	write(w, status(code), answer{Code: status(code), Reason: reason})
}

// refuse answers with an error and logs what only the operator may know.
func (d *Dialect) refuse(w http.ResponseWriter, r *http.Request, err error) {
	code := protocol.CodeOf(err)
	if code == protocol.Internal && r.Context().Err() == nil {
		d.Log.Error("request failed", "method", r.Method, "path", r.URL.Path, "error", err)
	}
	Refuse(w, r, code, protocol.ReasonOf(err))
}

func write(w http.ResponseWriter, status int, body answer) {
	payload := append(marshal(body), '\n') // for people at a prompt
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(payload)))
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	w.Write(payload) // a client that is gone is nobody's error
}

// bodyError names why a body could not be read.
func bodyError(err error) error {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return protocol.Errorf(protocol.TooLarge, "the body is larger than %d bytes", tooLarge.Limit)
	}
	var coded *protocol.Error
	if errors.As(err, &coded) {
		return err
	}
	var malformed textproto.ProtocolError
	if errors.As(err, &malformed) {
		return protocol.Errorf(protocol.Invalid, "the head of a part is malformed")
	}
	return protocol.Errorf(protocol.Invalid, "the body ends early")
}
