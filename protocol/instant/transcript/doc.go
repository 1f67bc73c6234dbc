// Package transcript plays recorded scenarios against a running server: it is
// the instant dialect's client, and its tests' voice.
//
//	transcript.RunAll(t, transcript.Server{URL: main, AdminURL: admin, AdminSecret: secret}, "testdata")
//
// The format is described in protocol/instant/testdata/README.md. Scenarios
// share a server and run one after another, each with users of its own. With
// Server.Update they are recorded anew instead of failing. The package imports
// nothing of the server, so that a mistake there is not repeated here.
//
// Start from Run and stage.play, which knows the statements. What they do is in
// request.go, session.go and queue.go; how answers are compared is in pattern.go,
// how they are written down in record.go.
package transcript
