package protocol

import (
	"errors"
	"fmt"
)

// Code classifies an error for the far end. Each dialect maps every code.
type Code uint8

const (
	Internal        Code = iota // a defect of ours; the outside learns nothing more
	Invalid                     // the request is malformed or breaks a limit of form
	Unauthenticated             // no token, or one that is not in force
	Forbidden                   // known, but not allowed
	NotFound                    // no such thing
	Conflict                    // clashes with what exists
	Gone                        // existed and was ended
	TooLarge                    // over a limit of size or count
	RateLimited                 // too many requests
	Unavailable                 // try again later: overload, disk, shutdown
)

// Codes lists every code, for tests that a dialect maps them all.
var Codes = []Code{Internal, Invalid, Unauthenticated, Forbidden, NotFound, Conflict, Gone, TooLarge, RateLimited, Unavailable}

func (c Code) String() string {
	switch c {
	case Internal:
		return "internal"
	case Invalid:
		return "invalid"
	case Unauthenticated:
		return "unauthenticated"
	case Forbidden:
		return "forbidden"
	case NotFound:
		return "not_found"
	case Conflict:
		return "conflict"
	case Gone:
		return "gone"
	case TooLarge:
		return "too_large"
	case RateLimited:
		return "rate_limited"
	case Unavailable:
		return "unavailable"
	}
	return "unknown"
}

// Error is what a person or program at the far end should know.
type Error struct {
	Code   Code
	Reason string // one line, names the field or thing; never content or tokens
}

func (e *Error) Error() string { return e.Reason }

// Errorf makes an Error with a formatted reason.
func Errorf(code Code, format string, args ...any) error {
	return &Error{Code: code, Reason: fmt.Sprintf(format, args...)}
}

// CodeOf returns the code of an error, Internal when it carries none.
func CodeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return Internal
}

// ReasonOf returns what the far end may read of an error. An error without a
// code says only "internal error"; log it where it is handled.
func ReasonOf(err error) string {
	var e *Error
	if errors.As(err, &e) && e.Code != Internal {
		return e.Reason
	}
	return "internal error"
}
