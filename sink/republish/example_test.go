package republish_test

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/notification"
	"github.com/konnektor-go/konnektor/sink"
	"github.com/konnektor-go/konnektor/sink/republish"
	"github.com/konnektor-go/konnektor/testkit"
)

// printer stands for the publisher of package rabbitmq.
type printer struct{}

func (printer) Publish(topic string, msgs ...*message.Message) error {
	for _, msg := range msgs {
		_, subject, _ := strings.Cut(string(msg.Payload), `"subject":`)
		subject, _, _ = strings.Cut(subject, ",")
		fmt.Println(topic, subject)
	}
	return nil
}

func (printer) Close() error { return nil }

// notifier returns how changes are published as notifications. The event's id is
// derived from the time, so that consumers know a duplicate.
func notifier(to message.Publisher) (republish.Publish, error) {
	notifications, err := notification.NewPublisher(to, "https://iga.uio.no", notification.PublisherConfig{
		Type:       "no.uio.iga.person.{operation}",
		RoutingKey: "no.uio.iga.production.{type}.{operation}",
	})
	if err != nil {
		return nil, err
	}
	operations := map[sink.Op]string{sink.Created: "create", sink.Updated: "update", sink.Disabled: "update", sink.Removed: "delete"}
	return func(ctx context.Context, p republish.Publication) error {
		e := event.New()
		e.SetTime(p.Time)
		return notifications.Publish(ctx, notification.Notification{Event: e, Key: p.Key, Operation: operations[p.Op]})
	}, nil
}

// The target is a source for others: they are told what changed in it.
func Example() {
	publish, err := notifier(printer{})
	if err != nil {
		fmt.Println(err)
		return
	}
	directory := new(testkit.Target[row]) // the target system
	people, err := sink.Ensure[row](directory, sink.EnsureConfig[row]{})
	if err != nil {
		fmt.Println(err)
		return
	}
	told, err := republish.New(people, &republish.Memory{}, publish, republish.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, kari := context.Background(), entity.Key{Type: "persons", ID: "90017"}
	fmt.Println(told.Apply(ctx, kari, row{Name: "Kari"}))
	fmt.Println(told.Apply(ctx, kari, row{Name: "Kari"}))
	fmt.Println(told.Apply(ctx, kari, row{Name: "Kari", Mail: "kari@example.org"}))

	// The answer to a write is lost: the next call finds it done, and publishes.
	directory.FailAfter(func(c testkit.Call) error {
		if c.Op != "delete" {
			return nil
		}
		directory.FailAfter(nil)
		return failure.As(failure.Unavailable, errors.New("the answer was lost"))
	})
	fmt.Println(told.Remove(ctx, kari))
	fmt.Println(told.Remove(ctx, kari))
	// Output:
	// no.uio.iga.production.persons.create "/persons/90017"
	// created <nil>
	// unchanged <nil>
	// no.uio.iga.production.persons.update "/persons/90017"
	// updated(Mail) <nil>
	// unchanged the answer was lost
	// no.uio.iga.production.persons.delete "/persons/90017"
	// unchanged <nil>
}
