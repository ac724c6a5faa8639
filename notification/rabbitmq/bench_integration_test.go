//go:build integration

package rabbitmq_test

import (
	"log/slog"
	"testing"

	"github.com/ThreeDotsLabs/watermill"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/internal/server"
	"github.com/konnektor-go/konnektor/notification/rabbitmq"
)

// benchQueue makes a quorum queue for one run of a benchmark.
func benchQueue(b *testing.B, node *server.RabbitMQNode) string {
	b.Helper()
	conn, err := amqp.Dial(node.URL())
	require.NoError(b, err)
	defer conn.Close()
	ch, err := conn.Channel()
	require.NoError(b, err)
	q, err := ch.QueueDeclare("bench-"+watermill.NewShortUUID(), true, false, false, false, amqp.Table{"x-queue-type": "quorum"})
	require.NoError(b, err)
	return q.Name
}

// BenchmarkPublisher publishes in one call, so the time is that of a message in a
// stream.
func BenchmarkPublisher(b *testing.B) {
	node := server.SharedRabbitMQ(b)
	for _, window := range []struct {
		name string
		size int
	}{{"window 1", 1}, {"window 10", 10}, {"window 100", 100}} {
		b.Run(window.name, func(b *testing.B) {
			queue := benchQueue(b, node)
			p, err := rabbitmq.NewPublisher(node.URL(), rabbitmq.PublisherConfig{Window: window.size})
			require.NoError(b, err)
			messages := numbered(1, b.N)
			b.ReportAllocs()
			b.ResetTimer()
			require.NoError(b, p.Publish(queue, messages...))
			b.StopTimer()
			require.NoError(b, p.Close())
		})
	}
}

// BenchmarkSubscriber consumes and acks a message.
func BenchmarkSubscriber(b *testing.B) {
	node := server.SharedRabbitMQ(b)
	queue := benchQueue(b, node)
	p, err := rabbitmq.NewPublisher(node.URL(), rabbitmq.PublisherConfig{})
	require.NoError(b, err)
	require.NoError(b, p.Publish(queue, numbered(1, b.N)...))
	require.NoError(b, p.Close())
	s, err := rabbitmq.NewSubscriber(node.URL(), rabbitmq.SubscriberConfig{Logger: slog.New(slog.DiscardHandler)})
	require.NoError(b, err)
	b.ReportAllocs()
	b.ResetTimer()
	messages, err := s.Subscribe(b.Context(), queue)
	require.NoError(b, err)
	for range b.N {
		next(b, messages).Ack()
	}
	require.NoError(b, s.Close()) // the acks have reached the broker
}
