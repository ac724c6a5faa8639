// Register is a register of people to try people-to-postgres with on a laptop:
// its API behind a gateway, and its notifications on a RabbitMQ. Now and then
// somebody in it marries.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/konnektor-go/konnektor/notification/rabbitmq"
	"github.com/konnektor-go/konnektor/testkit"
)

// queue is the name of the exchange and of the queue, as the portal names them.
const queue = "from_system-test-register"

func main() {
	listen := flag.String("listen", "127.0.0.1:8080", "`address` of the API gateway, loopback only")
	broker := flag.String("amqp", "amqp://guest:guest@127.0.0.1:5672/", "`URL` of a RabbitMQ to try things on")
	people := flag.Int("people", 20, "`number` of people in the register")
	every := flag.Duration("every", 5*time.Second, "`time` between two changes")
	flag.Parse()
	if *people < 1 || *every <= 0 || flag.NArg() > 0 {
		fmt.Fprintln(flag.CommandLine.Output(), "register: people and every must be greater than 0, and there are no arguments")
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, *listen, *broker, *people, *every)
	stop()
	if err != nil {
		slog.Error("register failed", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, listen, broker string, people int, every time.Duration) (err error) {
	api, err := testkit.NewGateway(testkit.GatewayConfig{ContextPath: "/register-api-test", Key: "my-key"})
	if err != nil {
		return err
	}
	if err := makeTopology(broker); err != nil {
		return err
	}
	publisher, err := rabbitmq.NewPublisher(broker, rabbitmq.PublisherConfig{Exchange: queue})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, publisher.Close()) }()
	server := &http.Server{Addr: listen, Handler: api, ReadHeaderTimeout: 5 * time.Second}
	go func() {
		<-ctx.Done()
		_ = server.Close() // nothing is lost: it only reads
	}()
	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	slog.Info("the register is open", "api", "http://"+listen+"/register-api-test", "key", "my-key", "queue", queue)

	for id := 1; id <= people; id++ {
		if err := change(api, publisher, id, "Hansen"); err != nil {
			return err
		}
	}
	families := []string{"Berg", "Dahl", "Eira", "Khan", "Lie", "Moe", "Nordmann", "Strand"}
	for {
		select {
		case err := <-failed:
			if ctx.Err() != nil {
				return nil
			}
			return err
		case <-time.After(every):
			id, family := 1+rand.IntN(people), families[rand.IntN(len(families))] //nolint:gosec // nobody guards this
			if err := change(api, publisher, id, family); err != nil {
				return err
			}
		}
	}
}

// person is a person in the API.
type person struct {
	GivenName  string `json:"givenName"`
	FamilyName string `json:"familyName"`
	Email      string `json:"email"`
}

// change saves a person in the register and says so to everybody.
func change(api *testkit.Gateway, publisher message.Publisher, id int, family string) error {
	path := fmt.Sprintf("persons/%d", id)
	err := api.Put(path, person{"Kari", family, fmt.Sprintf("person%d@example.org", id)})
	if err != nil {
		return err
	}
	slog.Info("changed", "person", id, "family", family)
	return publisher.Publish("no.example.register.test.persons.update", message.NewMessage(watermill.NewUUID(), []byte(path)))
}

// makeTopology makes the exchange and the queue that a real platform's portal
// makes for a connector.
func makeTopology(url string) (err error) {
	connection, err := amqp.Dial(url)
	if err != nil {
		return fmt.Errorf("amqp: cannot connect: %w", err)
	}
	defer func() { err = errors.Join(err, connection.Close()) }()
	channel, err := connection.Channel()
	if err != nil {
		return err
	}
	if err := channel.ExchangeDeclare(queue, amqp.ExchangeTopic, true, false, false, false, nil); err != nil {
		return err
	}
	if _, err := channel.QueueDeclare(queue, true, false, false, false, amqp.Table{"x-queue-type": "quorum"}); err != nil {
		return err
	}
	return channel.QueueBind(queue, "#", queue, false, nil)
}
