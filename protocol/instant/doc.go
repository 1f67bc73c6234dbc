// Package instant speaks the instant dialect: REST in, WebSocket and AMQP out.
// It decodes, asks the core and encodes; it decides nothing.
//
// Start from New:
//
//	d := instant.New(instant.Options{Core: core, Authority: core, Files: files, Location: shanghai})
//	d.Register(router)           // clients: /instant/*, /app/*, /uploads, /files/*
//	d.RegisterAdmin(adminRouter) // the center: POST /instant/base
//
// SPEC.md is the wire as it is served here; decoders cite its sections. The
// pure half reads and writes bytes: decode.go for fields, conversation.go,
// message.go, frame.go and base.go for requests, profile.go and clock.go for the
// vocabulary, encode.go for committed events. The other half does I/O:
// http.go, upload.go, file.go, queue.go and admin.go for requests, peer.go for
// sessions.
//
// Encoder renders a committed event once; the same bytes go to WebSocket
// sessions and to AMQP. Broker is the AMQP side.
package instant
