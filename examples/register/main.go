// Register is a fictional register to try the examples with on a laptop: people,
// the units that they work in, and the positions that they hold. Its API stands
// behind a gateway, and its notifications go to a RabbitMQ. Now and then
// something in it changes.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/konnektor-go/konnektor/notification/rabbitmq"
	"github.com/konnektor-go/konnektor/testkit"
)

// queue is the name of the exchange and of the queue, as the portal names them.
const queue = "from_system-test-register"

// options are what the flags say.
type options struct {
	listen, broker              string
	people, orgunits, positions int
	every                       time.Duration
	changes                     int
}

func main() {
	var o options
	flag.StringVar(&o.listen, "listen", "127.0.0.1:8080", "`address` of the API gateway, loopback only")
	flag.StringVar(&o.broker, "amqp", "amqp://guest:guest@127.0.0.1:5672/", "`URL` of a RabbitMQ to try things on")
	flag.IntVar(&o.people, "people", 20, "`number` of people")
	flag.IntVar(&o.orgunits, "orgunits", 12, "`number` of units, 0 for none")
	flag.IntVar(&o.positions, "positions", 5, "`number` of positions, 0 for none")
	flag.DurationVar(&o.every, "every", 5*time.Second, "`time` between two changes")
	flag.IntVar(&o.changes, "changes", -1, "`number` of changes, without end by default")
	flag.Parse()
	if o.people < 1 || o.orgunits < 0 || o.positions < 0 || o.every <= 0 || flag.NArg() > 0 {
		fmt.Fprintln(flag.CommandLine.Output(), "register: people and every must be greater than 0, the others not negative, and there are no arguments")
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, o)
	stop()
	if err != nil {
		slog.Error("register failed", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) (err error) {
	api, err := testkit.NewGateway(testkit.GatewayConfig{ContextPath: "/register-api-test", Key: "my-key"})
	if err != nil {
		return err
	}
	if err := makeTopology(o.broker); err != nil {
		return err
	}
	publisher, err := rabbitmq.NewPublisher(o.broker, rabbitmq.PublisherConfig{Exchange: queue})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, publisher.Close()) }()
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", o.listen)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: api, ReadHeaderTimeout: 5 * time.Second}
	var serving sync.WaitGroup
	defer serving.Wait()
	defer func() { _ = server.Close() }() // nothing is lost: it only reads
	failed := make(chan error, 1)
	serving.Go(func() { failed <- server.Serve(listener) })
	slog.Info("the register is open", "api", "http://"+listener.Addr().String()+"/register-api-test", "key", "my-key", "queue", queue)

	r := newRegister(o, func(kind, id string, state any) error {
		if err := api.Put(kind+"/"+id, state); err != nil {
			return err
		}
		return publisher.Publish("no.example.register.test."+kind+".update",
			message.NewMessage(watermill.NewUUID(), []byte(kind+"/"+id)))
	})
	if err := r.open(); err != nil {
		return err
	}
	ticks := time.NewTicker(o.every)
	defer ticks.Stop()
	for n := 0; ; n++ {
		if n == o.changes {
			slog.Info("that was the last change")
			ticks.Stop()
		}
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			return err
		case <-ticks.C:
			if err := r.change(); err != nil {
				return err
			}
		}
	}
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
