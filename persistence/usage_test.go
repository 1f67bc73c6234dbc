package persistence

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"instantd/protocol"
)

// storeBytes are the values of instantd_store_bytes, by part.
func storeBytes(t *testing.T, registry *prometheus.Registry) map[string]int64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	parts := map[string]int64{}
	for _, f := range families {
		if f.GetName() != "instantd_store_bytes" {
			continue
		}
		for _, m := range f.GetMetric() {
			parts[m.GetLabel()[0].GetValue()] = int64(m.GetGauge().GetValue())
		}
	}
	return parts
}

func TestStoreBytesAreThoseOnDisk(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	o := options(t.TempDir())
	o.Registerer = registry
	measured := func(s *Store) map[string]int64 {
		t.Helper()
		if err := s.usage.look(nil); err != nil {
			t.Fatal(err)
		}
		return storeBytes(t, registry)
	}
	between := func(part string, got, low, high int64) {
		t.Helper()
		if got < low || got > high {
			t.Errorf("%s take %d bytes, want %d to %d", part, got, low, high)
		}
	}
	const size = 300_000
	words := make([]byte, size) // random, so that nothing can compress them
	rand.Read(words)

	s := open(t, o)
	before := measured(s)
	commit(t, s, protocol.ConversationKey("c"), 1, group("ann"))
	commit(t, s, protocol.ConversationKey("c"), 2, protocol.MessageSent{
		Sender: "ann", Content: protocol.Content{Dialect: "d", Payload: words}})
	path := upload1(t, s, string(words))
	after := measured(s)
	between("new memtables", after[usageMemtables]-before[usageMemtables], size/2, 4*size) // less what the first page held
	between("files", after[usageFiles], size, 2*size)
	between("the value log", after[usageValueLog], 0, 1<<20) // its 128 MB are a hole

	s.Remove(path)
	if left := measured(s)[usageFiles]; left > size/2 {
		t.Errorf("files take %d bytes after the only one was removed", left)
	}
	closeStore(t, s) // writes tables
	s = open(t, o)
	between("tables", measured(s)[usageTables], size, 4*size)
}

func TestMeasuringStopsWithTheStore(t *testing.T) {
	t.Parallel()
	o := options(t.TempDir())
	folder := filepath.Join(o.Dir, filesName)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "x"), make([]byte, 10_000), 0o600); err != nil {
		t.Fatal(err)
	}
	u := newUsage(o)
	stop := make(chan struct{})
	close(stop)
	if err := u.look(stop); err != nil || u.parts[usageFiles].Load() != 0 {
		t.Errorf("a look that was stopped measured %d bytes, %v", u.parts[usageFiles].Load(), err)
	}
	u.watch(stop) // returns
	if err := u.look(nil); err != nil || u.parts[usageFiles].Load() < 10_000 {
		t.Errorf("a look measured %d bytes, %v", u.parts[usageFiles].Load(), err)
	}
}
