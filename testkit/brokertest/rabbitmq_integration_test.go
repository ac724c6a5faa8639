//go:build integration

package brokertest_test

import (
	"errors"
	"fmt"
	"log/slog"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/konnektor-go/konnektor/internal/server"
	"github.com/konnektor-go/konnektor/notification/rabbitmq"
	"github.com/konnektor-go/konnektor/testkit/brokertest"
)

func TestMain(m *testing.M) { server.Main(m) }

func TestRabbitMQ(t *testing.T) {
	node := server.SharedRabbitMQ(t)
	running := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, running) })
	admin := newAdmin(t, node)
	brokertest.Run(t, brokertest.Config{Without: map[string]string{
		"Loss/a consumer that the broker cancels gets what it held again": "a single node cancels a consumer " +
			"only when its queue is deleted, which is a case of its own",
		"DeadLetter/with at-least-once, what has nowhere to go stays and is tried again after three minutes": "it takes three minutes",
	}}, func(t *testing.T, s brokertest.Settings) brokertest.Harness {
		admin.declareExchange(t, s.Exchange)
		proxy := server.NewProxy(t, node.URL())
		quiet := slog.New(slog.DiscardHandler)
		return brokertest.Harness{
			Declare: admin.declare, Delete: admin.remove, Bind: admin.bind, Publish: admin.publish,
			Reject: admin.reject, Cut: proxy.Cut,
			Publisher: func() message.Publisher {
				p, err := rabbitmq.NewPublisher(proxy.URL(), rabbitmq.PublisherConfig{Exchange: s.Exchange, Logger: quiet})
				require.NoError(t, err)
				return p
			},
			Subscriber: func() message.Subscriber {
				sub, err := rabbitmq.NewSubscriber(proxy.URL(), rabbitmq.SubscriberConfig{
					Prefetch: s.Prefetch, StopTimeout: s.StopTimeout, Logger: quiet,
				})
				require.NoError(t, err)
				return sub
			},
		}
	})
}

func TestWatermillOnRabbitMQ(t *testing.T) {
	for _, kind := range []string{"quorum", "classic"} {
		t.Run(kind, func(t *testing.T) {
			node := server.SharedRabbitMQ(t)
			admin := newAdmin(t, node)
			quiet := slog.New(slog.DiscardHandler)
			watermillSuite(t, func(t *testing.T, prefetch int) (message.Publisher, message.Subscriber) {
				p, err := rabbitmq.NewPublisher(node.URL(), rabbitmq.PublisherConfig{Logger: quiet})
				require.NoError(t, err)
				s, err := rabbitmq.NewSubscriber(node.URL(), rabbitmq.SubscriberConfig{
					Prefetch: prefetch, StopTimeout: stopTimeout, Logger: quiet,
				})
				require.NoError(t, err)
				return p, initializer{s, func(queue string) error {
					return admin.declare(queue, amqp.Table{"x-queue-type": kind})
				}}
			})
		})
	}
}

// admin does what the transport does not, on a connection of its own.
type admin struct{ conn *amqp.Connection }

func newAdmin(t *testing.T, node *server.RabbitMQNode) admin {
	t.Helper()
	conn, err := amqp.Dial(node.URL())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close()) })
	return admin{conn}
}

// with gives f a channel, which an error closes.
func (a admin) with(f func(*amqp.Channel) error) error {
	ch, err := a.conn.Channel()
	if err != nil {
		return err
	}
	return errors.Join(f(ch), ch.Close())
}

func (a admin) declare(queue string, args amqp.Table) error {
	return a.with(func(ch *amqp.Channel) error {
		_, err := ch.QueueDeclare(queue, true, false, false, false, args)
		return err
	})
}

func (a admin) remove(queue string) error {
	return a.with(func(ch *amqp.Channel) error {
		_, err := ch.QueueDelete(queue, false, false, false)
		return err
	})
}

func (a admin) declareExchange(t *testing.T, exchange string) {
	t.Helper()
	require.NoError(t, a.with(func(ch *amqp.Channel) error {
		return ch.ExchangeDeclare(exchange, amqp.ExchangeTopic, true, false, false, false, nil)
	}))
}

func (a admin) bind(exchange, queue string, patterns ...string) error {
	return a.with(func(ch *amqp.Channel) error {
		if err := ch.ExchangeDeclare(exchange, amqp.ExchangeTopic, true, false, false, false, nil); err != nil {
			return err
		}
		for _, p := range patterns {
			if err := ch.QueueBind(queue, p, exchange, false, nil); err != nil {
				return err
			}
		}
		return nil
	})
}

func (a admin) publish(exchange, key string, p amqp.Publishing) error {
	return a.with(func(ch *amqp.Channel) error {
		if err := ch.Confirm(false); err != nil {
			return err
		}
		closed := ch.NotifyClose(make(chan *amqp.Error, 1))
		returned := ch.NotifyReturn(make(chan amqp.Return, 1))
		confirm, err := ch.PublishWithDeferredConfirm(exchange, key, true, false, p)
		if err != nil {
			return err
		}
		<-confirm.Done()
		if !confirm.Acked() {
			if err := <-closed; err != nil {
				return err
			}
		}
		select {
		case r := <-returned:
			return fmt.Errorf("returned: %s", r.ReplyText)
		default:
			return nil
		}
	})
}

func (a admin) reject(queue string) error {
	return a.with(func(ch *amqp.Channel) error {
		d, ok, err := ch.Get(queue, false)
		if err != nil {
			return err
		}
		if !ok {
			return errors.New("no message is ready")
		}
		return d.Reject(false)
	})
}
