package brokertest

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/notification"
)

// Config says how the suite runs. The zero Config works.
type Config struct {
	// Virtual runs each case in a bubble of testing/synctest, in which time
	// passes at once. It is for brokers in memory.
	Virtual bool
	// Without has the names of the cases that are left out, without the queue
	// type in front, each with the reason.
	Without map[string]string
}

// Settings are what a case wants of the transport.
type Settings struct {
	// Exchange is the topic exchange of the publishers. The harness makes it.
	Exchange string
	// Prefetch is how many messages a subscriber holds without acking them.
	Prefetch int
	// StopTimeout is how long they can be acked after the subscription's end.
	StopTimeout time.Duration
}

// Harness is how a case handles the broker. All fields are needed, but those
// whose cases are left out. Names of queues and exchanges are unique.
type Harness struct {
	// Declare declares a durable queue, by RabbitMQ's arguments.
	Declare func(queue string, args amqp.Table) error
	// Delete deletes a queue, in use or not.
	Delete func(queue string) error
	// Bind binds a queue to a topic exchange, which it makes if need be.
	Bind func(exchange, queue string, patterns ...string) error
	// Publish publishes a message past the transport, and returns when it is
	// stored. A message that is refused, or that no queue takes, is an error.
	Publish func(exchange, routingKey string, p amqp.Publishing) error
	// Reject takes the first ready message and rejects it without requeueing
	// it. It is an error if there is none.
	Reject func(queue string) error
	// Cut loses the connections of all subscribers, not those of the harness.
	Cut func()
	// Cancel makes the broker cancel the queue's consumers.
	Cancel func(queue string) error
	// Publisher returns a publisher to the exchange of the settings, and
	// Subscriber a subscriber. The case closes them.
	Publisher  func() message.Publisher
	Subscriber func() message.Subscriber
}

// Run checks that the broker behaves as RabbitMQ does, with quorum and with
// classic queues. It calls open for each case, in the case's bubble if there is
// one; what open starts, t.Cleanup ends.
func Run(t *testing.T, config Config, open func(t *testing.T, s Settings) Harness) {
	left := maps.Clone(config.Without)
	for _, kind := range []string{"quorum", "classic"} {
		for _, c := range allCases() {
			if c.quorum && kind != "quorum" {
				continue
			}
			reason, without := config.Without[c.name]
			delete(left, c.name)
			t.Run(kind+"/"+c.name, func(t *testing.T) {
				if without {
					t.Skip("left out: " + reason) //nolint:forbidigo // asked for by name and with a reason; to pass would be a lie
				}
				if !config.Virtual {
					newEnv(t, kind, c, open).run()
					return
				}
				synctest.Test(t, func(t *testing.T) { newEnv(t, kind, c, open).run() })
			})
		}
	}
	require.Empty(t, left, "Without: no case has such a name")
}

// testCase is one rule.
type testCase struct {
	name        string
	quorum      bool // it is about quorum queues only
	prefetch    int
	stopTimeout time.Duration // by default, so long that it makes no difference
	run         func(e *env)
}

func allCases() []testCase {
	return slices.Concat(publishCases, deliveryCases, redeliveryCases, lossCases, endCases, deadLetterCases, expiryCases)
}

// patience is far longer than anything takes.
const patience = time.Minute

// env is what a case works with.
type env struct {
	*require.Assertions
	Harness

	t        *testing.T
	test     testCase
	exchange string
	queue    string // the case's own, made by declare
	kind     string
	closers  []func() error
}

func newEnv(t *testing.T, kind string, c testCase, open func(*testing.T, Settings) Harness) *env {
	t.Helper()
	name := strings.NewReplacer("/", ".", " ", "-").Replace(t.Name()) + "." + watermill.NewShortUUID()
	e := &env{
		Assertions: require.New(t), t: t, test: c, kind: kind,
		queue: name, exchange: name + ".exchange",
	}
	if c.stopTimeout == 0 {
		c.stopTimeout = patience
	}
	e.Harness = open(t, Settings{Exchange: e.exchange, Prefetch: c.prefetch, StopTimeout: c.stopTimeout})
	e.explain()
	return e
}

// explain makes a case fail that needs a function which the harness lacks.
func (e *env) explain() {
	h := reflect.ValueOf(&e.Harness).Elem()
	for i := range h.NumField() {
		if name, f := h.Type().Field(i).Name, h.Field(i); f.IsNil() {
			f.Set(reflect.MakeFunc(f.Type(), func([]reflect.Value) []reflect.Value {
				e.FailNow("Harness." + name + ": is nil: set it, or leave the case out by Config.Without")
				return nil
			}))
		}
	}
}

func (e *env) run() {
	// A case that fails leaves messages unacked, and Close waits for those.
	passed := false
	defer func() {
		if passed {
			for _, closeIt := range e.closers {
				e.NoError(closeIt())
			}
		}
	}()
	e.test.run(e)
	passed = true
}

// name returns the name of another queue of the case.
func (e *env) name(suffix string) string { return e.queue + "." + suffix }

// with returns the arguments of a queue of the type that is tested, with more.
func (e *env) with(more amqp.Table) amqp.Table {
	args := amqp.Table{"x-queue-type": e.kind}
	maps.Copy(args, more)
	return args
}

