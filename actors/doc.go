// Package actors gives each conversation, each user and the site one owner.
//
// Start from Core: it implements protocol.Core and protocol.Authority on top
// of a Store.
//
//	core := actors.New(actors.Options{Store: store})
//	defer core.Shutdown(ctx)
//	sent, err := protocol.Do(ctx, core, protocol.SendMessage{…})
//
// What is allowed, and what follows from it, is decided in conversation.go,
// user.go and site.go: plain rules without clock, disk or goroutine. owner.go
// is the actor around them: it loads, decides, hands the events to the store
// and, when they are committed, applies, answers and publishes them, in this
// order. directory.go starts, finds and retires actors. shard.go carries
// committed events to live sessions; session.go brings a returning session up
// to date. This package never touches bytes or sockets.
package actors
