package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/konnektor-go/konnektor/connector"
	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/source/gateway"
	"github.com/konnektor-go/konnektor/testkit"
)

const queue = "from_register"

// world is what stands around the connector. The register's people are kept
// here too, to compare with at the end.
type world struct {
	broker    *testkit.Broker
	gateway   *testkit.Gateway
	directory *testkit.Target[Entry]
	store     *work.Memory
	connector *connector.Connector
	people    map[string]Person
}

func newWorld(log *slog.Logger) (*world, error) {
	w := &world{
		directory: &testkit.Target[Entry]{Latency: 2 * time.Millisecond},
		store:     work.NewMemory(),
		people:    make(map[string]Person),
	}
	var err error
	if w.broker, err = testkit.NewBroker(testkit.BrokerConfig{}); err != nil {
		return nil, err
	}
	if err := w.broker.Bind(queue, "org.example.register.#"); err != nil {
		return nil, err
	}
	w.gateway, err = testkit.NewGateway(testkit.GatewayConfig{
		ContextPath: "/register/v1", Key: "my-key", Latency: 5 * time.Millisecond,
	})
	if err != nil {
		return nil, err
	}
	client, err := gateway.New("https://gateway.example.org/register/v1", gateway.Config{Key: "my-key", Transport: w.gateway})
	if err != nil {
		return nil, err
	}
	w.connector, err = newConnector(client, w.directory, connector.Config{Store: w.store, Logger: log})
	return w, err
}

// save changes a person in the register, which tells nobody.
func (w *world) save(p Person) error {
	w.people[p.ID] = p
	return w.gateway.Put("persons/"+p.ID, p)
}

func (w *world) remove(id string) error {
	delete(w.people, id)
	return w.gateway.Delete("persons/" + id)
}

// notify publishes a thin CloudEvent for each person, as the register does.
func (w *world) notify(operation string, ids ...string) error {
	for _, id := range ids {
		event := fmt.Sprintf(`{"specversion":"1.0","id":%q,"type":"org.example.register.person.%s",`+
			`"source":"https://register.example.org","subject":"https://register.example.org/v1/persons/%s","time":%q}`,
			watermill.NewUUID(), operation, id, time.Now().UTC().Format(time.RFC3339))
		if err := w.publish([]byte(event)); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) publish(payload []byte) error {
	return w.broker.Publish("org.example.register.persons", message.NewMessage(watermill.NewUUID(), payload))
}

// quiet waits until every notification is acked. With a work store in memory
// that is when its person was reconciled.
func (w *world) quiet(ctx context.Context) error {
	return until(ctx, func() bool { return w.broker.Len(queue) == 0 })
}

func until(ctx context.Context, done func() bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 30*time.Second, errors.New("nothing happened for 30 seconds"))
	defer cancel()
	for !done() {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(5 * time.Millisecond):
		}
	}
	return nil
}

// proof compares the directory with what the register says it must be.
func (w *world) proof(ctx context.Context) (equal bool, err error) {
	want := make(map[entity.Key]Entry)
	for id, p := range w.people {
		key := entity.Key{Type: "persons", ID: id}
		desired, err := toEntry(ctx, key, p)
		if err != nil {
			return false, err
		}
		if e, present := desired.Value(); present {
			want[key] = e
		}
	}
	return maps.Equal(want, w.directory.Snapshot()), nil
}

// tally is a count of all that has happened so far.
type tally struct {
	notifications, fetches        int
	created, updated, removed     int
	rows, waiting, parked, refuse int
}

func (w *world) tally(ctx context.Context) (tally, error) {
	t := tally{notifications: w.broker.Published(), fetches: w.gateway.Requests()}
	for _, write := range w.directory.Log() {
		switch write.Op {
		case "create":
			t.created++
		case "update":
			t.updated++
		case "delete":
			t.removed++
		}
	}
	stats, err := w.store.Stats(ctx)
	if err != nil {
		return t, err
	}
	for state, stat := range stats["people"] {
		t.rows += stat.Rows
		switch state {
		case work.Waiting, work.Due, work.Running:
			t.waiting += stat.Rows
		case work.Parked:
			t.parked += stat.Rows
		case work.Idle:
		}
	}
	rejected, err := w.store.ListRejected(ctx, "", 100)
	t.refuse = len(rejected)
	return t, err
}