// declare makes the case's queue.
func (e *env) declare(more amqp.Table) {
	e.t.Helper()
	e.NoError(e.Declare(e.queue, e.with(more)))
}

// declareWithDeadLetters makes the case's queue and one for its dead letters,
// and returns the name of that.
func (e *env) declareWithDeadLetters(more amqp.Table) string {
	e.t.Helper()
	dead := e.name("dead")
	e.NoError(e.Declare(dead, e.with(nil)))
	args := amqp.Table{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead}
	maps.Copy(args, more)
	e.declare(args)
	return dead
}

// publish puts messages with such bodies into the case's queue.
func (e *env) publish(bodies ...string) {
	e.t.Helper()
	for _, body := range bodies {
		e.publishTo(e.queue, amqp.Publishing{Body: []byte(body)})
	}
}

func (e *env) publishTo(queue string, p amqp.Publishing) {
	e.t.Helper()
	p.DeliveryMode = amqp.Persistent
	e.NoError(e.Publish("", queue, p))
}

// subscriber is a subscription on a connection of its own.
type subscriber struct {
	e      *env
	out    <-chan *message.Message
	cancel context.CancelFunc
	conn   message.Subscriber
}

func (e *env) subscribe(queue string) *subscriber {
	e.t.Helper()
	return e.subscribeWith(e.t.Context(), queue)
}

func (e *env) subscribeWith(ctx context.Context, queue string) *subscriber {
	e.t.Helper()
	conn := e.Subscriber()
	e.closers = append(e.closers, conn.Close)
	ctx, cancel := context.WithCancel(ctx)
	e.t.Cleanup(cancel)
	out, err := conn.Subscribe(ctx, queue)
	e.NoError(err)
	return &subscriber{e: e, conn: conn, out: out, cancel: cancel}
}

// next returns the next message.
func (s *subscriber) next() *message.Message {
	s.e.t.Helper()
	select {
	case msg, open := <-s.out:
		s.e.True(open, "the output is closed")
		s.e.NotEmpty(msg.Payload, "nobody published an empty message")
		return msg
	case <-time.After(patience):
		s.e.FailNow("no message")
		return nil
	}
}

// take returns the next n messages.
func (s *subscriber) take(n int) []*message.Message {
	s.e.t.Helper()
	var all []*message.Message
	for range n {
		all = append(all, s.next())
	}
	return all
}

// ackNext acks the next n messages, one after the other, and returns their
// bodies.
func (s *subscriber) ackNext(n int) string {
	s.e.t.Helper()
	var all []*message.Message
	for range n {
		msg := s.next()
		all = append(all, msg)
		s.e.True(msg.Ack())
	}
	return bodies(all...)
}

// gets publishes to the case's queue, in which messages do not live long, until
// the subscriber has got one, for it may still be on its way there.
func (s *subscriber) gets(body string) {
	s.e.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	end := time.After(patience)
	for {
		s.e.publish(body)
		select {
		case msg := <-s.out:
			s.e.Equal(body, bodies(msg))
			s.e.True(msg.Ack())
			return
		case <-tick.C:
		case <-end:
			s.e.FailNow("no message")
		}
	}
}

// closed waits until the subscription has ended. What waited in the output when
// the end came may still be taken at that moment, each message once: closed puts
// it back.
func (s *subscriber) closed() {
	s.e.t.Helper()
	end := time.After(patience)
	late := map[string]bool{}
	for {
		select {
		case msg, open := <-s.out:
			if !open {
				return
			}
			s.e.False(late[string(msg.Payload)], "delivered after the end, and what came then was put back")
			late[string(msg.Payload)] = true
			s.e.True(msg.Nack())
		case <-end:
			s.e.FailNow("the output was not closed")
		}
	}
}

// left returns what the queue holds that nobody else takes, and acks it.
func (e *env) left(queue string) string {
	e.t.Helper()
	const sentinel = "the end"
	e.publishTo(queue, amqp.Publishing{Body: []byte(sentinel)})
	s := e.subscribe(queue)
	var all []*message.Message
	for {
		msg := s.next()
		e.True(msg.Ack())
		if string(msg.Payload) == sentinel {
			e.NoError(s.conn.Close())
			return bodies(all...)
		}
		all = append(all, msg)
	}
}

// within tries until f succeeds.
func (e *env) within(f func() error) {
	e.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	end := time.After(patience)
	for err := f(); err != nil; err = f() {
		select {
		case <-tick.C:
		case <-end:
			e.NoError(err)
		}
	}
}

// ended waits until a message's context has ended, and returns why.
func (e *env) ended(msg *message.Message) error {
	e.t.Helper()
	select {
	case <-msg.Context().Done():
		return context.Cause(msg.Context())
	case <-time.After(patience):
		e.FailNow("the message's context goes on")
		return nil
	}
}

// bodies returns the bodies of messages, each with "!" if it is marked as
// redelivered.
func bodies(msgs ...*message.Message) string {
	var all []string
	for _, msg := range msgs {
		body := string(msg.Payload)
		if msg.Metadata.Get(notification.MetaRedelivered) == "true" {
			body += "!"
		}
		all = append(all, body)
	}
	return strings.Join(all, " ")
}

func numbers(from, to int) []string {
	var all []string
	for i := from; i <= to; i++ {
		all = append(all, fmt.Sprint(i))
	}
	return all
}
