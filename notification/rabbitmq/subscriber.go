package rabbitmq

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
)

// ErrClosed is returned by a [Subscriber] or [Publisher] that was closed.
var ErrClosed = errors.New("rabbitmq: closed")

// steady is how long a consumer must have lasted for the next loss to be
// treated as the first.
const steady = 30 * time.Second

// maxReady is how many messages wait in the output channel at most. Without any,
// each costs a change of goroutines, on either side.
const maxReady = 64

// SubscriberConfig are the settings of a [Subscriber]. The zero value works.
type SubscriberConfig struct {
	// Prefetch is how many messages of a subscription are in flight at most,
	// 1 to 65535, by default 256. RabbitMQ closes the channel of whoever holds
	// a delivery for half an hour, so it times the longest handling of a
	// message must stay well below that.
	Prefetch int
	// Connection are the settings of the connections: virtual host, credentials,
	// TLS.
	Connection Connection
	// Name is what operators see as the connection's name, by default the
	// program's. At most 200 bytes. The consumer's tag begins with it.
	Name string
	// Declare is what to make before each consumer starts, by default nothing.
	Declare Topology
	// Exclusive refuses other consumers of a classic queue, and waits until there
	// are none. Quorum queues take no notice of it: declare those with a single
	// active consumer, which hands over faster as well.
	Exclusive bool
	// StopTimeout is how long a subscription that ends waits for its messages
	// in flight, by default 30 s.
	StopTimeout time.Duration
	// Logger gets losses and recoveries of connections, by default
	// slog.Default().
	Logger *slog.Logger
}

func (c SubscriberConfig) withDefaults() SubscriberConfig {
	c.Prefetch = cmp.Or(c.Prefetch, 256)
	c.StopTimeout = cmp.Or(c.StopTimeout, 30*time.Second)
	c.Logger = cmp.Or(c.Logger, slog.Default())
	return c
}

func (c SubscriberConfig) validate() error {
	switch {
	case c.Prefetch < 0 || c.Prefetch > math.MaxUint16:
		return fmt.Errorf("Prefetch: %d: give 1 to 65535, or 0 for 256", c.Prefetch)
	case c.StopTimeout < 0:
		return fmt.Errorf("StopTimeout: %s: give a positive duration, or 0 for 30s", c.StopTimeout)
	}
	return c.Declare.validate()
}

// Subscriber delivers the messages of RabbitMQ's queues, many at a time. It
// implements Watermill's message.Subscriber; see the package comment for what
// it promises.
type Subscriber struct {
	dialer *dialer
	config SubscriberConfig

	closing context.Context // ends with Close
	close   context.CancelFunc

	mu            sync.Mutex
	closed        bool
	states        []*tracker // of the subscriptions, in order
	subscriptions sync.WaitGroup
}

var _ message.Subscriber = (*Subscriber)(nil)

// NewSubscriber returns a subscriber for the broker at an AMQP URL, or several,
// amqps://user:password@host:port/vhost, see [Connection]. It does not connect
// yet. An error starts with the name of what is wrong, and never holds the
// password.
func NewSubscriber(url string, config SubscriberConfig) (*Subscriber, error) {
	d, err := config.Connection.newDialer(url, config.Name)
	if err == nil {
		err = config.validate()
	}
	if err != nil {
		return nil, fmt.Errorf("rabbitmq: %w", err)
	}
	s := &Subscriber{dialer: d, config: config.withDefaults()}
	s.closing, s.close = context.WithCancel(context.Background())
	return s, nil
}

