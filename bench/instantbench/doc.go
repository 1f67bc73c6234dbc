// Command instantbench puts load on an instantd server over real sockets and
// tells what it did with it: latencies, deliveries per second, server CPU per
// delivery, and whether every member got every message once and in order.
//
//	instantbench fanout              one group, one sender, everybody online
//	instantbench send                durable answers without receivers
//	instantbench chat                many small groups, sends and reads
//	instantbench connect             storms of sessions, first and returning
//	instantbench idle                memory for each session
//	instantbench history             pages, early and late in a conversation
//	instantbench goals               all that the goals need, and how far they are reached
//	instantbench fanout --help
//
// A scenario (fanout.go, send.go, chat.go, connect.go, idle.go, history.go) asks a
// peer (peer.go) for conversations and tokens, drives a fleet of clients (fleet.go),
// writes down what comes back (a ledger and recorders), and adds phases to a
// report. Clients are the members of one group (audience.go), the sessions of users
// who share many (crowd.go), the readers of AMQP queues (queues.go), publishers
// (publisher.go), or connections for requests (desk.go). Peers are servers that can
// be measured: instantd as a child or running already, and raw sockets as the
// least that any server must do. A new scenario is a command in main.go that
// makes phases; a new peer is another implementation of peer, started in a
// process of its own so that its CPU can be told from ours.
//
// It measures one machine over loopback and runs on Linux alone: it reads with
// epoll, because a goroutine for each of a thousand members would cost more
// than the server does, and it takes CPU times from /proc. It is no test of
// what the server answers; those are in protocol/instant and cmd/instantd.
package main
