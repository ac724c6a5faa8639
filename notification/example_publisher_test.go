package notification_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/notification"
)

// printer stands for the publisher of package rabbitmq.
type printer struct{}

func (printer) Publish(topic string, msgs ...*message.Message) error {
	for _, msg := range msgs {
		fmt.Printf("%s\n%s\n", topic, msg.Payload)
	}
	return nil
}

func (printer) Close() error { return nil }

// A source system says that two persons have changed. The id is derived from the
// rest, so that a consumer knows the same change when it is published again.
func ExamplePublisher() {
	publisher, err := notification.NewPublisher(printer{}, "https://iga.uio.no", notification.PublisherConfig{
		Type:       "no.uio.iga.person.{operation}",
		Subject:    "https://iga.uio.no/api/v2/{type}/{id}",
		RoutingKey: "no.uio.iga.production.{type}.{operation}",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	changed := event.New()
	changed.SetTime(time.Date(2026, 11, 23, 9, 1, 14, 0, time.UTC))
	kari := notification.Notification{
		Event:     changed,
		Key:       entity.Key{Type: "persons", ID: "90017"},
		Operation: "update",
		Changed:   []string{"name.familyName"},
	}
	ola := notification.Notification{Event: changed, Operation: "create"} // the key was forgotten

	err = publisher.Publish(context.Background(), kari, ola)
	fmt.Println(err)
	if failed := (*notification.PublishError)(nil); errors.As(err, &failed) {
		fmt.Println(len(failed.Failed), "to correct:", failed.Failed[1])
	}
	// Output:
	// no.uio.iga.production.persons.update
	// {"specversion":"1.0","id":"fee7fefc198d9ca33abc964d715a50ab","source":"https://iga.uio.no","type":"no.uio.iga.person.update","subject":"https://iga.uio.no/api/v2/persons/90017","time":"2026-11-23T09:01:14Z","changedattributes":"[\"name.familyName\"]"}
	// notification: publish: 1 of 2 notifications failed; [1]: Key: ID: must not be empty: set Key, or the event's subject
	// 1 to correct: Key: ID: must not be empty: set Key, or the event's subject
}
