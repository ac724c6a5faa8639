//go:build integration

package notification_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/internal/server"
	"github.com/konnektor-go/konnektor/notification"
	"github.com/konnektor-go/konnektor/notification/rabbitmq"
)

func TestMain(m *testing.M) { server.Main(m) }

// broker returns a publisher to an exchange, and the messages of a queue that is
// bound to it for persons.
func broker(t *testing.T, config notification.PublisherConfig) (*notification.Publisher, <-chan *message.Message) {
	t.Helper()
	node := server.SharedRabbitMQ(t)
	exchange, queue := rabbitmq.Outgoing(t.Name()), rabbitmq.From(t.Name())
	own := rabbitmq.Topology{
		Exchanges: []rabbitmq.Exchange{{Name: exchange}},
		Queues:    []rabbitmq.Queue{{Name: queue}},
		Bindings:  []rabbitmq.Binding{{Queue: queue, Exchange: exchange, Key: "no.uio.iga.*.persons.#"}},
	}
	quiet := slog.New(slog.DiscardHandler)
	to, err := rabbitmq.NewPublisher(node.URL(), rabbitmq.PublisherConfig{Exchange: exchange, Declare: own, Logger: quiet})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, to.Close()) })
	from, err := rabbitmq.NewSubscriber(node.URL(), rabbitmq.SubscriberConfig{Declare: own, Logger: quiet})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, from.Close()) })
	messages, err := from.Subscribe(t.Context(), queue)
	require.NoError(t, err)
	p, err := notification.NewPublisher(to, iga, config)
	require.NoError(t, err)
	return p, messages
}

// next acks the next message and returns what it says.
func next(t *testing.T, messages <-chan *message.Message) (*message.Message, notification.Notification) {
	t.Helper()
	select {
	case msg := <-messages:
		require.NotNil(t, msg)
		msg.Ack()
		ns, err := notification.Default().Decode(msg)
		require.NoError(t, err)
		require.Len(t, ns, 1)
		return msg, ns[0]
	case <-time.After(60 * time.Second): // far longer than it takes
		require.FailNow(t, "no message")
		return nil, notification.Notification{}
	}
}

