package rabbitmq_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"

	"github.com/ThreeDotsLabs/watermill"
	wamqp "github.com/ThreeDotsLabs/watermill-amqp/v3/pkg/amqp"
	"github.com/ThreeDotsLabs/watermill/message"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/konnektor-go/konnektor/notification"
	"github.com/konnektor-go/konnektor/notification/rabbitmq"
)

// The messages of a queue are handled, many at a time, until the program is
// interrupted.
func ExampleSubscriber() {
	run := func(ctx context.Context, url string) error {
		subscriber, err := rabbitmq.NewSubscriber(url, rabbitmq.SubscriberConfig{
			Name:     "people-to-ldap",
			Prefetch: 100,
		})
		if err != nil {
			return err
		}
		defer subscriber.Close()
		router, err := message.NewRouter(message.RouterConfig{}, watermill.NopLogger{})
		if err != nil {
			return err
		}
		router.AddConsumerHandler("people", "from_system-production-iga", subscriber,
			func(msg *message.Message) error {
				slog.InfoContext(msg.Context(), "message", "routing_key", msg.Metadata.Get(notification.MetaRoutingKey))
				return nil // acks it; an error puts it back
			})
		return router.Run(ctx)
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	fmt.Println(run(ctx, os.Getenv("AMQP_URL")))
}

// A message is published to the application's own exchange.
func ExamplePublisher() {
	publish := func(url string) error {
		publisher, err := rabbitmq.NewPublisher(url, rabbitmq.PublisherConfig{
			Exchange: "outgoing_system-production-my_app",
		})
		if err != nil {
			return err
		}
		defer publisher.Close()
		msg := message.NewMessage(watermill.NewUUID(), []byte("accounts/123456"))
		msg.Metadata.Set(notification.MetaContentType, "text/plain")
		return publisher.Publish("no.example.my_app.production.accounts.update", msg)
	}

	err := publish(os.Getenv("AMQP_URL"))
	fmt.Println(errors.Is(err, rabbitmq.ErrUnroutable))
}

// A cluster has several hosts. The password is read from a file whenever a
// connection is made, and TLS has an authority and a certificate of one's own.
func ExampleConnection() {
	_, err := rabbitmq.NewSubscriber("amqps://people-to-ldap@mq1.example.no,mq2.example.no,mq3.example.no/",
		rabbitmq.SubscriberConfig{Connection: rabbitmq.Connection{
			Vhost:        "system-production-people_to_ldap",
			PasswordFile: "/run/secrets/rabbitmq",
			CAFile:       "/etc/ssl/missing.pem",
		}})
	fmt.Println(err)
	// Output: rabbitmq: Connection.CAFile: open /etc/ssl/missing.pem: no such file or directory
}

// An application declares what it adds itself: here a queue with dead-lettering,
// and what it takes from the exchange that the portal has made.
func ExampleTopology() {
	const queue = "people"
	own := rabbitmq.Topology{
		Queues: []rabbitmq.Queue{
			{Name: queue + ".dead"},
			{Name: queue, DeliveryLimit: 20, DeadLetter: queue + ".dead"},
		},
		Bindings: []rabbitmq.Binding{
			{Queue: queue, Exchange: rabbitmq.From("system-production-iga"), Key: "no.uio.iga.person.#"},
		},
	}
	subscriber, err := rabbitmq.NewSubscriber("amqps://localhost", rabbitmq.SubscriberConfig{Declare: own})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer subscriber.Close()
	fmt.Println(own.Bindings[0].Exchange)
	// Output: from_system-production-iga
}

// A readiness check looks at the state of each subscription.
func ExampleSubscriber_State() {
	subscriber, err := rabbitmq.NewSubscriber("amqp://127.0.0.1:1", rabbitmq.SubscriberConfig{
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer subscriber.Close()
	if _, err := subscriber.Subscribe(context.Background(), "people"); err != nil {
		fmt.Println(err)
		return
	}
	for _, state := range subscriber.State() {
		fmt.Println(state.Name, state.Phase)
	}
	// Output: people connecting
}

// A doctor command prints what was found, and fails for a problem.
func ExampleSubscriber_Check() {
	subscriber, err := rabbitmq.NewSubscriber("amqp://127.0.0.1:1", rabbitmq.SubscriberConfig{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer subscriber.Close()
	for _, f := range subscriber.Check(context.Background(), "people") {
		fmt.Println(f.Name, f.Verdict)
	}
	// Output: connection problem
}

// An application that stays with watermill-amqp understands all headers.
func ExampleMarshaler() {
	config := wamqp.NewDurableQueueConfig("amqp://localhost")
	config.Marshaler = rabbitmq.Marshaler{}

	msg, err := config.Marshaler.Unmarshal(amqp.Delivery{
		Headers:     amqp.Table{"x-delivery-count": int64(2)},
		Redelivered: true,
		Body:        []byte("accounts/123456"),
	})
	fmt.Println(string(msg.Payload), msg.Metadata.Get("x-delivery-count"), err)
	// Output: accounts/123456 2 <nil>
}
