package operator

import (
	"crypto/rand"
	"net/http"
	"strconv"
	"time"

	"instantd/protocol/instant"
)

// Headers of a signed request.
const (
	HeaderNonce     = "nonce"
	HeaderTimestamp = "timestamp" // milliseconds since 1970
	HeaderSign      = "sign"
)

// SignRequest signs a request with a fresh nonce. The signature proves
// knowledge of the secret and the time; it covers no body, so the listener
// belongs on loopback or behind an allow-list.
func SignRequest(r *http.Request, secret string, now time.Time) {
	nonce, timestamp := rand.Text(), strconv.FormatInt(now.UnixMilli(), 10)
	r.Header.Set(HeaderNonce, nonce)
	r.Header.Set(HeaderTimestamp, timestamp)
	r.Header.Set(HeaderSign, instant.Sign(nonce, secret, timestamp))
}
