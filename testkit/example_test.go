package testkit_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"

	"github.com/ThreeDotsLabs/watermill/message"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/notification"
	"github.com/konnektor-go/konnektor/sink"
	"github.com/konnektor-go/konnektor/testkit"
)

func ExampleBroker() {
	broker, err := testkit.NewBroker(testkit.BrokerConfig{})
	check(err)
	defer func() { check(broker.Close()) }()
	check(broker.Bind("from_system-test-iga", "no.uio.iga.person.#"))

	messages, err := broker.Subscribe(context.Background(), "from_system-test-iga")
	check(err)
	check(broker.Publish("no.uio.iga.person.update",
		message.NewMessage("1", []byte("persons/1")),
		message.NewMessage("2", []byte("persons/2"))))
	show := func() *message.Message {
		m := <-messages
		fmt.Printf("%s redelivered=%q\n", m.Payload, m.Metadata[notification.MetaRedelivered])
		return m
	}
	show() // never acked
	show().Ack()
	broker.Cut()
	show().Ack()
	fmt.Println(broker.Len("from_system-test-iga"), "left,", broker.Acked(), "acked")
	// Output:
	// persons/1 redelivered=""
	// persons/2 redelivered=""
	// persons/1 redelivered="true"
	// 0 left, 2 acked
}

// A queue with a delivery limit and a queue for what is beyond it, and a
// connection that is lost before an ack has arrived.
func ExampleBroker_Fail() {
	broker, err := testkit.NewBroker(testkit.BrokerConfig{})
	check(err)
	defer func() { check(broker.Close()) }()
	check(broker.Declare("dead", amqp.Table{"x-queue-type": "quorum"}))
	check(broker.Declare("persons", amqp.Table{
		"x-queue-type": "quorum", "x-delivery-limit": 1,
		"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead",
	}))
	check(broker.Bind("persons", "no.uio.person.#"))
	broker.Fail(func(msg *message.Message) testkit.Fault {
		return testkit.Fault{CutBeforeAck: string(msg.Payload) == "persons/1"}
	})
	publish := func(id string) {
		check(broker.Publish("no.uio.person.update", message.NewMessage(id, []byte("persons/"+id))))
	}
	persons, err := broker.Subscribe(context.Background(), "persons")
	check(err)
	publish("1")
	one := <-persons
	one.Ack() // lost
	again := <-persons
	fmt.Printf("%s again, %s before\n", again.Payload, again.Metadata["x-delivery-count"])
	again.Ack()
	publish("2")
	for range 2 {
		(<-persons).Nack()
	}
	dead, err := broker.Subscribe(context.Background(), "dead")
	check(err)
	letter := <-dead
	fmt.Printf("%s dead: %s in %s\n", letter.Payload, letter.Metadata["x-first-death-reason"], letter.Metadata["x-first-death-queue"])
	letter.Ack()
	fmt.Println(broker.Acked(), "acked,", broker.DeadLettered(), "dead-lettered,", broker.Dropped(), "dropped")
	// Output:
	// persons/1 again, 1 before
	// persons/2 dead: delivery_limit in persons
	// 2 acked, 1 dead-lettered, 0 dropped
}

func ExampleGateway() {
	gateway, err := testkit.NewGateway(testkit.GatewayConfig{ContextPath: "/iga/v1", Key: "secret"})
	check(err)
	check(gateway.Put("persons/1", map[string]string{"name": "Kari"}))

	client := http.Client{Transport: gateway} // or http.Server{Handler: gateway}
	get := func(path string) {
		req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "https://gw.test"+path, http.NoBody)
		check(err)
		req.Header.Set("X-Gravitee-Api-Key", "secret")
		res, err := client.Do(req)
		check(err)
		body, err := io.ReadAll(res.Body)
		check(err)
		check(res.Body.Close())
		fmt.Println(res.StatusCode, string(body))
	}
	get("/iga/v1/persons/1")
	get("/iga/v1/persons/2")
	gateway.Stop()
	get("/iga/v1/persons/1")
	for _, r := range gateway.Log() {
		fmt.Println(r.Method, r.Path, r.Status, "version", r.Version)
	}
	// Output:
	// 200 {"name":"Kari"}
	// 404 {"error":"not found"}
	// 404 No context-path matches the request URI.
	// GET persons/1 200 version 1
	// GET persons/2 404 version 0
	// GET /iga/v1/persons/1 404 version 0
}

// The next two requests fail.
func ExampleGateway_Fail() {
	gateway, err := testkit.NewGateway(testkit.GatewayConfig{})
	check(err)
	check(gateway.Put("persons/1", "Kari"))
	var left atomic.Int64
	left.Store(2)
	gateway.Fail(func(testkit.Request) *testkit.Failure {
		if left.Add(-1) < 0 {
			return nil
		}
		return &testkit.Failure{Status: http.StatusServiceUnavailable, Header: http.Header{"Retry-After": {"5"}}}
	})
	for range 3 {
		req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "https://gw.test/api/persons/1", http.NoBody)
		check(err)
		req.Header.Set("X-Gravitee-Api-Key", "secret")
		res, err := gateway.RoundTrip(req)
		check(err)
		check(res.Body.Close())
		fmt.Println(res.Status, res.Header.Get("Retry-After"))
	}
	// Output:
	// 503 Service Unavailable 5
	// 503 Service Unavailable 5
	// 200 OK
}

func ExampleTarget() {
	type Entry struct{ Name, Mail string }
	ctx, kari := context.Background(), entity.Key{Type: "persons", ID: "1"}

	var target testkit.Target[Entry]
	entries, err := sink.Ensure(&target, sink.EnsureConfig[Entry]{})
	check(err)

	target.FailAfter(func(c testkit.Call) error {
		if c.Op == "create" {
			return errors.New("the answer is lost")
		}
		return nil
	})
	for _, mail := range []string{"kari@old.test", "kari@old.test", "kari@new.test"} {
		fmt.Println(entries.Apply(ctx, kari, Entry{Name: "Kari", Mail: mail}))
	}
	for _, w := range target.Log() {
		fmt.Println(w.Op, w.Before, w.After)
	}
	fmt.Println(target.Snapshot()[kari].Mail, target.Overlaps())
	// Output:
	// unchanged the answer is lost
	// unchanged <nil>
	// updated(Mail) <nil>
	// create { } {Kari kari@old.test}
	// update {Kari kari@old.test} {Kari kari@new.test}
	// kari@new.test 0
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
