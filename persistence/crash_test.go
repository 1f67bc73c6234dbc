package persistence

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"instantd/protocol"
)

// crashDir names the environment variable that makes the test binary the
// process that is killed.
const crashDir = "PERSISTENCE_TEST_CRASH_DIR"

const crashActors = 32

// crashChild commits until it is killed, and says on standard output what was
// answered: conversation, seq and id of each commit.
func crashChild(dir string) {
	s, err := Open(options(dir))
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	var mu sync.Mutex
	for a := range crashActors {
		go func() {
			id := protocol.ConversationID(fmt.Sprintf("c%d", a))
			seq, _, err := s.Head(id)
			for err == nil {
				seq++
				var event protocol.Event = text1("ann", strings.Repeat("x", 200))
				if seq == 1 {
					event = group("ann", "bob")
				}
				got := <-hand(s, protocol.ConversationKey(id), seq, event)
				if err = got.err; err == nil {
					mu.Lock()
					fmt.Printf("%s %d %d\n", id, seq, got.records[0].ID)
					mu.Unlock()
				}
			}
			fmt.Println("error", err)
			os.Exit(1)
		}()
	}
	select {} // until killed
}

func TestKilledProcessLosesNothingThatItAnswered(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	answered := map[string]protocol.MessageID{}
	for round := range 4 {
		runUntilKilled(t, dir, 400*(round+1), answered)
		s := open(t, options(dir))
		for place, id := range answered {
			r, found, err := s.Find(id)
			if err != nil || !found || fmt.Sprintf("%s %d", r.Conversation(), r.Seq) != place {
				t.Fatalf("round %d: answered %s as %s, found %v %v %v", round, place, id, r, found, err)
			}
		}
		report := wantSound(t, s)
		// Of each actor at most one commit was durable and not answered yet.
		if surplus := report.Records - len(answered); surplus < 0 || surplus > crashActors*(round+1) {
			t.Fatalf("round %d: %d records, %d were answered", round, report.Records, len(answered))
		}
		closeStore(t, s)
	}
}

// runUntilKilled kills the child after some answers, and adds all that it gave.
func runUntilKilled(t *testing.T, dir string, after int, answered map[string]protocol.MessageID) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), crashDir+"="+dir)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	for n := 0; ; n++ {
		line, err := lines.ReadString('\n')
		if err != nil {
			break // killed; a line without an end was not said
		}
		var place string
		var seq, id int64
		if _, err := fmt.Sscanf(line, "%s %d %d", &place, &seq, &id); err != nil {
			t.Errorf("the child said %q", line)
			break
		}
		answered[fmt.Sprintf("%s %d", place, seq)] = protocol.MessageID(id)
		if n == after {
			if err := child.Process.Kill(); err != nil {
				t.Error(err)
			}
		}
	}
	child.Process.Kill()
	child.Wait() // its error tells that it was killed
}
