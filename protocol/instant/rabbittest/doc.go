// Package rabbittest runs a private RabbitMQ node for tests, as
// net/http/httptest runs a server: on free ports of the loopback, with a folder
// of its own, so that a test may stop, kill and pause it.
//
//	node := rabbittest.Start(t)
//	conn, err := amqp.Dial(node.URL())
//
// A start takes some seconds. Tests that leave the node alone share one per
// test binary with Shared.
//
// Nothing outlives the test binary, however it ends: a small shell holds a pipe
// to it, and when the pipe closes, kills what the node consists of and removes
// its folder.
package rabbittest
