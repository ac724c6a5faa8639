//go:build integration

package rabbitmq_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	wamqp "github.com/ThreeDotsLabs/watermill-amqp/v3/pkg/amqp"
	"github.com/ThreeDotsLabs/watermill/message"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/internal/server"
	"github.com/konnektor-go/konnektor/notification"
	"github.com/konnektor-go/konnektor/notification/rabbitmq"
)

var _ wamqp.Marshaler = rabbitmq.Marshaler{}

// numbered returns messages with the numbers as bodies.
func numbered(from, to int) []*message.Message {
	var messages []*message.Message
	for i := from; i <= to; i++ {
		messages = append(messages, message.NewMessage(watermill.NewUUID(), fmt.Append(nil, i)))
	}
	return messages
}

func numbers(from, to int) []string {
	var all []string
	for i := from; i <= to; i++ {
		all = append(all, strconv.Itoa(i))
	}
	return all
}

func TestPublisherConfirmsAll(t *testing.T) {
	r := newRig(t)
	r.declare(nil) // a quorum queue would add to the headers
	p := r.publisher(r.node.URL(), rabbitmq.PublisherConfig{Window: 10})
	require.NoError(t, p.Publish(r.queue, numbered(1, 250)...))
	msg := message.NewMessage("id-1", []byte("last"))
	msg.Metadata = message.Metadata{"key": "value", notification.MetaContentType: "text/plain", "x-death": "[]"}
	require.NoError(t, p.Publish(r.queue, msg))

	for i := 1; i <= 251; i++ { // in order
		d, ok, err := r.admin.Get(r.queue, true)
		require.NoError(t, err)
		require.True(t, ok, "message %d", i)
		require.Equal(t, amqp.Persistent, d.DeliveryMode)
		require.Empty(t, d.UserId)
		if i == 251 {
			require.Equal(t, "id-1", d.MessageId)
			require.Equal(t, "text/plain", d.ContentType)
			require.Equal(t, amqp.Table{"key": "value", "amqp.publish": "251"}, d.Headers)
			break
		}
		require.Equal(t, strconv.Itoa(i), string(d.Body))
	}
}

func TestPublisherKnowsExactlyWhatIsUnroutable(t *testing.T) {
	r := newRig(t)
	r.quorum()
	exchange := r.queue + ".headers"
	require.NoError(t, r.admin.ExchangeDeclare(exchange, amqp.ExchangeHeaders, false, true, false, false, nil))
	require.NoError(t, r.admin.QueueBind(r.queue, "", exchange, false, amqp.Table{"to": "us", "x-match": "all"}))
	p := r.publisher(r.node.URL(), rabbitmq.PublisherConfig{Exchange: exchange, Window: 4})

	// Messages differ in a header only: neither id nor key tells them apart.
	addressed := func(to string) *message.Message {
		msg := message.NewMessage("the same", []byte(to))
		msg.Metadata.Set("to", to)
		return msg
	}
	var callers sync.WaitGroup
	for caller := range 4 {
		callers.Go(func() {
			for i := range 50 {
				if (i+caller)%2 == 0 {
					if err := p.Publish("key", addressed("us")); err != nil {
						t.Errorf("routable: %v", err)
					}
				} else if err := p.Publish("key", addressed("nobody")); err == nil {
					t.Error("unroutable, without an error")
				}
			}
		})
	}
	callers.Wait()
	err := p.Publish("key", addressed("us"), addressed("nobody"), addressed("us"), addressed("nobody"))
	require.ErrorIs(t, err, rabbitmq.ErrUnroutable)
	require.NotErrorIs(t, err, rabbitmq.ErrUnconfirmed)
	require.EqualError(t, err, "rabbitmq: publish: 2 of 4 messages failed, the first is number 2: rabbitmq: no queue is bound for the message")
	left := r.left()
	require.Len(t, left, 102, "the others were published")
	for _, to := range left {
		require.Equal(t, "us", to)
	}
}

