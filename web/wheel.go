package web

import (
	"sync"
	"time"
)

const wheelSlots = 16

// wheel pings all sockets in turn and closes those that do not answer: one
// goroutine and one timer for everybody. It is also the list of all sockets.
// A socket is pinged each time its slot comes round, once in PingEvery, and
// judged lag slots later, which is PongTimeout rounded up to a slot.
type wheel struct {
	now  func() time.Duration
	tick time.Duration
	lag  int // slots from ping to judgement

	mu    sync.Mutex
	slots [wheelSlots]map[*socket]struct{}
}

func newWheel(now func() time.Duration, every, timeout time.Duration) *wheel {
	tick := max(every/wheelSlots, time.Millisecond)
	w := &wheel{now: now, tick: tick, lag: min(int((timeout+tick-1)/tick), wheelSlots)}
	for i := range w.slots {
		w.slots[i] = make(map[*socket]struct{})
	}
	return w
}

func (w *wheel) add(s *socket) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.slots[s.slot][s] = struct{}{}
}

func (w *wheel) remove(s *socket) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.slots[s.slot], s)
}

// each calls visit for every socket that is in the wheel.
func (w *wheel) each(visit func(*socket)) {
	for i := range w.slots {
		for _, s := range w.slot(i) {
			visit(s)
		}
	}
}

func (w *wheel) slot(i int) []*socket {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := make([]*socket, 0, len(w.slots[i]))
	for s := range w.slots[i] {
		list = append(list, s)
	}
	return list
}

// run turns the wheel until stop is closed.
func (w *wheel) run(stop <-chan struct{}) {
	ticker := time.NewTicker(w.tick)
	defer ticker.Stop()
	for i := 0; ; i = (i + 1) % wheelSlots {
		select {
		case <-stop:
			return
		case <-ticker.C:
		}
		for _, s := range w.slot((i + wheelSlots - w.lag) % wheelSlots) {
			s.judge()
		}
		for _, s := range w.slot(i) {
			s.askPong(w.now())
		}
	}
}

// askPong sends a ping. Only the wheel calls it.
func (s *socket) askPong(now time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing != nil || s.dead {
		return
	}
	s.pinged, s.ping = now, true
	s.schedule()
}

// judge closes a peer from which nothing came since its ping. While nobody
// reads, silence proves nothing. Only the wheel calls it.
func (s *socket) judge() {
	if s.pinged == 0 || time.Duration(s.waiting.Load()) > s.pinged {
		return
	}
	s.end(endSilent)
}
