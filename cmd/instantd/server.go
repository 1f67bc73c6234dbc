package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/julienschmidt/httprouter"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"instantd/actors"
	"instantd/persistence"
	"instantd/protocol"
	"instantd/protocol/instant"
	"instantd/web"
)

// Server is everything that runs in one process. Make it with New, then call
// Run once; or Close, when it is not to run.
type Server struct {
	config   Config
	log      *slog.Logger
	store    *persistence.Store
	core     *actors.Core
	broker   *instant.Broker // nil when there is none
	sockets  *web.WebSocket
	clients  *web.Server
	admin    *web.Server // nil when it is off
	ops      *web.Server // nil when it is off
	draining atomic.Bool
}

// New opens the data folder and the ports of a valid configuration. Peers may
// connect from then on, and are answered when Run is called.
func New(config Config, log *slog.Logger) (_ *Server, err error) {
	s := &Server{config: config, log: log}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(collectors.NewGoCollector(), collectors.NewBuildInfoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))

	s.store, err = persistence.Open(persistence.Options{
		Dir: config.Data.Dir, MinFree: uint64(config.Data.MinFree), Location: config.Location(),
		Log: log, Registerer: metrics,
	})
	if err != nil {
		return nil, err
	}
	s.core = actors.New(actors.Options{Store: s.store, OpenRoles: config.OpenRoles, Log: log, Registerer: metrics})
	if err := s.serveHTTP(metrics); err != nil {
		return nil, err
	}
	return s, nil
}

// serveHTTP makes the dialects and the listeners that carry them.
func (s *Server) serveHTTP(metrics *prometheus.Registry) error {
	brokerAllow, err := web.ParsePrefixes(s.config.Instant.BrokerAllow)
	if err != nil {
		return err
	}
	proxies, err := web.ParsePrefixes(append([]string{"127.0.0.0/8", "::1"}, s.config.HTTP.Proxies...))
	if err != nil {
		return err
	}
	origins, err := web.ParseOrigins(s.config.HTTP.Origins)
	if err != nil {
		return fmt.Errorf("http.origins: %w", err)
	}
	webMetrics := web.NewMetrics(metrics)
	s.sockets = web.NewWebSocket(web.WebSocketOptions{
		Origins: origins, FrameRate: float64(s.config.HTTP.FrameRate),
		DrainTimeout: s.config.Drain / 4, // a slow disk, too, has to commit what was read
		Log:          s.log, Metrics: webMetrics,
	})
	options := instant.Options{
		Core: s.core, Authority: s.core, Files: s.store, Location: s.config.Location(),
		Compat: instant.Compat(s.config.Instant.Compat),
		MQInfo: s.config.Instant.BrokerInfo, MQInfoAllow: brokerAllow,
		AdminSecret: s.config.Admin.Secret, AdminAnyTime: s.config.Admin.SkipTimeCheck,
		MaxFileSize: int64(s.config.HTTP.MaxUpload), MaxUploadSize: int64(s.config.HTTP.MaxUploadTotal),
		Upgrade: s.sockets.Upgrade, Log: s.log,
	}
	if s.config.AMQP.URL != "" {
		if s.broker, err = s.newBroker(metrics); err != nil {
			return err
		}
		options.Broker = s.broker
	}
	dialect := instant.New(options)

	clients := newRouter()
	clients.HandlerFunc(http.MethodGet, "/", welcome)
	dialect.Register(clients)
	s.clients = web.New(web.Options{
		Name: "main", Addr: s.config.HTTP.Addr, Handler: clients,
		CertFile: s.config.HTTP.TLSCert, KeyFile: s.config.HTTP.TLSKey,
		Exempt: proxies, MaxConns: s.config.HTTP.MaxConnections, MaxConnsPerAddress: s.config.HTTP.MaxConnectionsPerAddress,
		RequestRate: float64(s.config.HTTP.Rate), RequestBurst: s.config.HTTP.Burst,
		MaxBodyBytes: int64(s.config.HTTP.MaxUploadTotal) + instant.MaxBody,
		Origins:      origins,
		Refuse:       instant.Refuse,
		Drain:        []func(context.Context) error{s.sockets.Shutdown},
		Log:          s.log, Metrics: webMetrics,
	})
	if err := s.clients.Listen(); err != nil {
		return err
	}
	if err := s.serveAdmin(dialect, webMetrics); err != nil {
		return err
	}
	return s.serveOps(metrics, webMetrics)
}