func TestPublisherCallsShareTheWindow(t *testing.T) {
	r := newRig(t)
	r.quorum()
	p := r.publisher(r.node.URL(), rabbitmq.PublisherConfig{Window: 7})
	var callers sync.WaitGroup
	for caller := range 8 {
		callers.Go(func() {
			for i := range 10 {
				from := caller*100 + i*10 + 1
				if err := p.Publish(r.queue, numbered(from, from+9)...); err != nil {
					t.Error(err)
				}
			}
		})
	}
	callers.Wait()
	require.ElementsMatch(t, numbers(1, 800), r.left())
	out, err := r.node.Ctl("list_channels", "confirm")
	require.NoError(t, err)
	require.Equal(t, 1, strings.Count(out, "true"), "one channel for all")
}

func TestPublisherConnectsAgain(t *testing.T) {
	r := newRig(t)
	r.quorum()
	p := r.publisher(r.node.URL(), rabbitmq.PublisherConfig{})
	require.NoError(t, p.Publish(r.queue, numbered(1, 1)...))
	r.closeConnections() // while idle: the next call does not even notice
	require.Eventually(t, func() bool { return p.State().Phase == rabbitmq.Idle }, patience, 10*time.Millisecond)
	require.ErrorContains(t, p.State().LastError, "CONNECTION_FORCED")
	require.NoError(t, p.Publish(r.queue, numbered(2, 2)...))
	require.Equal(t, numbers(1, 2), r.left())
}

func TestPublisherSendsAgainAfterALoss(t *testing.T) {
	r := newRig(t)
	r.quorum()
	proxy := server.NewProxy(r, r.node.URL())
	p := r.publisher(proxy.URL(), rabbitmq.PublisherConfig{Window: 20})
	require.NoError(t, p.Publish(r.queue, numbered(1, 1)...))
	proxy.Silence(true) // messages arrive, confirms do not
	result := make(chan error, 1)
	go func() { result <- p.Publish(r.queue, numbered(2, 100)...) }()
	r.holds(21) // a window is under way
	proxy.Silence(false)
	proxy.Cut()
	require.NoError(t, <-result)
	left := r.left()
	require.Subset(t, left, numbers(1, 100), "all arrived")
	require.Len(t, left, 120, "the window's twice")
}

func TestPublisherGivesUpOnASilentBroker(t *testing.T) {
	r := newRig(t)
	r.quorum()
	proxy := server.NewProxy(r, r.node.URL())
	p := r.publisher(proxy.URL(), rabbitmq.PublisherConfig{ConfirmTimeout: 300 * time.Millisecond})
	require.NoError(t, p.Publish(r.queue, numbered(1, 1)...))
	proxy.Silence(true)
	err := p.Publish(r.queue, numbered(2, 3)...)
	require.ErrorIs(t, err, rabbitmq.ErrUnconfirmed)
	require.ErrorContains(t, err, "2 of 2 messages failed")
	require.ErrorContains(t, err, "did not confirm it in time")

	proxy.Silence(false) // on the old connection too, but the new one is used
	require.NoError(t, p.Publish(r.queue, numbered(4, 4)...))
	require.Equal(t, numbers(1, 4), r.left())
}

func TestPublisherObeysTheContext(t *testing.T) {
	r := newRig(t)
	r.quorum()
	proxy := server.NewProxy(r, r.node.URL())
	p := r.publisher(proxy.URL(), rabbitmq.PublisherConfig{Window: 1})
	require.NoError(t, p.Publish(r.queue, numbered(1, 1)...))
	proxy.Silence(true)
	ctx, cancel := context.WithCancel(t.Context())
	messages := numbered(2, 3)
	for _, msg := range messages {
		msg.SetContext(ctx)
	}
	result := make(chan error, 1)
	go func() { result <- p.Publish(r.queue, messages...) }()
	r.holds(2) // the first was sent, the second waits for a place
	cancel()
	err := <-result
	require.ErrorIs(t, err, rabbitmq.ErrUnconfirmed)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "2 of 2 messages failed, the first is number 1")
	proxy.Silence(false)
	proxy.Cut()
	require.NoError(t, p.Publish(r.queue, numbered(4, 4)...))
	require.Equal(t, []string{"1", "2", "4"}, r.left())
}

