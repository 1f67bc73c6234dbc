// Package persistence keeps everything that instantd knows on one disk: events
// and what follows from them in Badger, uploaded bytes as plain files.
//
// Start from Store:
//
//	store, err := persistence.Open(persistence.Options{Dir: "data"})
//	...
//	store.Commit(protocol.Commit{Key: key, Seq: 1, Events: events, Done: done})
//
// What it promises:
//
//   - A commit is durable, whole and in order, or it did not happen. Done is
//     called after the sync, in the order in which commits were handed over,
//     and every event then has its MessageID. Ids follow commit order and grow
//     strictly, over restarts and a clock that steps back.
//   - Everything but events is derived from them in the same transaction: members,
//     standings, tokens, watermarks, indices. Nobody edits it.
//   - Reads see the newest durable commit and never wait for the one in flight.
//   - A recalled or deleted message loses its content here. Content stands in
//     the message's own row and nowhere else; older versions of that row go
//     with Badger's next compaction of it, and no backup holds them.
//   - A backup proves itself: Restore makes a folder of exactly what was written,
//     or none.
//   - When the disk is nearly full, commits and uploads are refused, reads go
//     on, and Ready says why.
//   - When a sync fails, what is on disk is unknown until it is read again:
//     everything after it is refused until the process starts anew, and reads
//     stay at the last commit that was answered.
//
// Events of users and of the site stay readable for Retention, those of
// conversations for ever. It decides nothing: whether an event may happen was
// settled by the actor that hands it over. It knows no dialect and no socket.
package persistence
