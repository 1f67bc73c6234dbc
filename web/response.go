package web

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"time"
)

// sendChunk is how much of a file goes out under one write deadline.
const sendChunk = 1 << 20

// response remembers what was answered, and gives every write its own time: a
// download may take an hour, a peer that takes nothing may not.
type response struct {
	http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration // of one write; 0 means that the protocol below watches itself
	status  int           // 0 until the header is out
	bytes   int64

	hijacked bool // the connection is somebody else's, with its deadlines
}

func newResponse(w http.ResponseWriter, r *http.Request, timeout time.Duration) *response {
	if r.ProtoMajor != 1 {
		timeout = 0 // a deadline would end an idle HTTP/2 stream; the connection has WriteByteTimeout
	}
	return &response{ResponseWriter: w, control: http.NewResponseController(w), timeout: timeout}
}

// Unwrap lets http.ResponseController through.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *response) WriteHeader(status int) {
	if w.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) {
		w.status = status
	}
	w.extend()
	w.ResponseWriter.WriteHeader(status)
}

func (w *response) Write(p []byte) (int, error) {
	w.begin()
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	return n, err
}

// ReadFrom keeps sendfile working for downloads.
func (w *response) ReadFrom(src io.Reader) (int64, error) {
	left := int64(-1)
	if limited, ok := src.(*io.LimitedReader); ok {
		src, left = limited.R, limited.N
		defer func() { limited.N = left }()
	}
	var total int64
	for left != 0 {
		chunk := int64(sendChunk)
		if left > 0 {
			chunk = min(chunk, left)
		}
		w.begin()
		n, err := io.Copy(w.ResponseWriter, &io.LimitedReader{R: src, N: chunk})
		total += n
		w.bytes += n
		if left > 0 {
			left -= n
		}
		if err != nil || n < chunk {
			return total, err
		}
	}
	return total, nil
}

// Flush is for handlers that ask for http.Flusher.
func (w *response) Flush() { _ = w.FlushError() }

// FlushError is what http.ResponseController calls.
func (w *response) FlushError() error {
	w.begin()
	return w.control.Flush()
}

// Hijack is for whoever takes the connection over.
func (w *response) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := w.control.Hijack()
	w.hijacked = err == nil
	return conn, rw, err
}

// finish readies what the server sends when the handler has returned.
func (w *response) finish() {
	if !w.hijacked {
		w.begin()
	}
}

func (w *response) begin() {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	w.extend()
}

func (w *response) extend() {
	if w.timeout > 0 {
		_ = w.control.SetWriteDeadline(time.Now().Add(w.timeout))
	}
}
