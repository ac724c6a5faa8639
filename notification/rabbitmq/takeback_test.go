package rabbitmq

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"
)

// books keeps what was settled, by tag.
type books struct {
	mu    sync.Mutex
	acked map[uint64]bool
	upTo  uint64 // by groups
}

func (b *books) Ack(tag uint64, multiple bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if multiple {
		b.upTo = max(b.upTo, tag)
	}
	b.acked[tag] = true
	return nil
}

func (b *books) Nack(uint64, bool, bool) error { return nil }
func (b *books) Reject(uint64, bool) error     { return nil }

// TestWhatNobodyTookIsNotSettled ends subscriptions while messages wait in the
// output channel and others are taken from it: what was taken is acked, and
// nothing else.
func TestWhatNobodyTookIsNotSettled(t *testing.T) {
	for seed := range uint64(300) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			const total = 40
			deliveries := make(chan amqp.Delivery, total)
			for tag := range uint64(total) {
				deliveries <- amqp.Delivery{DeliveryTag: tag + 1}
			}
			b := &books{acked: make(map[uint64]bool)}
			e := newEpoch(t.Context(), source{
				deliveries: deliveries, channel: b, lost: context.Background(),
				flush: func() error { return nil }, close: func() {},
			}, 100, slog.New(slog.DiscardHandler))
			out := make(chan *message.Message, 1+random.IntN(20))
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				_ = e.run(ctx, out, time.Minute)
			}()
			var mu sync.Mutex
			taken := make(map[uint64]bool)
			var consumers sync.WaitGroup
			for range 3 {
				pauses := []time.Duration{0, time.Duration(random.IntN(5)) * time.Millisecond, time.Duration(random.IntN(20)) * time.Millisecond}
				consumers.Go(func() {
					for i := 0; ; i++ {
						select {
						case msg := <-out:
							mu.Lock()
							taken[msg.Context().(*flight).tag] = true
							mu.Unlock()
							time.Sleep(pauses[i%len(pauses)])
							msg.Ack()
						case <-ended:
							return
						}
					}
				})
			}
			time.Sleep(time.Duration(random.IntN(30)) * time.Millisecond)
			stop()
			<-ended
			consumers.Wait()
			require.Empty(t, out)
			b.mu.Lock()
			defer b.mu.Unlock()
			for tag := range taken {
				require.True(t, b.acked[tag] || tag <= b.upTo, "seed %d: %d was acked", seed, tag)
			}
			for tag := uint64(1); tag <= total; tag++ {
				if !taken[tag] {
					require.False(t, b.acked[tag] || tag <= b.upTo, "seed %d: nobody took %d", seed, tag)
				}
			}
		})
	}
}

// TestAGroupEndsBelowWhatWasTakenBack has a consumer take a message right after an
// earlier one was taken back.
func TestAGroupEndsBelowWhatWasTakenBack(t *testing.T) {
	b := &books{acked: make(map[uint64]bool)}
	s := newSettler(b, 100, slog.New(slog.DiscardHandler))
	flights := make([]*flight, 6)
	for i := range flights {
		flights[i] = newFlight(t.Context(), amqp.Delivery{DeliveryTag: uint64(i + 1)})
		s.add(flights[i])
	}
	flights[2].back.Store(true)
	for _, i := range []int{0, 1, 3, 4, 5} {
		flights[i].msg.Ack()
	}
	s.flush(time.Now(), true)
	require.Equal(t, uint64(2), b.upTo)
	require.Equal(t, map[uint64]bool{2: true, 4: true, 5: true, 6: true}, b.acked)
	require.Zero(t, s.inFlight(), "nobody waits for it")
}
