package protocol

// A user is online while at least one device class is logged in or at least
// one session is open. Only a change of that is an event; it is stored because
// the offline window hangs on it.

// CameOnline begins the user's presence. It opens no new offline window: the
// old one ends with the first Offline question.
type CameOnline struct{}

// WentOffline ends the user's presence. Its id begins the offline window.
type WentOffline struct{}

// OfflineCaught ends the offline window at its own id.
type OfflineCaught struct{}

func (CameOnline) event()    {}
func (WentOffline) event()   {}
func (OfflineCaught) event() {}

// Reconcile compares a user's stored presence with his logins and live
// sessions, and corrects it. The server gives it to users whom the last
// process left online.
type Reconcile struct{ User UserID }

func (c Reconcile) Key() Key   { return UserKey(c.User) }
func (Reconcile) answers(Done) {}