// serveAdmin opens the listener of the center and of instantctl.
func (s *Server) serveAdmin(dialect *instant.Dialect, metrics *web.Metrics) error {
	if s.config.Admin.Addr == "" {
		return nil
	}
	router := newRouter()
	dialect.RegisterAdmin(router)
	api := &operatorAPI{
		core: s.core, store: s.store, broker: s.broker != nil,
		signed: dialect.Signed, log: s.log,
	}
	api.register(router)
	handler, err := allowed(s.config.Admin.Allow, router)
	if err != nil {
		return err
	}
	s.admin = web.New(web.Options{
		Name: "admin", Addr: s.config.Admin.Addr, Handler: handler,
		MaxBodyBytes: instant.MaxBaseBody, RequestRate: -1, // the center may be one busy address
		Refuse: instant.Refuse, Log: s.log, Metrics: metrics,
	})
	return s.admin.Listen()
}

// serveOps opens the listener for metrics, health and profiles.
func (s *Server) serveOps(metrics *prometheus.Registry, webMetrics *web.Metrics) error {
	if s.config.Ops.Addr == "" {
		return nil
	}
	handler, err := allowed(s.config.Ops.Allow, web.Ops(metrics, s.checks()...))
	if err != nil {
		return err
	}
	s.ops = web.New(web.Options{
		Name: "ops", Addr: s.config.Ops.Addr, Handler: handler, Log: s.log, Metrics: webMetrics,
	})
	return s.ops.Listen()
}

// allowed narrows a handler to an allow-list. Without one only loopback
// reaches the listener, which Validate has seen to.
func allowed(list []string, next http.Handler) (http.Handler, error) {
	if len(list) == 0 {
		return next, nil
	}
	prefixes, err := web.ParsePrefixes(list)
	if err != nil {
		return nil, err
	}
	return web.Allow(prefixes, nil, next), nil
}

// checks are what readiness depends on. A broker that is away is reported and
// leaves the server ready: everything but AMQP goes on, and the outbox waits.
func (s *Server) checks() []web.Check {
	checks := []web.Check{
		{Name: "serving", Run: func() error {
			if s.draining.Load() {
				return errors.New("the server is shutting down")
			}
			return nil
		}},
		{Name: "store", Run: s.store.Ready},
	}
	if s.broker != nil {
		checks = append(checks, web.Check{Name: "broker", Run: s.broker.Connected, Optional: true})
	}
	return checks
}

// newRouter matches paths exactly: a redirected POST would come back as one
// with another method or to a path that the client did not sign.
func newRouter() *httprouter.Router {
	router := httprouter.New()
	router.RedirectTrailingSlash = false
	router.RedirectFixedPath = false
	router.HandleMethodNotAllowed = false // a wrong method is answered in the dialect's shape, too
	router.NotFound = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		instant.Refuse(w, r, protocol.NotFound, "there is nothing at this path for this method")
	})
	return router
}

// welcome tells a person with a browser where he is.
func welcome(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintln(w, "This is instantd, a real-time messaging server. Its HTTP and WebSocket interface is described in protocol/instant/SPEC.md.")
}

