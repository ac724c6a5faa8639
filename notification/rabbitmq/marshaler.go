package rabbitmq

import (
	"context"

	"github.com/ThreeDotsLabs/watermill/message"
	amqp "github.com/rabbitmq/amqp091-go"
)

// Marshaler is a Marshaler for the Config of watermill-amqp v3. With it
// Watermill's own AMQP publisher and subscriber understand the messages of
// this package and any other, whatever the types of their headers; its default
// one refuses all but strings, and so every redelivery of a quorum queue.
//
// It also writes the UUID to the header that the default marshaler reads.
// [Headers] does not find the typed headers of a message that came this way,
// because watermill-amqp replaces the message's context.
type Marshaler struct{}

// Marshal makes a persistent publishing of msg, as [Publisher] does. An error
// says what AMQP cannot carry.
func (Marshaler) Marshal(msg *message.Message) (amqp.Publishing, error) {
	p, err := toPublishing(msg)
	if err == nil {
		p.Headers[watermillUUID] = msg.UUID
	}
	return p, err
}

// Unmarshal makes a message of a delivery, as [Subscriber] does. It never
// returns an error.
func (Marshaler) Unmarshal(d amqp.Delivery) (*message.Message, error) {
	return fromDelivery(context.Background(), d), nil
}
