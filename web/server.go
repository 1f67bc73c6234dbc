package web

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"instantd/protocol"
)

// Options of a Server. A zero field means its default. For limits of count,
// size and rate a negative value means no limit; times have no off.
type Options struct {
	Name    string // label in logs and metrics: main, admin, ops
	Addr    string // host:port; port 0 picks a free one
	Handler http.Handler

	// CertFile and KeyFile turn TLS on (1.2 or newer). Both or none.
	CertFile string
	KeyFile  string

	// Connections; see ListenerOptions.
	MaxConns           int            // 50,000
	MaxConnsPerAddress int            // 2,000 for an IPv4 address or IPv6 /64
	Exempt             []netip.Prefix // free of limits per address; nil is loopback

	// Request heads.
	ReadHeaderTimeout time.Duration // from the first byte to the end of the head: 10 s
	IdleTimeout       time.Duration // between two requests: 2 min
	MaxHeaderBytes    int           // 32 KiB, then 431; it cannot be turned off

	// Request bodies. One that brings nothing for BodyGrace, or less than
	// MinBodyRate for long, is cut: its Read fails with Invalid. Only waiting
	// for the peer counts, and what came faster earlier is no credit beyond
	// BodyGrace. Beyond MaxBodyBytes Read fails with *http.MaxBytesError;
	// SetBodyLimit raises that for one request.
	MaxBodyBytes int64         // 1 MiB
	BodyGrace    time.Duration // 10 s
	MinBodyRate  int64         // bytes a second, 4 KiB; it cannot be turned off

	// WriteTimeout is how long one write may wait for a peer that takes
	// nothing: 30 s. It is renewed by every write (a file is written in pieces
	// of 1 MiB), so downloads and event streams may last.
	WriteTimeout time.Duration

	// Requests of one stranger (an IPv4 address or IPv6 /64), a token bucket:
	// beyond it RateLimited is refused. Exempt is free.
	RequestRate   float64 // 100 a second
	RequestBurst  int     // 200
	RateAddresses int     // how many strangers are remembered: 65,536; it cannot be turned off

	// Origins are the sites whose pages may ask and read answers besides those
	// of the server's own host (CORS), without credentials. Every answer says
	// so, refusals included, and preflights do not reach Handler. Empty: none.
	Origins Origins

	// Refuse answers what never reaches Handler. nil is PlainRefusal.
	Refuse Refusal

	// Drain is called by Shutdown when the listener is closed, all at the same
	// time, while running requests finish: here connections that outlive their
	// request are ended, such as WebSocket.Shutdown does.
	Drain []func(context.Context) error

	Log     *slog.Logger // nil is slog.Default
	Metrics *Metrics     // nil means that nobody looks
}

func (o *Options) setDefaults() {
	duration := func(d *time.Duration, standard time.Duration) {
		if *d <= 0 {
			*d = standard
		}
	}
	duration(&o.ReadHeaderTimeout, 10*time.Second)
	duration(&o.IdleTimeout, 2*time.Minute)
	duration(&o.BodyGrace, 10*time.Second)
	duration(&o.WriteTimeout, 30*time.Second)
	o.MaxHeaderBytes = atLeastOne(o.MaxHeaderBytes, 32<<10)
	o.MaxBodyBytes = orDefault(o.MaxBodyBytes, 1<<20)
	o.MinBodyRate = atLeastOne(o.MinBodyRate, 4<<10)
	o.RequestRate = orDefault(o.RequestRate, 100)
	o.RequestBurst = atLeastOne(o.RequestBurst, 200)
	o.RateAddresses = atLeastOne(o.RateAddresses, 1<<16)
	if o.Exempt == nil {
		o.Exempt = loopback
	}
	if o.Refuse == nil {
		o.Refuse = PlainRefusal
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics(nil)
	}
	if o.Handler == nil {
		o.Handler = http.NotFoundHandler()
	}
}

// atLeastOne replaces what is not a limit at all.
func atLeastOne[T int | int64](value, standard T) T {
	if value <= 0 {
		return standard
	}
	return value
}

// Server serves HTTP on one address. Call Listen, then Serve, then Shutdown.
type Server struct {
	options  Options
	log      *slog.Logger
	handler  http.Handler // Options.Handler behind preflights
	http     *http.Server
	rates    *rateLimit // nil: no limit
	listener net.Listener
	stopping atomic.Bool
}

