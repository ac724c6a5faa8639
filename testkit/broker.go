package testkit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/konnektor-go/konnektor/internal/topic"
	"github.com/konnektor-go/konnektor/notification/rabbitmq"
)

// deliveryCount is the header in which a quorum queue counts how often it
// delivered a message before.
const deliveryCount = "x-delivery-count"

// maxName is the longest name of a queue and the longest binding or routing
// key, in bytes: AMQP's short string.
const maxName = 255

var errClosed = errors.New("broker: is closed")

// BrokerConfig sets up a [Broker]. The zero BrokerConfig works.
type BrokerConfig struct {
	// Exchange is the name of the topic exchange that messages are published
	// to. The default is "amq.topic".
	Exchange string
	// Prefetch is how many messages a subscriber holds without acking them.
	// The default is 256.
	Prefetch int
	// StopTimeout is how long delivered messages can still be acked after a
	// subscription ended. The default is 30 s.
	StopTimeout time.Duration
}

func (c BrokerConfig) withDefaults() BrokerConfig {
	if c.Exchange == "" {
		c.Exchange = "amq.topic"
	}
	if c.Prefetch == 0 {
		c.Prefetch = 256
	}
	if c.StopTimeout == 0 {
		c.StopTimeout = 30 * time.Second
	}
	return c
}

func (c BrokerConfig) validate() error {
	if c.Prefetch < 0 {
		return fmt.Errorf("Prefetch: %d, must be at least 1, or 0 for the default", c.Prefetch)
	}
	if c.StopTimeout < 0 {
		return fmt.Errorf("StopTimeout: %v, must be positive, or 0 for the default", c.StopTimeout)
	}
	return nil
}

// Broker is a message broker in memory, with one topic exchange and with queues
// that behave like RabbitMQ's quorum queues without a delivery limit. It is a
// Watermill publisher and subscriber.
//
// An ack or nack counts from when Watermill's Message.Ack or Nack has returned.
type Broker struct {
	cfg BrokerConfig

	mu        sync.Mutex
	closed    bool
	queues    map[string]*queue
	subs      map[*subscription]struct{} // until their run has ended
	seq       uint64
	published int
	delivered int
	again     int
	acked     int
}

type queue struct {
	patterns []string
	ready    []*stored       // ascending by seq
	subs     []*subscription // that get deliveries
	turn     int             // index in subs of whose turn it is
}

// stored is a message in a queue. Its seq is its place: it keeps it when it is
// taken back, and gets a new one, at the end, when it is nacked.
type stored struct {
	seq     uint64
	returns int64
	message amqp.Delivery // as delivered first; only read, and shared by the queues
}

// NewBroker returns a Broker without queues.
func NewBroker(cfg BrokerConfig) (*Broker, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	return &Broker{
		cfg:    cfg.withDefaults(),
		queues: map[string]*queue{},
		subs:   map[*subscription]struct{}{},
	}, nil
}

