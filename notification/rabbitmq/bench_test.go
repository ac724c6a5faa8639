package rabbitmq

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	amqp "github.com/rabbitmq/amqp091-go"
)

// silent is a broker's side that settles everything at once.
type silent struct{}

func (silent) Ack(uint64, bool) error        { return nil }
func (silent) Nack(uint64, bool, bool) error { return nil }
func (silent) Reject(uint64, bool) error     { return nil }

// BenchmarkDelivery is what a message costs between the client library and its
// ack, without a broker.
func BenchmarkDelivery(b *testing.B) {
	for _, workers := range []struct {
		name  string
		count int
	}{{"one by one", 1}, {"256 at once", 256}} {
		b.Run(workers.name, func(b *testing.B) {
			deliveries, out := make(chan amqp.Delivery), make(chan *message.Message)
			e := newEpoch(b.Context(), source{
				channel: silent{}, deliveries: deliveries, lost: context.Background(),
				flush: func() error { return nil }, close: func() {},
			}, 256, slog.New(slog.DiscardHandler))
			ctx, cancel := context.WithCancel(b.Context())
			var tasks, consumers sync.WaitGroup
			tasks.Go(func() { _ = e.run(ctx, out, time.Minute) })
			for range workers.count {
				consumers.Go(func() {
					for msg := range out {
						msg.Ack()
					}
				})
			}
			d := amqp.Delivery{ContentType: "application/json", MessageId: "4d3559ec67504aaba65d40b0363faad8", RoutingKey: "a.b.c", Exchange: "e", Body: []byte("{}")}
			b.ReportAllocs()
			for b.Loop() {
				d.DeliveryTag++
				deliveries <- d
			}
			cancel()
			tasks.Wait()
			b.StopTimer()
			close(out)
			consumers.Wait()
		})
	}
}
