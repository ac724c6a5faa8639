package testkit

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/konnektor-go/konnektor/internal/topic"
	"github.com/konnektor-go/konnektor/notification/rabbitmq"
)

// Fault is what goes wrong with one message, see [Broker.Fail]. The zero Fault
// is none. Where the message is stored more than once, each copy has it.
type Fault struct {
	// Duplicate is how many times more the message is stored, as by a
	// publisher that got no confirm and sent it again.
	Duplicate int
	// Delay is how much later it reaches its queues; others overtake it.
	Delay time.Duration
	// Ahead makes it overtake the messages that nobody was given yet.
	Ahead bool
	// Unconfirmed stores it, but Publish returns [rabbitmq.ErrUnconfirmed], and
	// what follows in the same call is not sent.
	Unconfirmed bool

	// The connection of the subscriber that gets the message is lost, once, and
	// is back at once. What it had not acked is delivered again.

	// CutOnDelivery is a loss right after the message was given out.
	CutOnDelivery bool
	// CutBeforeAck is a loss before its ack has reached the broker: the message
	// is delivered again.
	CutBeforeAck bool
	// CutAfterAck is a loss right after its ack has reached the broker: the
	// message is not delivered again.
	CutAfterAck bool
}

func (f Fault) validate() error {
	if f.Duplicate < 0 {
		return fmt.Errorf("Fault.Duplicate: %d, must not be negative", f.Duplicate)
	}
	if f.Delay < 0 {
		return fmt.Errorf("Fault.Delay: %v, must not be negative", f.Delay)
	}
	return nil
}

// Fail makes f say what goes wrong with each message that is published from now
// on, as a subscriber would get it. A nil f ends that. It is called by those who
// publish, at once if they do, and may call the Broker.
func (b *Broker) Fail(f func(msg *message.Message) Fault) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fail = f
}

// Publish puts a copy of each message into every queue that is bound to the
// routing key. It returns an error for the first message whose context has
// ended, that AMQP cannot carry, or that no queue is bound to
// ([rabbitmq.ErrUnroutable]); the messages before it are published.
//
// Messages are converted to AMQP and back as in package rabbitmq.
func (b *Broker) Publish(routingKey string, msgs ...*message.Message) error {
	if err := checkKey(routingKey); err != nil {
		return err
	}
	for _, msg := range msgs {
		p, err := rabbitmq.Marshaler{}.Marshal(msg)
		if err == nil {
			err = msg.Context().Err()
		}
		if err != nil {
			return fmt.Errorf("publish: %w", err)
		}
		if err := b.publish(b.cfg.Exchange, routingKey, p); err != nil {
			return err
		}
	}
	return nil
}

func checkKey(routingKey string) error {
	if len(routingKey) > maxName {
		return fmt.Errorf("routingKey: %d bytes, at most %d are allowed", len(routingKey), maxName)
	}
	return nil
}

// PublishAMQP publishes to any exchange what another program may: headers of any
// type, and a time to live, in its property Expiration. The exchange "" is the
// default exchange, in which a routing key is the name of a queue. Errors are
// those of Publish. The headers CC and BCC are refused.
func (b *Broker) PublishAMQP(exchange, routingKey string, p amqp.Publishing) error {
	detach(reflect.ValueOf(&p.Headers).Elem())
	if p.Headers == nil {
		p.Headers = amqp.Table{}
	}
	if err := errors.Join(checkKey(routingKey), checkProperties(p)); err != nil {
		return err
	}
	return b.publish(exchange, routingKey, p)
}

// publish takes over the headers.
func (b *Broker) publish(exchange, routingKey string, p amqp.Publishing) error {
	d := amqp.Delivery{
		Exchange: exchange, RoutingKey: routingKey,
		Headers: p.Headers, Body: bytes.Clone(p.Body),
		ContentType: p.ContentType, ContentEncoding: p.ContentEncoding,
		DeliveryMode: p.DeliveryMode, Priority: p.Priority,
		CorrelationId: p.CorrelationId, ReplyTo: p.ReplyTo, Expiration: p.Expiration,
		MessageId: p.MessageId, Timestamp: p.Timestamp, Type: p.Type, UserId: p.UserId, AppId: p.AppId,
	}
	b.mu.Lock()
	fail := b.fail
	b.mu.Unlock()
	var f Fault
	if fail != nil {
		msg, _ := rabbitmq.Marshaler{}.Unmarshal(copyOf(d)) // never an error
		f = fail(msg)
		if err := f.validate(); err != nil {
			return err
		}
	}
	if err := b.store(d, f); err != nil {
		return err
	}
	if f.Unconfirmed {
		return fmt.Errorf("publish: %w", rabbitmq.ErrUnconfirmed)
	}
	return nil
}

func checkProperties(p amqp.Publishing) error {
	if err := p.Headers.Validate(); err != nil {
		return fmt.Errorf("Headers: %w", err)
	}
	for _, name := range []string{"CC", "BCC"} {
		if _, found := p.Headers[name]; found {
			return fmt.Errorf("Headers: %s is not supported, publish to each routing key", name)
		}
	}
	if p.Expiration != "" {
		if _, err := milliseconds(p.Expiration); err != nil {
			return fmt.Errorf("Expiration: %w", err)
		}
	}
	return nil
}

// maxTTL is the longest time to live that RabbitMQ takes, in ms: ten years.
const maxTTL = 315_360_000_000

// milliseconds reads a time to live as it stands in a message.
func milliseconds(s string) (time.Duration, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || n > maxTTL {
		return 0, fmt.Errorf("must be a whole number of milliseconds from 0 to %d", maxTTL)
	}
	return time.Duration(n) * time.Millisecond, nil
}

// store puts a message into its queues.
func (b *Broker) store(d amqp.Delivery, f Fault) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return errClosed
	}
	if _, found := b.exchanges[d.Exchange]; !found && d.Exchange != "" {
		return errors.New("exchange: there is none of that name, call BindTo first")
	}
	bound := b.routeLocked(d.Exchange, d.RoutingKey)
	if len(bound) == 0 {
		return fmt.Errorf("routingKey: %w, call Bind with a pattern that matches", rabbitmq.ErrUnroutable)
	}
	for _, q := range bound {
		for range 1 + f.Duplicate {
			b.putLocked(q, &stored{message: d, fault: f})
		}
		b.dispatchLocked(q)
	}
	return nil
}

// routeLocked returns the queues that a message goes to, by name.
func (b *Broker) routeLocked(exchange, routingKey string) []*queue {
	if exchange == "" {
		if q := b.queues[routingKey]; q != nil {
			return []*queue{q}
		}
		return nil
	}
	var bound []*queue
	for _, q := range b.queues {
		if slices.ContainsFunc(q.bindings, func(o binding) bool {
			return o.exchange == exchange && topic.Match(o.pattern, routingKey)
		}) {
			bound = append(bound, q)
		}
	}
	slices.SortFunc(bound, byName)
	return bound
}

// copyOf returns a delivery that shares nothing with d that its receiver may
// change. Headers are read only, by the contract of package rabbitmq.
func copyOf(d amqp.Delivery) amqp.Delivery {
	d.Body = bytes.Clone(d.Body)
	return d
}
