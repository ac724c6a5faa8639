//go:build integration

package rabbitmq_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/konnektor-go/konnektor/internal/server"
	"github.com/konnektor-go/konnektor/notification/rabbitmq"
)

// patience is far longer than anything takes, the pauses before a new
// connection included.
const patience = 60 * time.Second

func TestMain(m *testing.M) { server.Main(m) }

// rig is one test's view of the shared node.
type rig struct {
	*testing.T
	node  *server.RabbitMQNode
	admin *amqp.Channel
	queue string // its own
}

func newRig(t *testing.T) *rig {
	t.Helper()
	node := server.SharedRabbitMQ(t)
	running := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, running) }) // the last of the cleanups
	return &rig{T: t, node: node, admin: channel(t, node), queue: strings.ReplaceAll(t.Name(), "/", ".")}
}

func channel(t *testing.T, node *server.RabbitMQNode) *amqp.Channel {
	t.Helper()
	conn, err := amqp.Dial(node.URL())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() }) // closed connections are part of the tests
	ch, err := conn.Channel()
	require.NoError(t, err)
	return ch
}

// reconnect is for tests that closed all connections, the rig's too.
func (r *rig) reconnect() { r.admin = channel(r.T, r.node) }

func (r *rig) declare(args amqp.Table) {
	r.Helper()
	_, err := r.admin.QueueDeclare(r.queue, true, false, false, false, args)
	require.NoError(r, err)
}

func (r *rig) quorum() { r.Helper(); r.declare(amqp.Table{"x-queue-type": "quorum"}) }

// fill publishes bodies "from" to "to".
func (r *rig) fill(from, to int) {
	r.Helper()
	for i := from; i <= to; i++ {
		require.NoError(r, r.admin.PublishWithContext(r.Context(), "", r.queue, true, false,
			amqp.Publishing{DeliveryMode: amqp.Persistent, Body: fmt.Append(nil, i)}))
	}
}

// holds waits until the queue has that many messages that nobody holds.
func (r *rig) holds(ready int) {
	r.Helper()
	got := -1
	require.Eventually(r, func() bool {
		q, err := r.admin.QueueDeclarePassive(r.queue, true, false, false, false, nil)
		got = q.Messages
		return err == nil && got == ready
	}, patience, 20*time.Millisecond, "ready messages, want %d", ready)
}

// left empties the queue, which nobody may hold any more, and returns the
// bodies that were still in it.
func (r *rig) left() []string {
	r.Helper()
	deliveries, err := r.admin.Consume(r.queue, "left", true, false, false, false, nil)
	require.NoError(r, err)
	const sentinel = "the end"
	require.NoError(r, r.admin.PublishWithContext(r.Context(), "", r.queue, true, false, amqp.Publishing{Body: []byte(sentinel)}))
	var bodies []string
	for {
		select {
		case d, ok := <-deliveries:
			require.True(r, ok)
			if string(d.Body) == sentinel {
				require.NoError(r, r.admin.Cancel("left", false))
				return bodies
			}
			bodies = append(bodies, string(d.Body))
		case <-time.After(patience):
			require.FailNow(r, "the sentinel was lost")
		}
	}
}

// subscribe returns a subscriber on the rig's queue and its messages.
func (r *rig) subscribe(config rabbitmq.SubscriberConfig) (*rabbitmq.Subscriber, <-chan *message.Message) {
	r.Helper()
	return r.subscribeAt(r.node.URL(), config)
}

func (r *rig) subscribeAt(address string, config rabbitmq.SubscriberConfig) (*rabbitmq.Subscriber, <-chan *message.Message) {
	r.Helper()
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	s, err := rabbitmq.NewSubscriber(address, config)
	require.NoError(r, err)
	r.Cleanup(func() { require.NoError(r, s.Close()) })
	messages, err := s.Subscribe(r.Context(), r.queue)
	require.NoError(r, err)
	return s, messages
}

func (r *rig) publisher(address string, config rabbitmq.PublisherConfig) *rabbitmq.Publisher {
	r.Helper()
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	p, err := rabbitmq.NewPublisher(address, config)
	require.NoError(r, err)
	r.Cleanup(func() { require.NoError(r, p.Close()) })
	return p
}

// next returns the next message.
func next(t require.TestingT, messages <-chan *message.Message) *message.Message {
	select {
	case msg, ok := <-messages:
		require.True(t, ok, "the output is closed")
		return msg
	case <-time.After(patience):
		require.FailNow(t, "no message")
		return nil
	}
}

// closeConnections ends all connections as an operator does.
func (r *rig) closeConnections() {
	r.Helper()
	_, err := r.node.Ctl("close_all_connections", "a test")
	require.NoError(r, err)
	r.reconnect()
}

// collect acks messages until it has seen want different bodies.
func collect(ctx context.Context, t *testing.T, messages <-chan *message.Message, want int) {
	t.Helper()
	seen := map[string]bool{}
	for len(seen) < want {
		require.NoError(t, ctx.Err())
		msg := next(t, messages)
		require.NotEmpty(t, msg.Payload, "nobody published an empty message")
		seen[string(msg.Payload)] = true
		msg.Ack()
	}
}
