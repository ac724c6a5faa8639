//go:build integration && !race

package brokertest_test

import (
	"errors"
	"log/slog"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/internal/server"
	"github.com/konnektor-go/konnektor/notification/rabbitmq"
)

// TestWatermillRestartOnRabbitMQ kills the node twice while 10,000 messages are
// published and acked.
func TestWatermillRestartOnRabbitMQ(t *testing.T) {
	node := server.RabbitMQ(t)
	quiet := slog.New(slog.DiscardHandler)
	restart := func() error { return errors.Join(node.Kill(), node.Start()) }
	watermillRestart(t, restart, func(t *testing.T) (message.Publisher, message.Subscriber) {
		p, err := rabbitmq.NewPublisher(node.URL(), rabbitmq.PublisherConfig{Logger: quiet})
		require.NoError(t, err)
		s, err := rabbitmq.NewSubscriber(node.URL(), rabbitmq.SubscriberConfig{StopTimeout: stopTimeout, Logger: quiet})
		require.NoError(t, err)
		return p, initializer{s, func(queue string) error {
			conn, err := amqp.Dial(node.URL())
			if err != nil {
				return err
			}
			err = admin{conn}.declare(queue, amqp.Table{"x-queue-type": "quorum"})
			return errors.Join(err, conn.Close())
		}}
	})
}