// Run serves until ctx ends or a listener breaks, then drains: readiness says
// no, listeners close, what was asked is answered, sessions are told that the
// server goes away, actors finish, the outbox is flushed as far as the broker
// confirms it, and the store is closed. All of it takes no longer than
// Config.Drain, but for what the disk takes to close the store. Peers that hold
// it up are cut, which is no error.
func (s *Server) Run(ctx context.Context) error {
	var running sync.WaitGroup
	broken := make(chan error, 3)
	for _, server := range s.servers() {
		running.Go(func() { // ends with drain, which shuts the server down
			if err := server.Serve(); err != nil {
				broken <- err
			}
		})
	}
	// These outlive ctx: drain ends them in its own order.
	brokerCtx, stopBroker := context.WithCancel(context.WithoutCancel(ctx))
	defer stopBroker()
	brokerDone := make(chan struct{})
	go func() { // ends with stopBroker
		defer close(brokerDone)
		s.runBroker(brokerCtx)
	}()
	reconcileCtx, stopReconcile := context.WithCancel(ctx)
	defer stopReconcile()
	running.Go(func() { s.reconcile(reconcileCtx) }) // ends with its users or stopReconcile
	s.log.Info("server runs", "version", buildVersion(), "clients", s.Addr(), "data", s.config.Data.Dir)

	var failure error
	select {
	case <-ctx.Done():
		s.log.Info("server drains", "limit", s.config.Drain)
	case failure = <-broken:
		s.log.Error("server drains", "limit", s.config.Drain, "error", failure)
	}
	stopReconcile()
	err := s.drain(context.WithoutCancel(ctx), func(ctx context.Context) error {
		stopBroker()
		return wait(ctx, brokerDone, "the broker")
	})
	running.Wait()
	s.log.Info("server stopped")
	return errors.Join(failure, err)
}

// drain ends everything in the order in which one part needs the next. What
// may hang has half of the time that is left, so that the rest gets its own.
func (s *Server) drain(ctx context.Context, endBroker func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.config.Drain)
	defer cancel()
	s.draining.Store(true)
	var errs []error
	report := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	report(half(ctx, func(ctx context.Context) error {
		var listeners errgroup.Group // ends with ctx
		listeners.Go(func() error { return s.hangUp(ctx, s.clients) })
		if s.admin != nil {
			listeners.Go(func() error { return s.hangUp(ctx, s.admin) })
		}
		return listeners.Wait()
	}))
	report(half(ctx, s.core.Shutdown))
	report(endBroker(ctx))
	report(s.store.Close())
	if s.ops != nil {
		report(s.hangUp(ctx, s.ops))
	}
	return errors.Join(errs...)
}

// half runs one stage of the drain in half of the time that ctx has left.
func half(ctx context.Context, stage func(context.Context) error) error {
	end, _ := ctx.Deadline()
	ctx, cancel := context.WithTimeout(ctx, time.Until(end)/2)
	defer cancel()
	return stage(ctx)
}

// hangUp ends a listener. Peers that do not finish in time are cut: what was
// answered is stored, and what was not they can ask again.
func (s *Server) hangUp(ctx context.Context, server *web.Server) error {
	err := server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		s.log.Warn("peers were cut", "reason", err)
		return nil
	}
	return err
}

// Close gives back what New took, for a Server that is not to run.
func (s *Server) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), s.config.Drain)
	defer cancel()
	for _, server := range s.servers() {
		_ = server.Shutdown(ctx)
	}
	if s.sockets != nil {
		_ = s.sockets.Shutdown(ctx)
	}
	if s.core != nil {
		_ = s.core.Shutdown(ctx)
	}
	if s.store != nil {
		_ = s.store.Close()
	}
}

func (s *Server) servers() []*web.Server {
	var servers []*web.Server
	for _, server := range []*web.Server{s.clients, s.admin, s.ops} {
		if server != nil {
			servers = append(servers, server)
		}
	}
	return servers
}

// reconcilers bounds how many users are reconciled at once.
const reconcilers = 8

// reconcile corrects the presence of users whom the last process left online
// and whose sessions ended with it.
func (s *Server) reconcile(ctx context.Context) {
	var group errgroup.Group // ends with the last user
	group.SetLimit(reconcilers)
	var failed atomic.Int64
	err := s.store.EachOnline(func(user protocol.UserID) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		group.Go(func() error {
			if _, err := protocol.Do(ctx, s.core, protocol.Reconcile{User: user}); err != nil && ctx.Err() == nil {
				failed.Add(1)
			}
			return nil
		})
		return nil
	})
	_ = group.Wait()
	if ctx.Err() == nil && (err != nil || failed.Load() > 0) {
		s.log.Error("presence not reconciled", "users", failed.Load(), "error", err)
	}
}

// wait waits for something to be done, as long as ctx allows.
func wait(ctx context.Context, done <-chan struct{}, what string) error {
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s did not end in time: %w", what, ctx.Err())
	}
}
