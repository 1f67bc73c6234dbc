package web

import (
	"net/netip"
	"sync"

	"golang.org/x/time/rate"
)

// rateLimit is one token bucket for each stranger. It remembers at most max
// strangers: two generations of half that size, of which the older one is
// forgotten when the younger one is full. Whoever is forgotten starts with a
// full bucket, so crowding out is never to an honest peer's harm.
type rateLimit struct {
	every rate.Limit // requests per second
	burst int
	half  int

	mu      sync.Mutex
	younger map[netip.Addr]*rate.Limiter
	older   map[netip.Addr]*rate.Limiter
}

func newRateLimit(perSecond float64, burst, max int) *rateLimit {
	return &rateLimit{
		every: rate.Limit(perSecond), burst: burst, half: (max + 1) / 2,
		younger: make(map[netip.Addr]*rate.Limiter),
	}
}

// allow takes a token of a stranger's bucket.
func (l *rateLimit) allow(who netip.Addr) bool { return l.bucket(who).Allow() }

func (l *rateLimit) bucket(who netip.Addr) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	if b := l.younger[who]; b != nil {
		return b
	}
	b := l.older[who]
	if b == nil {
		b = rate.NewLimiter(l.every, l.burst)
	}
	if len(l.younger) >= l.half {
		l.older, l.younger = l.younger, make(map[netip.Addr]*rate.Limiter)
	}
	l.younger[who] = b
	return b
}
