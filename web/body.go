package web

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"instantd/protocol"
)

// SetBodyLimit replaces Options.MaxBodyBytes for one request, for handlers
// that take uploads. Call it before the body is read. It does nothing to a
// request that did not come through a Server. A dialect, which does not import
// this package, asks the body itself:
//
//	if body, ok := r.Body.(interface{ SetLimit(int64) }); ok {
//		body.SetLimit(maxUpload)
//	}
func SetBodyLimit(r *http.Request, bytes int64) {
	if b, ok := r.Body.(*body); ok {
		b.SetLimit(bytes)
	}
}

// body is a request's body that may be neither too large nor too slow. It has
// grace plus one second for every rate bytes that came; a handler that lingers
// after the last byte is not disturbed.
type body struct {
	w       http.ResponseWriter // the server's own: it closes the connection when the limit breaks
	control *http.ResponseController
	raw     io.ReadCloser
	limited io.ReadCloser

	started  time.Time
	grace    time.Duration
	rate     int64 // bytes per second
	received int64
	ended    bool
}

// guardBody puts limits on a request's body. Before it is first read, the
// deadline stands already: it also covers what the server itself discards when
// a handler leaves a body unread.
func guardBody(w http.ResponseWriter, r *http.Request, o *Options) {
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		return
	}
	b := &body{
		w: w, control: http.NewResponseController(w), raw: r.Body, limited: r.Body,
		started: time.Now(), grace: o.BodyGrace, rate: o.MinBodyRate,
	}
	if o.MaxBodyBytes >= 0 {
		b.limited = http.MaxBytesReader(w, r.Body, o.MaxBodyBytes)
	}
	b.extend()
	r.Body = b
}

// SetLimit replaces the limit of the whole body. Call it before Read.
func (b *body) SetLimit(bytes int64) { b.limited = http.MaxBytesReader(b.w, b.raw, bytes) }

func (b *body) extend() {
	allowed := b.grace + time.Duration(float64(b.received)/float64(b.rate)*float64(time.Second))
	_ = b.control.SetReadDeadline(b.started.Add(allowed))
}

// Read fails with *http.MaxBytesError beyond the limit, and with Invalid when
// the bytes come too slowly.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.limited.Read(p)
	b.received += int64(n)
	switch {
	case err == nil:
		b.extend()
	case err == io.EOF:
		b.end()
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = fmt.Errorf("%w: %w", protocol.Errorf(protocol.Invalid, "the request body came too slowly"), err)
	}
	return n, err
}

// end lifts the deadline: from now on the server watches the connection for
// the peer's leaving, and a deadline would look like it.
func (b *body) end() {
	if b.ended {
		return
	}
	b.ended = true
	_ = b.control.SetReadDeadline(time.Time{})
}

func (b *body) Close() error { return b.limited.Close() }
