package web

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// ListenerOptions bound the connections of one address.
type ListenerOptions struct {
	Name string // label in metrics: main, admin, xmpp
	Addr string // host:port; port 0 picks a free one

	// MaxConns bounds open connections, 50,000 by default.
	// MaxConnsPerAddress bounds those of one stranger (an IPv4 address or an
	// IPv6 /64), 2,000 by default. A connection beyond is reset at once.
	// Negative means no limit.
	MaxConns           int
	MaxConnsPerAddress int

	// Exempt networks are free of limits per address: a reverse proxy in front
	// stands for everybody. nil means loopback, an empty slice means none.
	Exempt []netip.Prefix

	Metrics *Metrics // nil means that nobody looks
}

func (o *ListenerOptions) setDefaults() {
	o.MaxConns = orDefault(o.MaxConns, 50_000)
	o.MaxConnsPerAddress = orDefault(o.MaxConnsPerAddress, 2_000)
	if o.Exempt == nil {
		o.Exempt = loopback
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics(nil)
	}
}

// orDefault replaces zero, and only zero.
func orDefault[T int | int64 | float64](value, standard T) T {
	if value == 0 {
		return standard
	}
	return value
}

// Listener accepts TCP connections within limits. It serves every transport:
// Server builds one, and stream protocols use it as their net.Listener.
type Listener struct {
	tcp     *net.TCPListener
	options ListenerOptions
	open    prometheus.Gauge
	close   func() error // once

	mu    sync.Mutex
	total int
	per   map[netip.Addr]int // open connections by stranger; never more entries than total
}

// Listen opens a TCP port.
func Listen(o ListenerOptions) (*Listener, error) {
	o.setDefaults()
	var config net.ListenConfig // its default sends TCP keep-alives every 15 s
	inner, err := config.Listen(context.Background(), "tcp", o.Addr)
	if err != nil {
		return nil, fmt.Errorf("listen for %s: %w", o.Name, err)
	}
	tcp, ok := inner.(*net.TCPListener)
	if !ok {
		inner.Close()
		return nil, fmt.Errorf("listen for %s: %q is not a TCP address", o.Name, o.Addr)
	}
	return &Listener{
		tcp: tcp, options: o, close: sync.OnceValue(tcp.Close),
		open: o.Metrics.connections.WithLabelValues(o.Name),
		per:  make(map[netip.Addr]int),
	}, nil
}

// Accept returns the next connection that is within the limits.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		tcp, err := l.tcp.AcceptTCP()
		if err != nil {
			return nil, err
		}
		who := l.counted(addrOf(tcp.RemoteAddr()))
		if limit := l.enter(who); limit != "" {
			l.options.Metrics.refused.WithLabelValues(l.options.Name, limit).Inc()
			_ = tcp.SetLinger(0) // reset: a flood must leave nothing behind
			_ = tcp.Close()
			continue
		}
		l.open.Inc()
		return &conn{TCPConn: tcp, leave: sync.OnceFunc(func() { l.leave(who) })}, nil
	}
}

// Close stops accepting; open connections stay. It may be called again.
func (l *Listener) Close() error { return l.close() }

// Addr is the address that was opened.
func (l *Listener) Addr() net.Addr { return l.tcp.Addr() }

// counted is whom a connection is counted for; the zero Addr is exempt.
func (l *Listener) counted(addr netip.Addr) netip.Addr {
	if contains(l.options.Exempt, addr) {
		return netip.Addr{}
	}
	return stranger(addr)
}

// enter counts a connection, or names the limit that it would break.
func (l *Listener) enter(who netip.Addr) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.options.MaxConns >= 0 && l.total >= l.options.MaxConns {
		return "connections"
	}
	if who.IsValid() {
		if l.options.MaxConnsPerAddress >= 0 && l.per[who] >= l.options.MaxConnsPerAddress {
			return "address"
		}
		l.per[who]++
	}
	l.total++
	return ""
}

func (l *Listener) leave(who netip.Addr) {
	l.open.Dec()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total--
	if !who.IsValid() {
		return
	}
	l.per[who]--
	if l.per[who] == 0 {
		delete(l.per, who)
	}
}

// conn leaves its listener's count when it is closed. It embeds the TCP
// connection, not the interface, so that sendfile and raw writes still work.
type conn struct {
	*net.TCPConn
	leave func()
}

func (c *conn) Close() error {
	c.leave()
	return c.TCPConn.Close()
}
