//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
)

// peer is a server that is measured. It speaks WebSocket in one of our dialects
// as far as a fleet needs it, and runs in a process of its own.
type peer interface {
	name() string
	addr() netip.AddrPort
	pid() int // 0 when it is not known
	// group makes a group of new users that are logged in.
	group(ctx context.Context, members int) (group, error)
	// close leaves nothing behind.
	close() error
}

// group is one conversation; the first token is the sender's.
type group struct {
	conversation string
	tokens       []string
	speaks       dialect // nil is the instant dialect
}

// kind of peers, by the names that --peers takes.
type peerKind struct {
	name     string // in reports
	promises string
	places   bool    // it numbers messages itself, so several members may send
	speaks   dialect // nil is the instant dialect
}

// peerKinds are all that can be measured.
var peerKinds = map[string]peerKind{
	"instantd":   {name: "instantd", promises: "durable, ordered, resumed", places: true},
	"raw":        {name: "RAW", promises: "none", places: true},
	"raw-c":      {name: "RAW-C", promises: "none", places: true},
	"centrifuge": {name: "Centrifuge", promises: "ordered", speaks: centrifugeDialect{}},
	"nats":       {name: "NATS", promises: "ordered per sender", speaks: natsDialect{}},
	"rabbitmq":   {name: "RabbitMQ", promises: "durable, ordered per publisher"},
	"jetstream":  {name: "JetStream", promises: "durable, ordered", speaks: natsDialect{stored: true}},
}

// promisesOf is what the peer with this name in reports promises.
func promisesOf(name string) string {
	for _, kind := range peerKinds {
		if kind.name == name {
			return kind.promises
		}
	}
	return ""
}

// startPeer starts the peer that --peers calls so.
func startPeer(name string, server serverFlags, others peerFlags) (peer, error) {
	switch name {
	case "instantd":
		return startInstantd(server)
	case "raw", "raw-c":
		return startRaw(name == "raw-c")
	}
	return startOther(name, others.PeerServer, server.DataParent)
}

// peerFlags say where the servers of other projects are.
type peerFlags struct {
	PeerServer string `default:"bin/peers" placeholder:"BINARY" help:"The program of bench/peers, which is Centrifuge and NATS. Default ${default}."`
}

// other is a server of another project, which bench/peers runs.
type other struct {
	*process
	kind peerKind
	at   netip.AddrPort
}

// startOther starts it. dir is where it keeps its data, if it keeps any.
func startOther(name, binary, dir string) (*other, error) {
	if _, err := os.Stat(binary); err != nil {
		return nil, fmt.Errorf("start %s: %w; go build -C bench/peers -o ../../bin/ . builds it", name, err)
	}
	var environ []string
	if dir != "" {
		environ = []string{"TMPDIR=" + dir}
	}
	kind := peerKinds[name]
	child, err := startProcess(kind.name, binary, []string{name}, environ)
	if err != nil {
		return nil, err
	}
	at, err := addressOf(child.addresses["clients"])
	if err != nil {
		return nil, errors.Join(err, child.stop())
	}
	return &other{process: child, kind: kind, at: at}, nil
}

func (o *other) name() string         { return o.kind.name }
func (o *other) addr() netip.AddrPort { return o.at }
func (o *other) pid() int             { return o.command.Process.Pid }
func (o *other) close() error         { return o.stop() }

// community implements town, for peers whose dialect can: everybody may be in
// every room.
func (o *other) community(_ context.Context, users int, memberships [][]int) (*community, error) {
	speaks, ok := o.kind.speaks.(townDialect)
	if !ok {
		return nil, fmt.Errorf("%s is not measured with many groups", o.name())
	}
	rooms := make([]*room, len(memberships))
	for i, members := range memberships {
		rooms[i] = &room{conversation: fmt.Sprintf("room-%05d", i), members: members}
	}
	return newCommunity(make([]string, users), rooms, speaks), nil
}

// group implements peer: everybody who connects is a member.
func (o *other) group(_ context.Context, members int) (group, error) {
	return group{conversation: "bench", tokens: make([]string, members), speaks: o.kind.speaks}, nil
}
