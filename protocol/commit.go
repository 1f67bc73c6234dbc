package protocol

// Commit asks the store to make events of one actor durable, all of them or
// none. Only the actor that owns Key may ask.
type Commit struct {
	Key    Key
	Seq    Seq // of the first event; 0 for users and the site
	Events []Event
	// Done is called exactly once, after the sync, in commit order. It must not
	// block. An error means that nothing happened: Conflict when the pair of a
	// direct conversation has one already, Unavailable for everything that may
	// pass, a commit that follows a refused one included.
	Done func([]Record, error)
}