func full(id string) notification.Notification {
	e := event.New()
	e.SetID("event-" + id)
	e.SetType("no.uio.iga.person.update")
	e.SetSource("https://other.uio.no/å")
	e.SetSubject("https://other.uio.no/api/v2/persons/" + id)
	e.SetTime(noon)
	e.SetExtension("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	e.SetExtension("sequence", 17)
	if err := e.SetData("application/json", map[string]any{"person_id": id}); err != nil {
		panic(err)
	}
	return notification.Notification{
		Event: e, Key: entity.Key{Type: "persons", ID: id}, NotBefore: noon.Add(time.Hour),
		Changed: []string{"name", "å, \"b\""}, Audience: []string{"AD_account"}, Operation: "rename",
		RoutingKey: "no.uio.iga.test.persons.rename",
	}
}

func TestPublisherOnRabbitMQ(t *testing.T) {
	for mode, prefix := range map[string]string{"structured": "", "colon": "cloudEvents:", "underscore": "cloudEvents_"} {
		t.Run(mode, func(t *testing.T) {
			p, messages := broker(t, notification.PublisherConfig{HeaderPrefix: prefix})
			want := full("90017")
			require.NoError(t, p.Publish(t.Context(), want))
			msg, got := next(t, messages)
			requireSame(t, want, got)
			require.Equal(t, "event-90017", msg.UUID)
			require.Equal(t, "event-90017", msg.Metadata.Get(notification.MetaMessageID))
			if prefix == "" {
				require.Equal(t, "application/cloudevents+json", msg.Metadata.Get(notification.MetaContentType))
			} else {
				require.Equal(t, "application/json", msg.Metadata.Get(notification.MetaContentType))
				require.Equal(t, "no.uio.iga.person.update", msg.Metadata.Get(prefix+"type"))
			}

			// With nothing in the body.
			require.NoError(t, p.Publish(t.Context(), change(func(n *notification.Notification) { n.RoutingKey = want.RoutingKey })))
			msg, got = next(t, messages)
			require.Equal(t, msg.UUID, got.Event.ID())
			require.Equal(t, "/persons/90017", got.Event.Subject())
		})
	}
}

func TestPublisherNamesWhatIsUnroutable(t *testing.T) {
	p, messages := broker(t, notification.PublisherConfig{RoutingKey: "no.uio.iga.test.{type}.{operation}"})
	var events []notification.Notification
	for i := range 300 {
		n := full(fmt.Sprint(i))
		n.RoutingKey = ""
		if i%3 == 1 {
			n.RoutingKey = "no.uio.iga.test.courses.update"
		}
		events = append(events, n)
	}
	err := p.Publish(t.Context(), events...)
	require.ErrorIs(t, err, rabbitmq.ErrUnroutable)
	require.ErrorContains(t, err, "100 of 300 notifications failed; [1]: no.uio.iga.person.update: rabbitmq: publish: ")
	var failed *notification.PublishError
	require.ErrorAs(t, err, &failed)
	require.Len(t, failed.Failed, 100)
	for i, err := range failed.Failed {
		require.Equal(t, 1, i%3)
		require.ErrorIs(t, err, rabbitmq.ErrUnroutable)
		require.NotErrorIs(t, err, rabbitmq.ErrUnconfirmed)
	}
	arrived := map[string]bool{}
	for len(arrived) < 200 {
		_, n := next(t, messages)
		arrived[n.Event.ID()] = true
	}
	for i := range events {
		require.Equal(t, i%3 != 1, arrived[events[i].Event.ID()])
	}
}

func TestPublisherKeepsTheOrderOfAnEntity(t *testing.T) {
	p, messages := broker(t, notification.PublisherConfig{})
	var events []notification.Notification
	for i := range 400 {
		n := full(fmt.Sprint(i % 40))
		n.Event.SetID(fmt.Sprint(i))
		events = append(events, n)
	}
	require.NoError(t, p.Publish(t.Context(), events...))
	last := map[string]int{}
	for range events {
		_, n := next(t, messages)
		var number int
		_, err := fmt.Sscan(n.Event.ID(), &number)
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint(number%40), n.Key.ID)
		if before, ok := last[n.Key.ID]; ok {
			require.Equal(t, before+40, number)
		}
		last[n.Key.ID] = number
	}
}

func TestPublisherEndsWithItsContext(t *testing.T) {
	p, messages := broker(t, notification.PublisherConfig{})
	n := full("1")
	require.NoError(t, p.Publish(t.Context(), n))
	next(t, messages)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := p.Publish(ctx, n, full("2"))
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "2 of 2 notifications failed")
}

// BenchmarkPublisher publishes batches of a thousand thin events of different
// entities to a quorum queue.
func BenchmarkPublisher(b *testing.B) {
	node := server.SharedRabbitMQ(b)
	queue := rabbitmq.From(b.Name())
	to, err := rabbitmq.NewPublisher(node.URL(), rabbitmq.PublisherConfig{Declare: rabbitmq.Topology{
		Queues: []rabbitmq.Queue{{Name: queue}},
	}})
	require.NoError(b, err)
	defer to.Close()
	p, err := notification.NewPublisher(to, iga, notification.PublisherConfig{})
	require.NoError(b, err)
	var events []notification.Notification
	for i := range 1000 {
		events = append(events, change(func(n *notification.Notification) { n.Key.ID, n.RoutingKey = fmt.Sprint(i), queue }))
	}
	for b.Loop() {
		require.NoError(b, p.Publish(b.Context(), events...))
	}
	b.ReportMetric(float64(b.N*len(events))/b.Elapsed().Seconds(), "events/s")
}
