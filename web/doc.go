// Package web listens: it owns sockets, HTTP connections and WebSocket frames,
// and knows nothing of what they mean. Whatever a stranger controls (sizes,
// rates, times, counts) has a limit here that is on by default.
//
// Start from Server, one for each address, and WebSocket, one for the process:
//
//	metrics := web.NewMetrics(prometheus.DefaultRegisterer)
//	sockets := web.NewWebSocket(web.WebSocketOptions{Metrics: metrics})
//	server := web.New(web.Options{Name: "main", Addr: "127.0.0.1:8080", Handler: handler,
//		Metrics: metrics, Drain: []func(context.Context) error{sockets.Shutdown}})
//	err := server.Listen() // then go server.Serve(), and server.Shutdown(ctx) to end
//
// A handler that wants frames calls WebSocket.Upgrade and is handed a
// protocol.Conn. Promises of such a connection:
//
//   - Frames reach the peer in the order in which they were queued, each
//     exactly once, or the connection ends. Nothing is dropped silently.
//   - Push never blocks, and a peer that does not read delays nobody else.
//   - Close never blocks. Frames queued before it are still sent if the peer
//     takes them within CloseTimeout, then the close frame (see close.go).
//   - After WebSocket.Shutdown nothing more is read: Receive fails with
//     protocol.ErrDraining, and what was received may still be answered, until
//     serve returns and within DrainTimeout.
//   - An idle connection costs one goroutine, which waits for the peer.
//
// A Server recovers from panics of its handler, refuses with codes that a
// dialect may shape (Options.Refuse), and never logs query strings, where
// tokens live. Ops is the handler of the operator's own listener; Allow
// narrows a handler to source addresses.
//
// This package does not route, authenticate, decode or compress, and it
// believes no X-Forwarded-For: an address is the socket's.
package web
