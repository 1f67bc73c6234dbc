//go:build linux

package main

import (
	"context"
	"maps"
	"math/rand/v2"
	"slices"
)

// community is users who share many conversations. What they have read
// outlives their sessions.
type community struct {
	residents []*resident
	rooms     []*room
	speaks    townDialect
}

// town is a peer that can have a community.
type town interface {
	peer
	// community makes users and the rooms that they share: the indices of each
	// room's members, of whom the first opens it.
	community(ctx context.Context, users int, memberships [][]int) (*community, error)
}

// townDialect is a dialect whose sessions can be in many conversations.
type townDialect interface {
	dialect
	// join is the frames that a session says first; ready is heard when it is
	// in all of these conversations.
	join(conversations []string) []byte
	// tell is the frame that sends the newest message of a room.
	tell(number int, r *room, text string) []byte
	// ask is a frame whose answer has no number, nil when there is none.
	ask() []byte
	// keeps tells whether the server keeps conversations: it numbers what is
	// said in them, so that everybody may speak, begins with their creation,
	// and pages of them can be read.
	keeps() bool
}

func (instantDialect) join([]string) []byte { return nil }
func (instantDialect) ask() []byte          { return pingFrame() }
func (instantDialect) keeps() bool          { return true }

func (instantDialect) tell(number int, r *room, text string) []byte {
	return sendFrame(number, draft(r.conversation, text))
}

// room is one conversation.
type room struct {
	conversation string
	members      []int // of the community's residents
	sent         int   // messages so far; the goroutine that sends counts
}

// head is the seq of the newest message: 1 is the creation.
func (r *room) head() uint64 { return uint64(1 + r.sent) }

// resident is one user. One reader of a fleet, or nobody, touches what he read.
type resident struct {
	number  int
	token   string
	stays   map[string]*stay // by conversation
	foreign int              // messages that nobody sent to him
}

// stay is what one user has read of one conversation.
type stay struct {
	room  *room
	order order
	heard int    // messages, each once
	acked uint64 // up to here
}

// newCommunity has users with these tokens in these rooms.
func newCommunity(tokens []string, rooms []*room, speaks townDialect) *community {
	c := &community{rooms: rooms, speaks: speaks}
	for i, token := range tokens {
		c.residents = append(c.residents, &resident{number: i, token: token, stays: map[string]*stay{}})
	}
	for _, r := range rooms {
		for _, member := range r.members {
			s := &stay{room: r}
			if !speaks.keeps() {
				s.order.last = 1 // there is no creation to hear of
			}
			c.residents[member].stays[r.conversation] = s
		}
	}
	return c
}

// check is what everybody counted; size is how many members a room has. Call it when nobody reads.
func (c *community) check(size int) check {
	counted := check{Members: size}
	for _, r := range c.rooms {
		counted.Messages += r.sent
	}
	for _, r := range c.residents {
		counted.Foreign += r.foreign
		for _, s := range r.stays {
			counted.Losses += max(len(s.order.missing), s.room.sent-s.heard)
			counted.Duplicates += s.order.duplicates
			counted.Reordered += s.order.reordered
		}
	}
	return counted
}

// neighbours puts users into rooms of a size, each into one; the last room may
// be smaller.
func neighbours(users, size int) [][]int {
	all := make([]int, users)
	for i := range all {
		all[i] = i
	}
	return slices.Collect(slices.Chunk(all, size))
}

// mixed puts users into rooms of a size by lot, the same each time.
func mixed(users, rooms, size int) [][]int {
	lots := rand.New(rand.NewPCG(20, 10_000))
	all := make([][]int, rooms)
	for i := range all {
		for len(all[i]) < size {
			if user := lots.IntN(users); !slices.Contains(all[i], user) {
				all[i] = append(all[i], user)
			}
		}
	}
	return all
}

// heard is how many messages everybody has read. Call it when nobody reads.
func (c *community) heard() int {
	n := 0
	for _, r := range c.residents {
		for _, s := range r.stays {
			n += s.heard
		}
	}
	return n
}

// conversations are those of a resident.
func (r *resident) conversations() []string { return slices.Sorted(maps.Keys(r.stays)) }
