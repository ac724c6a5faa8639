package brokertest_test

import (
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"
	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/testkit"
)

// stopTimeout is shorter than the time in which Watermill's suite wants a
// message's context to end that it never acks.
const stopTimeout = 5 * time.Second

// initializer lets Watermill's suite make its queues, which nobody does for a
// subscriber otherwise.
type initializer struct {
	message.Subscriber
	declare func(queue string) error
}

func (i initializer) SubscribeInitialize(topic string) error { return i.declare(topic) }

// watermillSuite runs Watermill's own suite. pubSub returns a publisher to
// queues by their names, and a subscriber with the given prefetch.
//
// What it leaves out, as the flags say: there are no consumer groups, a queue is
// one; no exactly-once delivery; and a new subscriber does not get what another
// has acked. The case on restarts of the broker is watermillRestart.
func watermillSuite(t *testing.T, pubSub func(t *testing.T, prefetch int) (message.Publisher, message.Subscriber)) {
	t.Helper()
	features := tests.Features{Persistent: true, ForceShort: testing.Short()}
	tests.TestPubSub(t, features, func(t *testing.T) (message.Publisher, message.Subscriber) {
		return pubSub(t, 0)
	}, nil)

	// With one message in flight and one subscriber there is an order.
	features.GuaranteedOrder, features.GuaranteedOrderWithSingleSubscriber = true, true
	for name, run := range map[string]func(*testing.T, tests.TestContext, tests.PubSubConstructor){
		"TestPublishSubscribeInOrder": tests.TestPublishSubscribeInOrder,
		"TestNoAck":                   tests.TestNoAck,
	} {
		t.Run("OneInFlight/"+name, func(t *testing.T) {
			t.Parallel()
			run(t, tests.TestContext{TestID: tests.NewTestID(), Features: features}, func(t *testing.T) (message.Publisher, message.Subscriber) {
				return pubSub(t, 1)
			})
		})
	}
}

func TestWatermillOnFake(t *testing.T) {
	brokers := map[int]*testkit.Broker{} // by their prefetch
	for _, prefetch := range []int{0, 1} {
		b, err := testkit.NewBroker(testkit.BrokerConfig{Prefetch: prefetch, StopTimeout: stopTimeout})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, b.Close()) })
		brokers[prefetch] = b
	}
	watermillSuite(t, func(_ *testing.T, prefetch int) (message.Publisher, message.Subscriber) {
		b := brokers[prefetch]
		conn := b.Connect()
		return b.Connect(), initializer{conn, func(queue string) error { return b.Bind(queue, queue) }}
	})
}
