// Package protocol is the language spoken inside the server: typed ids, nouns,
// commands, events, queries and errors. Every other package of this module
// imports it; it imports none of them.
//
// Start from Core and Do:
//
//	sent, err := protocol.Do(ctx, core, protocol.SendMessage{
//		Conversation: "5f0c", By: protocol.AsUser("34020000001320000001"),
//		Content: protocol.Text("hello"),
//	})
//
// Commands are orders (SendMessage), events are history (MessageSent), queries
// are nouns (History). One file holds one noun with everything said about it.
//
// A Record is a committed event. What has a Record is on disk; what has none
// did not happen and must not be announced.
//
// The cbor tags are the stored form: numbers are never reused, fields are only
// added. This package reads no clock, opens no file and starts no goroutine.
package protocol
