package actors_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"instantd/actors"
	"instantd/persistence"
	"instantd/protocol"
)

func startBench(b *testing.B) *actors.Core {
	store, err := persistence.Open(persistence.Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	core := actors.New(actors.Options{Store: store})
	b.Cleanup(func() {
		if err := core.Shutdown(context.Background()); err != nil {
			b.Log(err)
		}
		store.Close()
	})
	return core
}

func mustDo[R any](b *testing.B, core *actors.Core, command protocol.Command[R]) R {
	answer, err := protocol.Do(b.Context(), core, command)
	if err != nil {
		b.Fatal(err)
	}
	return answer
}

// BenchmarkSend measures durable answers, by the number of publishers.
func BenchmarkSend(b *testing.B) {
	for _, publishers := range []int{1, 16, 256} {
		b.Run(fmt.Sprint(publishers), func(b *testing.B) {
			core := startBench(b)
			var ids []protocol.ConversationID
			for range 64 {
				ids = append(ids, mustDo(b, core, protocol.CreateConversation{By: protocol.AsUser("a"), Kind: protocol.Group}).ID)
			}
			text := protocol.Text(fmt.Sprintf("%200d", 0))
			var wg sync.WaitGroup
			b.ResetTimer()
			for i := range publishers {
				wg.Go(func() {
					for n := i; n < b.N; n += publishers {
						mustDo(b, core, protocol.SendMessage{Conversation: ids[n%len(ids)], By: protocol.AsUser("a"), Content: text})
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
		})
	}
}
