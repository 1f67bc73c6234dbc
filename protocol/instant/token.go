package instant

import (
	"net/http"
	"strings"

	"instantd/protocol"
)

const tokenPrefix = "tricolor"

// ParseToken takes the login token out of what a header holds (SPEC §1.2):
// Tricolor<t>, Tricolor t, Tricolort, <t> and t mean the same, whatever the
// case of the prefix. The center's tokens pass through it as well, so both
// sides agree on any text. It returns an empty token when there is none.
func ParseToken(text string) protocol.Token {
	for {
		rest := strings.TrimSpace(text)
		if len(rest) >= len(tokenPrefix) && strings.EqualFold(rest[:len(tokenPrefix)], tokenPrefix) {
			rest = rest[len(tokenPrefix):]
		}
		if inner, ok := strings.CutPrefix(strings.TrimSpace(rest), "<"); ok {
			rest = strings.TrimSuffix(inner, ">")
		}
		if rest == text {
			return protocol.Token(text)
		}
		text = rest
	}
}

// checkToken bounds a token. what names the field.
func checkToken(what string, token protocol.Token) error {
	if len(token) > maxToken {
		return protocol.Errorf(protocol.Invalid, "%s is longer than %d bytes", what, maxToken)
	}
	return protocol.CheckText(what, string(token))
}

// authenticate tells whose request it is.
func (d *Dialect) authenticate(r *http.Request, token protocol.Token) (protocol.Principal, error) {
	if token == "" {
		return protocol.Principal{}, protocol.Errorf(protocol.Unauthenticated, "x-token is missing")
	}
	if checkToken("x-token", token) != nil {
		return protocol.Principal{}, protocol.Errorf(protocol.Unauthenticated, "x-token is not in force")
	}
	return d.Authority.Authenticate(r.Context(), token)
}