// New makes a server that does nothing yet.
func New(o Options) *Server {
	o.setDefaults()
	s := &Server{options: o, log: o.Log.With("listener", o.Name), handler: o.Origins.preflight(o.Refuse, o.Handler)}
	if o.RequestRate > 0 {
		s.rates = newRateLimit(o.RequestRate, o.RequestBurst, o.RateAddresses)
	}
	s.http = &http.Server{
		Handler:           http.HandlerFunc(s.serve),
		ReadHeaderTimeout: o.ReadHeaderTimeout,
		IdleTimeout:       o.IdleTimeout,
		MaxHeaderBytes:    o.MaxHeaderBytes,
		HTTP2:             &http.HTTP2Config{WriteByteTimeout: o.WriteTimeout},
		// net/http reports broken handshakes and the like: strangers' doing.
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	return s
}

// Listen opens the port, so that Addr is known and peers may connect; they
// wait until Serve.
func (s *Server) Listen() error {
	o := &s.options
	var secrets *tls.Config
	if o.CertFile != "" || o.KeyFile != "" {
		pair, err := tls.LoadX509KeyPair(o.CertFile, o.KeyFile)
		if err != nil {
			return fmt.Errorf("load certificate of %s: %w", o.Name, err)
		}
		secrets = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	}
	listener, err := Listen(ListenerOptions{
		Name: o.Name, Addr: o.Addr, MaxConns: o.MaxConns, MaxConnsPerAddress: o.MaxConnsPerAddress,
		Exempt: o.Exempt, Metrics: o.Metrics,
	})
	if err != nil {
		return err
	}
	s.listener, s.http.TLSConfig = listener, secrets
	return nil
}

// Addr is the address that Listen opened, nil before.
func (s *Server) Addr() net.Addr {
	if s.listener == nil {
		return nil
	}
	return s.listener.Addr()
}

// Serve answers requests until Shutdown; then it returns nil, which does not
// mean that running requests have finished.
func (s *Server) Serve() error {
	if s.listener == nil {
		return fmt.Errorf("serve %s: not listening", s.options.Name)
	}
	var err error
	if s.http.TLSConfig != nil {
		err = s.http.ServeTLS(s.listener, "", "")
	} else {
		err = s.http.Serve(s.listener)
	}
	if s.stopping.Load() {
		return nil
	}
	return fmt.Errorf("serve %s: %w", s.options.Name, err)
}

// Shutdown closes the listener, then runs Options.Drain while requests finish.
// When ctx ends first, what is left is cut, and the error says so.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stopping.Store(true)
	if s.listener != nil {
		_ = s.listener.Close()
	}
	errs := make([]error, len(s.options.Drain))
	var drains sync.WaitGroup
	for i, drain := range s.options.Drain {
		drains.Go(func() { errs[i] = drain(ctx) }) // ends with ctx
	}
	err := s.http.Shutdown(ctx)
	if err != nil {
		_ = s.http.Close()
	}
	drains.Wait()
	if err = errors.Join(append(errs, err)...); err != nil {
		return fmt.Errorf("shut down %s: %w", s.options.Name, err)
	}
	return nil
}

// serve surrounds the handler with everything that is the same for all.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	answer := newResponse(w, r, s.options.WriteTimeout)
	defer func() {
		took := time.Since(start)
		s.options.Metrics.answered(s.options.Name, answer.status, took)
		s.log.Debug("request", "method", r.Method, "path", r.URL.Path, "status", answer.status,
			"bytes", answer.bytes, "took", took, "remote", r.RemoteAddr)
	}()
	defer s.recover(answer, r)
	guardBody(w, r, &s.options)
	answer.Header().Set("X-Content-Type-Options", "nosniff")
	s.options.Origins.mark(answer.Header(), r)
	if !s.admit(r) {
		s.options.Metrics.limited.WithLabelValues(s.options.Name).Inc()
		answer.Header().Set("Retry-After", "1")
		s.options.Refuse(answer, r, protocol.RateLimited, "too many requests from this address")
		return
	}
	s.handler.ServeHTTP(answer, r)
	answer.finish()
}

// admit tells whether the peer's rate allows one more request.
func (s *Server) admit(r *http.Request) bool {
	if s.rates == nil {
		return true
	}
	addr := remoteAddr(r)
	return contains(s.options.Exempt, addr) || s.rates.allow(stranger(addr))
}

// recover turns a handler's panic into Internal. When the header is out the
// connection is cut instead, so that nobody takes half an answer for a whole.
func (s *Server) recover(w *response, r *http.Request) {
	cause := recover()
	if cause == nil {
		return
	}
	if cause == http.ErrAbortHandler {
		panic(cause)
	}
	s.options.Metrics.panics.WithLabelValues(s.options.Name).Inc()
	s.log.Error("handler panicked", "method", r.Method, "path", r.URL.Path,
		"panic", cause, "stack", string(debug.Stack()))
	if w.status != 0 {
		panic(http.ErrAbortHandler)
	}
	w.Header().Del("Content-Length")
	w.Header().Del("Content-Encoding")
	s.options.Refuse(w, r, protocol.Internal, "internal error")
}
