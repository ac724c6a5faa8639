package connector_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/connector"
	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/sink"
	"github.com/konnektor-go/konnektor/source"
)

// inbox is a subscriber without a broker.
type inbox chan *message.Message

func (in inbox) Subscribe(context.Context, string) (<-chan *message.Message, error) { return in, nil }
func (inbox) Close() error                                                          { return nil }

// durable is a store in memory that says it is not, so that notifications are
// acked when they are marked.
type durable struct{ *work.Memory }

func (durable) Durable() bool { return true }

// BenchmarkEngine is what the engine alone costs for each notification, from the
// message to the stored outcome: source, mapping and sink do nothing, and the
// work store is in memory.
func BenchmarkEngine(b *testing.B) {
	for _, workers := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			const inFlight = 256
			var reconciled sync.WaitGroup
			flow := connector.Flow[struct{}, struct{}]{
				Name: "nothing",
				Source: source.Func[struct{}](func(context.Context, source.Request) (struct{}, error) {
					reconciled.Done()
					return struct{}{}, nil
				}),
				Map: func(context.Context, entity.Key, struct{}) (connector.Desired[struct{}], error) {
					return connector.Present(struct{}{}), nil
				},
				Sink:    sink.Discard[struct{}]{},
				Workers: workers,
			}
			c, err := connector.New("bench", connector.Config{
				Store: durable{work.NewMemory()}, Logger: slog.New(slog.DiscardHandler),
			}, flow)
			require.NoError(b, err)
			in := make(inbox, inFlight)
			ctx, cancel := context.WithCancel(b.Context())
			ended := make(chan error, 1)
			go func() { ended <- c.Run(ctx, connector.Input{Subscriber: in, Topic: "t"}) }()
			messages := make([]*message.Message, b.N)
			for i := range messages {
				messages[i] = message.NewMessage(fmt.Sprint(i), fmt.Appendf(nil, `{"specversion":"1.0","id":"%d",`+
					`"type":"no.uio.iga.person.update","source":"https://iga.uio.no","subject":"/persons/%d","time":"2026-10-29T09:01:14Z"}`, i, i))
			}
			reconciled.Add(b.N)
			b.ReportAllocs()
			b.ResetTimer()
			for _, msg := range messages {
				in <- msg
			}
			reconciled.Wait()
			b.StopTimer()
			cancel()
			close(in)
			require.NoError(b, <-ended)
		})
	}
}

// BenchmarkIdle is what an entity costs that is known and has nothing to do, with
// the store in memory.
func BenchmarkIdle(b *testing.B) {
	store := work.NewMemory()
	b.ReportAllocs()
	for i := range b.N {
		k := entity.Key{Type: "persons", ID: fmt.Sprintf("%08d", i)}
		_, err := store.Mark(b.Context(), []work.Mark{{Flow: "people", Key: k}})
		require.NoError(b, err)
		leases, err := store.Lease(b.Context(), work.LeaseRequest{Flow: "people", N: 1, TTL: 1e9})
		require.NoError(b, err)
		_, err = store.Finish(b.Context(), []work.Outcome{{Lease: leases[0], Result: work.Done, Present: true, Summary: "unchanged"}})
		require.NoError(b, err)
	}
}
