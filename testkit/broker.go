package testkit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
)

// maxName is the longest name of a queue or an exchange and the longest binding
// or routing key, in bytes: AMQP's short string.
const maxName = 255

var (
	errClosed  = errors.New("broker: is closed")
	errNoQueue = errors.New("queueName: there is no such queue, call Bind first, or Declare")
)

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
	if len(c.Exchange) > maxName {
		return fmt.Errorf("Exchange: %d bytes, at most %d are allowed", len(c.Exchange), maxName)
	}
	if c.Prefetch < 0 {
		return fmt.Errorf("Prefetch: %d, must be at least 1, or 0 for the default", c.Prefetch)
	}
	if c.StopTimeout < 0 {
		return fmt.Errorf("StopTimeout: %v, must be positive, or 0 for the default", c.StopTimeout)
	}
	return nil
}

// Broker is a message broker in memory that behaves like RabbitMQ 3.10 does
// towards the transport of package rabbitmq: topic exchanges, quorum and classic
// queues, redelivery, dead-lettering, times to live. It is a Watermill publisher
// and subscriber.
//
// An ack or nack counts from when Watermill's Message.Ack or Nack has returned.
type Broker struct {
	cfg BrokerConfig

	mu        sync.Mutex
	closed    bool
	exchanges map[string]struct{}
	queues    map[string]*queue
	subs      []*subscription // in the order of their start, until their run has ended
	fail      func(*message.Message) Fault
	back      int64 // the place of the last message of all queues
	front     int64 // that of the first, when one overtakes

	// The counters: published is the sum of the others and of what queues hold.
	published, acked, deadLettered, dropped int
	delivered, again                        int

	timer  *time.Timer    // for what happens by itself
	next   time.Time      // when that is, zero: never
	timers sync.WaitGroup // timers set, and neither stopped nor done
}

// NewBroker returns a Broker without queues.
func NewBroker(cfg BrokerConfig) (*Broker, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	return &Broker{
		cfg:       cfg,
		exchanges: map[string]struct{}{cfg.Exchange: {}},
		queues:    map[string]*queue{},
	}, nil
}

// Bind binds the queue to the exchange by each of the patterns: words separated
// by dots, in which "*" stands for one word and "#" for any number of words. If
// there is no queue of that name it makes one, a quorum queue without a delivery
// limit; see [Broker.Declare] for others.
func (b *Broker) Bind(queueName string, patterns ...string) error {
	return b.BindTo(b.cfg.Exchange, queueName, patterns...)
}

// BindTo is Bind for another topic exchange, which is made if there is none of
// that name. Messages get there by [Broker.PublishAMQP] or as dead letters.
func (b *Broker) BindTo(exchange, queueName string, patterns ...string) error {
	if exchange == "" {
		return errors.New("exchange: must not be empty: a queue has its place in the default exchange without being bound")
	}
	if queueName == "" {
		return errors.New("queueName: must not be empty")
	}
	for _, name := range append([]string{exchange, queueName}, patterns...) {
		if len(name) > maxName {
			return fmt.Errorf("exchange, queueName, patterns: %d bytes, at most %d are allowed", len(name), maxName)
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.exchanges[exchange] = struct{}{}
	q := b.queues[queueName]
	if q == nil {
		q = b.makeLocked(queueName, quorumSpec)
	}
	for _, p := range patterns {
		q.bindings = append(q.bindings, binding{exchange, p})
	}
	return nil
}

// Cut loses the connections of all subscribers, which are back at once: what
// was delivered and not acked is delivered again. See [Broker.Fail] for a loss
// at a chosen moment.
func (b *Broker) Cut() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cutLocked(func(*subscription) bool { return true })
}

// CancelConsumers makes the broker cancel the queue's consumers, as it does when
// the queue has moved. Subscribers are back at once: what was delivered and not
// acked is delivered again.
func (b *Broker) CancelConsumers(queueName string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	q := b.queues[queueName]
	if q == nil {
		return errNoQueue
	}
	b.cutLocked(func(s *subscription) bool { return s.queue == q })
	return nil
}

// Subscribe returns the messages of a queue. It is an error if there is no such
// queue. The subscription ends when ctx ends; see the package's promises.
func (b *Broker) Subscribe(ctx context.Context, queueName string) (<-chan *message.Message, error) {
	return b.subscribe(ctx, queueName, nil)
}

// Len returns how many messages the queue holds, ready or delivered and not
// acked, and those that are delayed on their way to it.
func (b *Broker) Len(queueName string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sweepLocked()
	q := b.queues[queueName]
	if q == nil {
		return 0
	}
	return b.lenLocked(q)
}

// Published returns how many messages were put into queues: one that went to
// two queues counts twice, and a dead letter counts again. All that was
// published is Acked, DeadLettered, Dropped or still in a queue.
func (b *Broker) Published() int { return b.count(&b.published) }

// Delivered returns how many messages subscribers were given, redeliveries
// included.
func (b *Broker) Delivered() int { return b.count(&b.delivered) }

// Redelivered returns how many of the deliveries were marked as redelivered.
func (b *Broker) Redelivered() int { return b.count(&b.again) }

// Acked returns how many messages were acked and have left their queue.
func (b *Broker) Acked() int { return b.count(&b.acked) }

// DeadLettered returns how many messages have left their queue for others, by
// its dead-letter exchange.
func (b *Broker) DeadLettered() int { return b.count(&b.deadLettered) }

// Dropped returns how many messages have left their queue for good without an
// ack: beyond the delivery limit, expired or rejected with no queue to take the
// dead letter, or because their queue was deleted.
func (b *Broker) Dropped() int { return b.count(&b.dropped) }

func (b *Broker) count(n *int) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sweepLocked()
	return *n
}

// Close ends all subscriptions and waits for them, at most StopTimeout. After
// that nothing can be published or subscribed to, and nothing expires; the
// queues stay, for Len.
func (b *Broker) Close() error {
	b.mu.Lock()
	b.closed = true
	b.wakeLocked()
	b.mu.Unlock()
	b.stop(func(*subscription) bool { return true })
	b.timers.Wait()
	return nil
}

// wakeLocked sets the timer to the next moment at which something happens in a
// queue by itself.
func (b *Broker) wakeLocked() {
	var next time.Time
	if !b.closed {
		for _, q := range b.queues {
			next = earlier(next, q.next())
		}
	}
	if next.Equal(b.next) {
		return
	}
	b.resetLocked()
	if next.IsZero() {
		return
	}
	b.next = next
	b.timers.Add(1)
	b.timer = time.AfterFunc(time.Until(next), func() {
		defer b.timers.Done()
		b.tick()
	})
}

// resetLocked ends the timer.
func (b *Broker) resetLocked() {
	if b.timer != nil && b.timer.Stop() {
		b.timers.Done()
	}
	b.timer, b.next = nil, time.Time{}
}

// tick does what is due. It may come late, or for nothing.
func (b *Broker) tick() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	b.resetLocked()
	// What expires now expires: a nanosecond ago it was still good.
	due := time.Now().Add(1)
	var all []*queue
	for _, q := range b.queues {
		all = append(all, q)
	}
	slices.SortFunc(all, byName)
	for _, q := range all {
		b.dispatchAtLocked(q, due)
	}
	b.wakeLocked()
}

// earlier returns the earlier of two times, of which zero is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
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
