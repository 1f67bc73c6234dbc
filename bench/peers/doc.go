// Command peers is the servers that instantd is measured beside, each in its
// fastest configuration for one group whose members are all online:
//
//	peers centrifuge          Centrifuge, memory engine, JSON over WebSocket
//	peers nats                NATS over WebSocket
//	peers jetstream           the same behind a stream that syncs every message
//
// It listens on a free port of the loopback interface and prints, as instantd
// does, lines of a name and a URL: "clients" is where WebSockets connect to.
// SIGTERM ends it. bench/instantbench starts it and speaks its wire.
//
// It is a module of its own so that these servers never become dependencies of
// instantd. They are used as their documentation says, without patches; what
// each promises stands in bench/README.md.
package main