// Subscribe attaches to the queue named topic, which must exist, on a
// connection of its own. It returns at once, and an error only for misuse:
// connecting is tried until it works, as it is after every loss.
//
// The channel is closed after ctx has ended, or the subscriber was closed, and
// all messages were settled, or StopTimeout has passed.
func (s *Subscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	if topic == "" || len(topic) > maxShort {
		return nil, fmt.Errorf("rabbitmq: topic: %d bytes: give the name of a queue, 1 to %d bytes", len(topic), maxShort)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	sub := &subscription{
		log:    s.config.Logger.With("queue", topic),
		out:    make(chan *message.Message, min(s.config.Prefetch, maxReady)),
		grace:  s.config.StopTimeout,
		status: newTracker(topic, Connecting),
	}
	dialer := s.dialer.fork()
	sub.open = func(ctx context.Context) (*epoch, error) {
		consumer, err := s.attach(ctx, dialer, topic)
		if err != nil {
			return nil, err
		}
		return newEpoch(ctx, consumer, s.config.Prefetch, sub.log), nil
	}
	s.states = append(s.states, sub.status)
	s.subscriptions.Go(func() {
		defer s.forget(sub.status)
		open, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(s.closing, cancel)()
		sub.run(open)
	})
	return sub.out, nil
}

// State returns what each subscription that has not ended is doing, in the order
// of the calls of Subscribe. A subscriber is ready to work when all are [Ready].
func (s *Subscriber) State() []State {
	s.mu.Lock()
	trackers := slices.Clone(s.states)
	s.mu.Unlock()
	var states []State
	for _, t := range trackers {
		states = append(states, t.get())
	}
	return states
}

func (s *Subscriber) forget(t *tracker) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.states = slices.DeleteFunc(s.states, func(other *tracker) bool { return other == t })
}

// Close ends all subscriptions, as the end of their contexts does, and waits
// for them.
func (s *Subscriber) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.close()
	s.subscriptions.Wait()
	return nil
}

// attach connects and starts a consumer on the queue as it is. It declares
// nothing but what the configuration says: that would need rights that a consumer
// does not always have, and arguments that it does not know.
func (s *Subscriber) attach(ctx context.Context, d *dialer, queue string) (source, error) {
	l, err := d.dial(ctx)
	if err != nil {
		return source{}, err
	}
	if err := s.config.Declare.declare(ctx, l); err != nil {
		l.close()
		return source{}, err
	}
	tag := d.tag()
	consumer := source{host: l.host, channel: l.ch, lost: l.ctx, close: l.close}
	consumer.flush = func() error { return s.flush(l, queue, tag) }
	cancelled := l.ch.NotifyCancel(make(chan string, 1))
	l.guards.Go(func() {
		select {
		case _, ok := <-cancelled:
			if ok {
				l.end(errCancelled)
			}
		case <-l.ctx.Done():
		}
	})
	err = l.call(ctx, "consume from queue "+queue, func() error {
		err := l.ch.Qos(s.config.Prefetch, 0, false)
		if err == nil {
			consumer.deliveries, err = l.ch.Consume(queue, tag, false, s.config.Exclusive, false, false, nil)
		}
		return err
	})
	if err != nil {
		l.close()
		return source{}, err
	}
	return consumer, nil
}

// flush returns when the queue has done all that was sent to it. It is asked for
// another consumer, because a quorum queue answers that after the acks before. To
// cancel the first one would serve as well, but the next consumer of a queue with
// a single active one would begin before what it holds has gone back.
func (s *Subscriber) flush(l *link, queue, tag string) error {
	ctx, cancel := context.WithTimeoutCause(context.Background(), closeTimeout, errNoAnswer)
	defer cancel()
	return l.call(ctx, "wait for the last acks", func() error {
		if s.config.Exclusive { // nobody gets another, and no quorum queue is exclusive
			return l.ch.Cancel(tag, false)
		}
		if err := l.ch.Qos(1, 0, false); err != nil {
			return err
		}
		_, err := l.ch.Consume(queue, tag+".", false, false, false, false, nil)
		return err
	})
}

// subscription is a queue's stream of messages over all epochs.
type subscription struct {
	open  func(context.Context) (*epoch, error)
	out   chan *message.Message
	grace time.Duration
	log   *slog.Logger

	status *tracker
}

// run goes from epoch to epoch until ctx ends.
func (s *subscription) run(ctx context.Context) {
	defer close(s.out)
	delays := newDelays(5 * time.Second)
	for {
		began := time.Now()
		e, err := s.open(ctx)
		if err == nil {
			if s.status.up(e.host) { // an outage is one line in the log, however long
				s.log.Info("consuming", "host", e.host)
			}
			err = e.run(ctx, s.out, s.grace)
			if time.Since(began) >= steady {
				delays.Reset()
			}
		}
		if ctx.Err() != nil {
			return
		}
		if s.status.lost(err) {
			s.log.Warn("not consuming, will try until it works", "error", err)
		} else {
			s.log.Debug("still not consuming", "error", err)
		}
		if pause(ctx, delays.NextBackOff()) != nil {
			return
		}
	}
}
