package instant

import (
	"crypto/sha1"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"strconv"
	"time"

	"github.com/julienschmidt/httprouter"

	"instantd/protocol"
)

// RegisterAdmin mounts what the center and the operator use (SPEC §5). It
// belongs on a listener that strangers do not reach.
func (d *Dialect) RegisterAdmin(r *httprouter.Router) {
	r.HandlerFunc(http.MethodPost, "/instant/base", d.Signed(d.baseCommand))
}

// Signed lets only those requests through to next whose signature proves the
// admin secret (SPEC §5.1).
func (d *Dialect) Signed(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := d.checkSignature(r.Header); err != nil {
			d.refuse(w, r, err)
			return
		}
		next(w, r)
	}
}

// baseCommand is the center's other door: what queue_instant_base takes.
func (d *Dialect) baseCommand(w http.ResponseWriter, r *http.Request) {
	body, err := readBody(r.Body, MaxBaseBody)
	if err == nil {
		err = d.base.Apply(r.Context(), body)
	}
	if err != nil {
		d.refuse(w, r, err)
		return
	}
	write(w, http.StatusOK, answer{})
}

// signatureWindow is how far a timestamp may be from our clock.
const signatureWindow = 2 * time.Hour

// Sign is the signature of a request to the admin listener: the hex SHA-1 of
// nonce, secret and timestamp (in milliseconds), joined by "|".
func Sign(nonce, secret, timestamp string) string {
	sum := sha1.Sum([]byte(nonce + "|" + secret + "|" + timestamp))
	return hex.EncodeToString(sum[:])
}

// checkSignature looks at the headers nonce, timestamp and sign (SPEC §5.1).
func (d *Dialect) checkSignature(h http.Header) error {
	nonce, timestamp := h.Get("nonce"), h.Get("timestamp")
	if d.AdminSecret == "" {
		return protocol.Errorf(protocol.Unauthenticated, "the server has no admin secret")
	}
	if nonce == "" || timestamp == "" {
		return protocol.Errorf(protocol.Unauthenticated, "the headers nonce, timestamp and sign are missing")
	}
	want := Sign(nonce, d.AdminSecret, timestamp)
	if subtle.ConstantTimeCompare([]byte(want), []byte(h.Get("sign"))) != 1 {
		return protocol.Errorf(protocol.Unauthenticated, "sign is wrong")
	}
	millis, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil {
		return protocol.Errorf(protocol.Unauthenticated, "timestamp is not in milliseconds")
	}
	if age := d.now().Sub(time.UnixMilli(millis)).Abs(); age > signatureWindow && !d.AdminAnyTime {
		return protocol.Errorf(protocol.Unauthenticated, "timestamp is more than two hours off")
	}
	return nil
}
