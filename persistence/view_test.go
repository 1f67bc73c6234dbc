package persistence

import (
	"runtime"
	"sync"
	"testing"

	"github.com/dgraph-io/badger/v4"

	"instantd/protocol"
)

func TestReadsGoOnDuringACommitAndSeeItAfterDone(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	key := protocol.ConversationKey("c")
	commit(t, s, key, 1, group("ann"))
	entered, leave := make(chan struct{}), make(chan struct{})
	s.committer.write = func(txn *badger.Txn) error {
		close(entered)
		<-leave
		return txn.Commit()
	}
	pending := hand(s, key, 2, text1("ann", "in flight"))
	<-entered
	view, found, err := s.Conversation("c") // hangs if it waits
	if err != nil || !found || view.Head != 1 {
		t.Errorf("during a commit: %+v, %v, %v", view, found, err)
	}
	close(leave)
	if got := <-pending; got.err != nil {
		t.Fatal(got.err)
	}
	if view, _, _ := s.Conversation("c"); view.Head != 2 {
		t.Errorf("after Done the head is %d, want 2", view.Head)
	}
}

func TestCloseWaitsForReaders(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	talk(t, s, "c", 5)
	var reader, closer sync.WaitGroup
	entered, leave, closed := make(chan struct{}), make(chan struct{}), make(chan struct{})
	seen := 0
	reader.Go(func() {
		err := s.After("c", 0, func(protocol.Record) bool {
			if seen == 0 {
				close(entered)
				<-leave
				for s.views.isOpen() {
					runtime.Gosched() // until closing has begun
				}
			}
			seen++
			select {
			case <-closed:
				t.Error("the store closed under a reader")
			default:
			}
			return true
		})
		if err != nil {
			t.Error(err)
		}
	})
	<-entered
	closer.Go(func() { s.views.close(); close(closed) })
	close(leave)
	reader.Wait()
	closer.Wait()
	if seen != 5 {
		t.Errorf("saw %d records, want 5", seen)
	}
}

func (v *views) isOpen() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.current != nil
}