func TestPublisherReportsRefusals(t *testing.T) {
	r := newRig(t)
	r.declare(amqp.Table{"x-max-length": 1, "x-overflow": "reject-publish"})
	full := r.publisher(r.node.URL(), rabbitmq.PublisherConfig{})
	require.NoError(t, full.Publish(r.queue, numbered(1, 1)...))
	err := full.Publish(r.queue, numbered(2, 2)...)
	require.ErrorIs(t, err, rabbitmq.ErrUnconfirmed)
	require.ErrorContains(t, err, "the broker refused it")
	require.Equal(t, numbers(1, 1), r.left())
	require.NoError(t, full.Publish(r.queue, numbered(3, 3)...), "there is room again")

	nowhere := r.publisher(r.node.URL(), rabbitmq.PublisherConfig{Exchange: r.queue + ".missing"})
	require.ErrorContains(t, nowhere.Publish("key", numbered(1, 1)...), "NOT_FOUND - no exchange")
}

func TestPublisherCloseWaitsForCalls(t *testing.T) {
	r := newRig(t)
	r.quorum()
	proxy := server.NewProxy(r, r.node.URL())
	p := r.publisher(proxy.URL(), rabbitmq.PublisherConfig{ConfirmTimeout: 2 * time.Second})
	require.NoError(t, p.Publish(r.queue, numbered(1, 1)...))
	proxy.Silence(true)
	result := make(chan error, 1)
	go func() { result <- p.Publish(r.queue, numbered(2, 2)...) }()
	r.holds(2)
	require.NoError(t, p.Close())
	select {
	case err := <-result:
		require.ErrorIs(t, err, rabbitmq.ErrUnconfirmed)
	default:
		require.Fail(t, "Close did not wait")
	}
	require.ErrorIs(t, p.Publish(r.queue, numbered(3, 3)...), rabbitmq.ErrClosed)
}

func TestWatermillApplicationsUnderstandUs(t *testing.T) {
	r := newRig(t)
	config := wamqp.NewDurableQueueConfig(r.node.URL())
	config.Marshaler = rabbitmq.Marshaler{}
	publisher, err := wamqp.NewPublisher(config, watermill.NopLogger{})
	require.NoError(t, err)
	defer publisher.Close()
	subscriber, err := wamqp.NewSubscriber(config, watermill.NopLogger{})
	require.NoError(t, err)
	defer subscriber.Close()
	require.NoError(t, subscriber.SubscribeInitialize(r.queue))

	// From them to us.
	out := message.NewMessage("uuid-1", []byte("body"))
	out.Metadata.Set("key", "value")
	require.NoError(t, publisher.Publish(r.queue, out))
	s, ours := r.subscribe(rabbitmq.SubscriberConfig{})
	in := next(t, ours)
	require.Equal(t, "uuid-1", in.UUID)
	require.Equal(t, "value", in.Metadata["key"])
	require.Equal(t, "body", string(in.Payload))
	in.Ack()

	// From their application that has not changed its marshaler.
	config.Marshaler = wamqp.DefaultMarshaler{}
	old, err := wamqp.NewPublisher(config, watermill.NopLogger{})
	require.NoError(t, err)
	defer old.Close()
	out = message.NewMessage("uuid-2", []byte("body"))
	require.NoError(t, old.Publish(r.queue, out))
	in = next(t, ours)
	require.Equal(t, "uuid-2", in.UUID)
	require.NotContains(t, in.Metadata, wamqp.DefaultMessageUUIDHeaderKey)
	in.Ack()
	require.NoError(t, s.Close())

	// From us to them, and typed headers from a third.
	theirs, err := subscriber.Subscribe(t.Context(), r.queue)
	require.NoError(t, err)
	p := r.publisher(r.node.URL(), rabbitmq.PublisherConfig{})
	out = message.NewMessage("uuid-3", []byte("body"))
	out.Metadata.Set("key", "value")
	require.NoError(t, p.Publish(r.queue, out))
	in = next(t, theirs)
	require.Equal(t, "uuid-3", in.UUID)
	require.Equal(t, "value", in.Metadata["key"])
	require.NotContains(t, in.Metadata, "amqp.publish")
	in.Ack()
	require.NoError(t, r.admin.PublishWithContext(t.Context(), "", r.queue, true, false, amqp.Publishing{
		Headers: amqp.Table{"n": int32(7), "list": []any{"x", int64(1)}}, Body: []byte("typed"),
	}))
	in = next(t, theirs)
	require.Equal(t, "7", in.Metadata["n"])
	require.Equal(t, `["x",1]`, in.Metadata["list"])
	in.Ack()
}