// Bind makes the queue if there is none of that name, and binds it to the
// exchange by each of the patterns: words separated by dots, in which "*" stands
// for one word and "#" for any number of words.
func (b *Broker) Bind(queueName string, patterns ...string) error {
	if queueName == "" {
		return errors.New("queueName: must not be empty")
	}
	for _, name := range append([]string{queueName}, patterns...) {
		if len(name) > maxName {
			return fmt.Errorf("queueName, patterns: %d bytes, at most %d are allowed", len(name), maxName)
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	q := b.queues[queueName]
	if q == nil {
		q = &queue{}
		b.queues[queueName] = q
	}
	q.patterns = append(q.patterns, patterns...)
	return nil
}

// Publish puts a copy of each message into every queue that is bound to the
// routing key. It returns an error for the first message whose context has
// ended, that AMQP cannot carry, or that no queue is bound to
// ([rabbitmq.ErrUnroutable]); the messages before it are published.
//
// Messages are converted to AMQP and back as in package rabbitmq.
func (b *Broker) Publish(routingKey string, msgs ...*message.Message) error {
	if len(routingKey) > maxName {
		return fmt.Errorf("routingKey: %d bytes, at most %d are allowed", len(routingKey), maxName)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, msg := range msgs {
		if b.closed {
			return errClosed
		}
		p, err := rabbitmq.Marshaler{}.Marshal(msg)
		if err == nil {
			err = msg.Context().Err()
		}
		if err != nil {
			return fmt.Errorf("publish: %w", err)
		}
		bound := b.routeLocked(routingKey)
		if len(bound) == 0 {
			return fmt.Errorf("routingKey: %w, call Bind with a pattern that matches", rabbitmq.ErrUnroutable)
		}
		d := amqp.Delivery{
			Exchange: b.cfg.Exchange, RoutingKey: routingKey,
			Headers: p.Headers, ContentType: p.ContentType, MessageId: p.MessageId,
			DeliveryMode: p.DeliveryMode, Body: bytes.Clone(p.Body),
		}
		for _, q := range bound {
			b.seq++
			b.published++
			q.ready = append(q.ready, &stored{seq: b.seq, message: d})
			b.dispatchLocked(q)
		}
	}
	return nil
}

func (b *Broker) routeLocked(routingKey string) []*queue {
	var bound []*queue
	for _, q := range b.queues {
		if slices.ContainsFunc(q.patterns, func(p string) bool { return topic.Match(p, routingKey) }) {
			bound = append(bound, q)
		}
	}
	return bound
}

// delivery makes the Watermill message of one delivery, just as the subscriber
// of package rabbitmq does.
func (m *stored) delivery() *message.Message {
	d := m.message
	d.Body = bytes.Clone(d.Body)
	if m.returns > 0 {
		d.Redelivered = true
		d.Headers = maps.Clone(d.Headers)
		d.Headers[deliveryCount] = m.returns
	}
	msg, _ := rabbitmq.Marshaler{}.Unmarshal(d) // never an error
	return msg
}

// Subscribe returns the messages of a queue. It is an error if there is no such
// queue. The subscription ends when ctx ends; see the package's promises.
func (b *Broker) Subscribe(ctx context.Context, queueName string) (<-chan *message.Message, error) {
	return b.subscribe(ctx, queueName, nil)
}

// Cut loses the connections of all subscribers, which are back at once: what
// was delivered and not acked is delivered again.
func (b *Broker) Cut() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sweepLocked()
	for s := range b.subs {
		s.takeBackLocked()
	}
	for _, q := range b.queues {
		b.dispatchLocked(q)
	}
}

// Len returns how many messages the queue holds, ready or delivered and not
// acked.
func (b *Broker) Len(queueName string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sweepLocked()
	q := b.queues[queueName]
	if q == nil {
		return 0
	}
	n := len(q.ready)
	for s := range b.subs {
		if s.queue == q {
			n += len(s.unacked)
		}
	}
	return n
}

// Published returns how many messages were put into queues: one that went to
// two queues counts twice. All that was published is acked or still in a queue.
func (b *Broker) Published() int { return b.count(&b.published) }

// Delivered returns how many messages subscribers were given, redeliveries
// included.
func (b *Broker) Delivered() int { return b.count(&b.delivered) }

// Redelivered returns how many of the deliveries were marked as redelivered.
func (b *Broker) Redelivered() int { return b.count(&b.again) }

// Acked returns how many messages were acked and have left their queue.
func (b *Broker) Acked() int { return b.count(&b.acked) }

func (b *Broker) count(n *int) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sweepLocked()
	return *n
}

// Close ends all subscriptions and waits for them, at most StopTimeout. After
// that nothing can be published or subscribed to; the queues stay, for Len.
func (b *Broker) Close() error {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.stop(func(*subscription) bool { return true })
	return nil
}

// Connect returns a connection of its own: closing it ends the subscriptions
// that were made with it, and nothing else. Give one to whatever closes its
// publisher and its subscriber, as Watermill's Router does, and take a new one
// for each life of a connector that is stopped and started again.
func (b *Broker) Connect() interface {
	message.Publisher
	message.Subscriber
} {
	return &connection{broker: b}
}

type connection struct {
	broker *Broker
	closed bool // under broker.mu
}

func (c *connection) Publish(routingKey string, msgs ...*message.Message) error {
	c.broker.mu.Lock()
	closed := c.closed
	c.broker.mu.Unlock()
	if closed {
		return errClosed
	}
	return c.broker.Publish(routingKey, msgs...)
}

func (c *connection) Subscribe(ctx context.Context, queueName string) (<-chan *message.Message, error) {
	return c.broker.subscribe(ctx, queueName, c)
}

func (c *connection) Close() error {
	c.broker.mu.Lock()
	c.closed = true
	c.broker.mu.Unlock()
	c.broker.stop(func(s *subscription) bool { return s.owner == c })
	return nil
}
