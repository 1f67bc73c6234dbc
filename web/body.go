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

// body is a request's body that may be neither too large nor too slow. Waiting
// for the peer uses its patience up, and bytes that come restore it at rate, up
// to grace: so what counts is the recent past, however fast the rest came. A
// handler that lingers between two reads, or after the last byte, is not held
// against the peer.
type body struct {
	w       http.ResponseWriter // the server's own: it closes the connection when the limit breaks
	control *http.ResponseController
	raw     io.ReadCloser
	limited io.ReadCloser

	patience time.Duration // how much longer the peer is waited for
	grace    time.Duration // the most of it
	rate     int64         // bytes per second
	stream   bool          // one of many on its connection (HTTP/2)
	ended    bool
}

// guardBody puts limits on a request's body.
func guardBody(w http.ResponseWriter, r *http.Request, o *Options) {
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		return
	}
	b := &body{
		w: w, control: http.NewResponseController(w), raw: r.Body, limited: r.Body,
		patience: o.BodyGrace, grace: o.BodyGrace, rate: o.MinBodyRate, stream: r.ProtoMajor > 1,
	}
	if o.MaxBodyBytes >= 0 {
		b.limited = http.MaxBytesReader(w, r.Body, o.MaxBodyBytes)
	}
	if !b.stream {
		b.await(time.Now())
	}
	r.Body = b
}

// SetLimit replaces the limit of the whole body. Call it before Read.
func (b *body) SetLimit(bytes int64) { b.limited = http.MaxBytesReader(b.w, b.raw, bytes) }

// await lets a read that begins now last as long as there is patience. Between
// reads the deadline stands: it covers what the server itself discards when a
// handler leaves a body unread. It must not stand on a stream, which it would
// end for good; nothing is discarded there.
func (b *body) await(now time.Time) { _ = b.control.SetReadDeadline(now.Add(b.patience)) }

// Read fails with *http.MaxBytesError beyond the limit, and with Invalid when
// the bytes come too slowly.
func (b *body) Read(p []byte) (int, error) {
	if b.ended {
		return b.limited.Read(p)
	}
	began := time.Now()
	b.await(began)
	n, err := b.limited.Read(p)
	b.patience = max(0, b.patience-time.Since(began))
	b.patience = min(b.grace, b.patience+time.Duration(float64(n)/float64(b.rate)*float64(time.Second)))
	switch {
	case err == nil:
		if b.stream {
			_ = b.control.SetReadDeadline(time.Time{})
		}
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
