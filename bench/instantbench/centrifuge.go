//go:build linux

package main

import (
	"bytes"
	"fmt"
	"strconv"
)

// centrifugeDialect is Centrifuge's JSON protocol: one or more objects in a
// text frame, a line each. Commands have ids, which their replies repeat.
type centrifugeDialect struct{}

// Ids of commands; a message has its number more than idFirst.
const (
	idConnect   = 1
	idSubscribe = 2
	idFirst     = 3
)

var (
	prefixPush    = []byte(`{"push":`)
	prefixID      = []byte(`{"id":`)
	prefixNothing = []byte(`{}`) // a ping, and its answer
	keyData       = []byte(`"data":`)
	keyError      = []byte(`"error":{"code":`)
)

func (centrifugeDialect) path(string) string { return "/connection/websocket" }

func (centrifugeDialect) hello(bool) []byte {
	return appendFrame(nil, opText, []byte(`{"id":1,"connect":{}}`+"\n"+`{"id":2,"subscribe":{"channel":"bench"}}`), true)
}

// idJoin is above the ids of all messages, and ids have 32 bits: nobody waits for
// these replies.
const idJoin = 1 << 30

// join implements townDialect. Replies come in the order of the commands, so
// that of the last one tells that all is done.
func (centrifugeDialect) join(conversations []string) []byte {
	commands := []byte(`{"id":1,"connect":{}}`)
	for i, conversation := range conversations {
		id := idJoin + i
		if i == len(conversations)-1 {
			id = idSubscribe
		}
		commands = append(commands, "\n"+`{"id":`+strconv.Itoa(id)+`,"subscribe":{"channel":"`+conversation+`"}}`...)
	}
	return appendFrame(nil, opText, commands, true)
}

func (centrifugeDialect) ask() []byte { return nil }
func (centrifugeDialect) keeps() bool { return false }

func (centrifugeDialect) tell(number int, r *room, text string) []byte {
	return appendFrame(nil, opText, []byte(`{"id":`+strconv.Itoa(number+idFirst)+`,"publish":{"channel":"`+r.conversation+
		`","data":`+toldIn(r.conversation, r.head(), text)+`}}`), true)
}

func (centrifugeDialect) send(number int, _, text string) []byte {
	return appendFrame(nil, opText, []byte(`{"id":`+strconv.Itoa(number+idFirst)+`,"publish":{"channel":"bench","data":`+told(uint64(number)+1, text)+`}}`), true)
}

func (centrifugeDialect) ack(string, uint64) []byte { return nil }
func (centrifugeDialect) pong() []byte              { return appendFrame(nil, opText, prefixNothing, true) }

func (centrifugeDialect) hear(payload []byte) (event, int, error) {
	line, _, more := bytes.Cut(payload, []byte("\n"))
	n := len(line)
	if more {
		n++
	}
	switch {
	case bytes.HasPrefix(line, prefixPush):
		return scan(find(line, keyData)), n, nil
	case bytes.HasPrefix(line, prefixID):
		id := after(line, prefixID)
		if code := after(line, keyError); code >= 0 {
			return event{kind: reply, number: id - idFirst, code: max(1, code)}, n, nil
		}
		switch id {
		case idConnect:
			return event{}, n, nil
		case idSubscribe:
			return event{kind: ready}, n, nil
		}
		return event{kind: reply, number: id - idFirst}, n, nil
	case bytes.Equal(line, prefixNothing):
		return event{kind: ping}, n, nil
	case len(line) == 0:
		return event{}, n, nil
	}
	return event{}, 0, fmt.Errorf("%.80q is nothing that Centrifuge says", line)
}
