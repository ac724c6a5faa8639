package testkit

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/konnektor-go/konnektor/notification"
	"github.com/konnektor-go/konnektor/notification/rabbitmq"
)

const q = "from_provider"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newBroker(t *testing.T, cfg BrokerConfig) *Broker {
	t.Helper()
	b, err := NewBroker(cfg)
	require.NoError(t, err)
	require.NoError(t, b.Bind(q, "a.#"))
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	return b
}

// publish publishes messages with the given payloads.
func publish(t *testing.T, b *Broker, payloads ...string) {
	t.Helper()
	for _, p := range payloads {
		require.NoError(t, b.Publish("a.b", message.NewMessage(watermill.NewUUID(), []byte(p))))
	}
}

func subscribe(ctx context.Context, t *testing.T, b *Broker) <-chan *message.Message {
	t.Helper()
	out, err := b.Subscribe(ctx, q)
	require.NoError(t, err)
	return out
}

// take returns all messages that come without an ack, in a bubble.
func take(out <-chan *message.Message) []*message.Message {
	var got []*message.Message
	for {
		synctest.Wait()
		select {
		case m, open := <-out:
			if !open {
				return got
			}
			got = append(got, m)
		default:
			return got
		}
	}
}

func payloads(msgs []*message.Message) string {
	var all []string
	for _, m := range msgs {
		p := string(m.Payload)
		if m.Metadata[notification.MetaRedelivered] == "true" {
			p += "!"
		}
		all = append(all, p)
	}
	return strings.Join(all, " ")
}

func TestBrokerConfig(t *testing.T) {
	for _, tc := range []struct {
		name, want string
		cfg        BrokerConfig
	}{
		{name: "prefetch", cfg: BrokerConfig{Prefetch: -1}, want: "Prefetch: -1, must be"},
		{name: "stop timeout", cfg: BrokerConfig{StopTimeout: -1}, want: "StopTimeout: -1ns, must be"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := NewBroker(tc.cfg)
			require.ErrorContains(t, err, tc.want)
		})
	}
}

func TestBrokerMisuse(t *testing.T) {
	b := newBroker(t, BrokerConfig{})
	long := strings.Repeat("x", maxName+1)
	require.ErrorContains(t, b.Bind(""), "queueName: ")
	require.ErrorContains(t, b.Bind(long), "at most 255")
	require.ErrorContains(t, b.Bind("x", long), "at most 255")
	require.ErrorContains(t, b.Publish(long), "routingKey: 256 bytes")
	_, err := b.Subscribe(t.Context(), "none")
	require.ErrorContains(t, err, "queueName: there is no such queue, call Bind first")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, b.Publish("a", message.NewMessageWithContext(ctx, "", nil)), context.Canceled)

	require.ErrorContains(t, b.Publish("a", nil), "message: nil")

	require.NoError(t, b.Close())
	require.ErrorIs(t, b.Publish("a", message.NewMessage("", nil)), errClosed)
	_, err = b.Subscribe(t.Context(), q)
	require.ErrorIs(t, err, errClosed)
	require.NoError(t, b.Close(), "closing twice is harmless")
}

func TestBrokerRoutes(t *testing.T) {
	b, err := NewBroker(BrokerConfig{})
	require.NoError(t, err)
	require.NoError(t, b.Bind("persons", "no.*.person.#", "no.uio.person"))
	require.NoError(t, b.Bind("uio", "no.uio.#"))
	require.NoError(t, b.Bind("unbound"))
	for _, tc := range []struct {
		key          string
		persons, uio int
	}{
		{key: "no.uio.person", persons: 1, uio: 1}, // two bindings of one queue give one message
		{key: "no.ntnu.person.update", persons: 1},
		{key: "no.uio", uio: 1},
	} {
		persons, uio := b.Len("persons"), b.Len("uio")
		require.NoError(t, b.Publish(tc.key, message.NewMessage("1", nil)))
		require.Equal(t, tc.persons, b.Len("persons")-persons, tc.key)
		require.Equal(t, tc.uio, b.Len("uio")-uio, tc.key)
	}
	err = b.Publish("se.uio", message.NewMessage("1", nil))
	require.ErrorIs(t, err, rabbitmq.ErrUnroutable)
	require.ErrorContains(t, err, "routingKey: ")
	require.Equal(t, 4, b.Published())
	require.Zero(t, b.Len("unbound"))
	require.Zero(t, b.Len("none"))
}

func TestBrokerPrefetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t, BrokerConfig{Prefetch: 3})
		out := subscribe(t.Context(), t, b)
		publish(t, b, "1", "2", "3", "4", "5")
		got := take(out)
		require.Equal(t, "1 2 3", payloads(got), "in order, without an ack, up to Prefetch")
		got[1].Ack()
		require.Equal(t, 4, b.Len(q), "an ack counts at once")
		require.Equal(t, "4", payloads(take(out)), "an ack makes room for one")
		require.Equal(t, []int{5, 4, 1, 0}, []int{b.Published(), b.Delivered(), b.Acked(), b.Redelivered()})
		b.Cut()
		require.Equal(t, "1! 3! 4!", payloads(take(out)))
		require.Equal(t, 3, b.Redelivered())
	})
}

func TestBrokerSubscribersTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t, BrokerConfig{Prefetch: 2})
		one, two := subscribe(t.Context(), t, b), subscribe(t.Context(), t, b)
		publish(t, b, "1", "2", "3", "4", "5")
		first := take(one)
		require.Equal(t, "1 3", payloads(first))
		require.Equal(t, "2 4", payloads(take(two)))
		first[0].Ack()
		require.Equal(t, "5", payloads(take(one)), "the other has its fill")
		b.Cut()
		b.Cut()
		require.Equal(t, 4, b.Len(q))
	})
}

func TestBrokerDeliveryIsACopy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t, BrokerConfig{Exchange: "from_x"})
		out := subscribe(t.Context(), t, b)
		sent := message.NewMessage("id-1", []byte("data"))
		sent.Metadata = message.Metadata{
			"h":                          "v",
			notification.MetaContentType: "application/json",
			notification.MetaRoutingKey:  "forged",
			notification.MetaRedelivered: "true",
			"x-delivery-count":           "77",
			"x-death":                    "forged",
		}
		require.NoError(t, b.Publish("a.b", sent))
		sent.Payload[0], sent.Metadata["h"] = 'X', "changed"

		want := message.Metadata{
			"h":                          "v",
			notification.MetaContentType: "application/json",
			notification.MetaRoutingKey:  "a.b",
			notification.MetaExchange:    "from_x",
			notification.MetaMessageID:   "id-1",
		}
		first := take(out)[0]
		require.Equal(t, "id-1", first.UUID)
		require.Equal(t, "data", string(first.Payload))
		require.Equal(t, want, first.Metadata)
		_, found := rabbitmq.Headers(first.Context())
		require.True(t, found)

		first.Payload[0], first.Metadata["h"] = 'Y', "changed"
		first.Nack()
		want[notification.MetaRedelivered], want[deliveryCount] = "true", "1"
		second := take(out)[0]
		require.NotSame(t, first, second)
		require.Equal(t, "data", string(second.Payload))
		require.Equal(t, want, second.Metadata)
		headers, _ := rabbitmq.Headers(second.Context())
		require.Equal(t, int64(1), headers[deliveryCount])
		second.Ack()

		require.NoError(t, b.Publish("a.b", message.NewMessage("", nil)))
		third := take(out)[0]
		require.NotEmpty(t, third.UUID, "a message without an id is given one")
		require.NotContains(t, third.Metadata, notification.MetaMessageID)
		third.Ack()
	})
}

func TestBrokerNack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t, BrokerConfig{Prefetch: 1})
		out := subscribe(t.Context(), t, b)
		publish(t, b, "0", "1", "2", "3")
		nacked := map[string]bool{"1": true, "2": true}
		var order []string
		for b.Len(q) > 0 {
			m := take(out)[0]
			order = append(order, payloads([]*message.Message{m}))
			if nacked[string(m.Payload)] {
				delete(nacked, string(m.Payload))
				m.Nack()
			} else {
				m.Ack()
			}
		}
		require.Equal(t, "0 1 2 3 1! 2!", strings.Join(order, " "), "to the back of the queue")
		require.Equal(t, 2, b.Redelivered())
		require.Equal(t, 4, b.Acked())
	})
}

func TestBrokerCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t, BrokerConfig{Prefetch: 4})
		out := subscribe(t.Context(), t, b)
		publish(t, b, "1", "2", "3", "4", "5", "6")
		old := take(out)
		require.Equal(t, "1 2 3 4", payloads(old))
		old[0].Ack()
		old[2].Nack()
		synctest.Wait()
		require.Equal(t, context.Canceled, context.Cause(old[2].Context()))

		b.Cut()
		for _, m := range append(old[1:2], old[3]) {
			require.ErrorIs(t, context.Cause(m.Context()), errTakenBack)
			m.Ack()
			m.Nack()
		}
		require.Equal(t, 5, b.Len(q), "late acks change nothing")
		again := take(out)
		require.Equal(t, "2! 4! 5! 6!", payloads(again), "in order; 5 and 6 were on their way; what was nacked is behind")
		for _, m := range again {
			m.Ack()
		}
		last := take(out)
		require.Equal(t, "3!", payloads(last))
		last[0].Ack()
		require.Equal(t, 6, b.Acked())
		require.Zero(t, b.Len(q))
	})
}

func TestBrokerSubscriptionEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t, BrokerConfig{Prefetch: 4})
		type ctxKey struct{}
		ctx, cancel := context.WithCancel(context.WithValue(t.Context(), ctxKey{}, "v"))
		out := subscribe(ctx, t, b)
		publish(t, b, "1", "2", "3", "4", "5")
		one, two, three := <-out, <-out, <-out // 4 is on its way, and not read
		require.Equal(t, "v", one.Context().Value(ctxKey{}))
		cancel()
		require.Empty(t, take(out), "nothing more is delivered")
		require.NoError(t, two.Context().Err(), "the work goes on")

		time.Sleep(29 * time.Second)
		require.True(t, two.Ack())
		synctest.Wait()
		require.Error(t, two.Context().Err(), "ends with the ack")
		require.Equal(t, 4, b.Len(q), "an ack in time counts")
		require.NoError(t, one.Context().Err())

		closed := time.Now()
		_, open := <-out
		require.False(t, open)
		require.Equal(t, time.Second, time.Since(closed), "closed after StopTimeout")
		require.Error(t, one.Context().Err())
		one.Ack()
		three.Nack()
		require.Equal(t, 4, b.Len(q), "too late")

		next := subscribe(t.Context(), t, b)
		require.Equal(t, "1! 3! 4! 5", payloads(take(next)))
	})
}

func TestBrokerSubscriptionEndsAsSoonAsAllIsSettled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t, BrokerConfig{})
		ctx, cancel := context.WithCancel(t.Context())
		out := subscribe(ctx, t, b)
		publish(t, b, "1", "2")
		one, two := <-out, <-out
		cancel()
		start := time.Now()
		go func() {
			time.Sleep(3 * time.Second)
			one.Ack()
			two.Nack()
		}()
		_, open := <-out
		require.False(t, open)
		require.Equal(t, 3*time.Second, time.Since(start))
		require.Equal(t, 1, b.Len(q))

		// With another subscriber there, what is left goes to it: after
		// StopTimeout, or at once after a cut.
		publish(t, b, "3")
		ctx, cancel = context.WithCancel(t.Context())
		out = subscribe(ctx, t, b)
		require.Equal(t, "2! 3", payloads(take(out)))
		patient := subscribe(t.Context(), t, b)
		cancel()
		start = time.Now()
		m := <-patient
		require.Equal(t, "2!", payloads([]*message.Message{m}))
		require.Equal(t, 30*time.Second, time.Since(start))
		m.Ack()
		(<-patient).Ack()
		_, open = <-out
		require.False(t, open)

		publish(t, b, "4")
		require.Equal(t, "4", payloads(take(patient)))
		b.Cut()
		require.Equal(t, "4!", payloads(take(patient)))
		require.NoError(t, b.Close())
	})
}

func TestBrokerCutDuringStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t, BrokerConfig{})
		publish(t, b, "1")
		ctx, cancel := context.WithCancel(t.Context())
		out := subscribe(ctx, t, b)
		require.Equal(t, "1", payloads(take(out)))
		other := subscribe(t.Context(), t, b)
		cancel()
		b.Cut()
		require.Equal(t, "1!", payloads(take(other)))
		_, open := <-out
		require.False(t, open, "a cut leaves nothing to wait for")
	})
}

func TestBrokerClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t, BrokerConfig{StopTimeout: time.Minute})
		out := subscribe(t.Context(), t, b)
		idle := subscribe(t.Context(), t, b)
		publish(t, b, "1", "2", "3")
		one := <-out
		start := time.Now()
		go func() {
			time.Sleep(10 * time.Second)
			one.Ack()
		}()
		go func() { _ = b.Close() }()
		require.NoError(t, b.Close(), "at once from two sides")
		require.Equal(t, 10*time.Second, time.Since(start), "waits for what was delivered")
		_, open := <-out
		require.False(t, open)
		_, open = <-idle
		require.False(t, open)
		require.Equal(t, 2, b.Len(q))
		require.Equal(t, 1, b.Acked())
	})
}

func TestBrokerConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t, BrokerConfig{})
		c1, c2 := b.Connect(), b.Connect()
		out1, err := c1.Subscribe(t.Context(), q)
		require.NoError(t, err)
		out2, err := c2.Subscribe(t.Context(), q)
		require.NoError(t, err)
		require.NoError(t, c1.Close())
		_, open := <-out1
		require.False(t, open)
		_, err = c1.Subscribe(t.Context(), q)
		require.ErrorIs(t, err, errClosed)
		require.ErrorIs(t, c1.Publish("a"), errClosed)

		require.NoError(t, c2.Publish("a.b", message.NewMessage("1", []byte("1"))))
		require.Equal(t, "1", payloads(take(out2)), "the other connection lives on")
	})
}

// TestBrokerWithRouter runs Watermill's Router on the broker: handlers work side
// by side, fail now and then, and lose the connection in the middle.
func TestBrokerWithRouter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t, BrokerConfig{Prefetch: 10})
		require.NoError(t, b.Bind("answers", "answer"))
		router, err := message.NewRouter(message.RouterConfig{}, watermill.NopLogger{})
		require.NoError(t, err)
		conn := b.Connect()
		var failed, running, most int
		lock := make(chan struct{}, 1) // not a mutex: the bubble must see it wait
		router.AddHandler("echo", q, conn, "answer", b.Connect(), func(m *message.Message) ([]*message.Message, error) {
			lock <- struct{}{}
			running++
			most = max(most, running)
			<-lock
			time.Sleep(time.Second)
			lock <- struct{}{}
			defer func() { <-lock }()
			running--
			if m.Metadata[notification.MetaRedelivered] == "" && slices.Contains([]string{"3", "7"}, string(m.Payload)) {
				failed++
				return nil, fmt.Errorf("message %s", m.Payload)
			}
			return message.Messages{message.NewMessage("", m.Payload)}, nil
		})
		stopped := make(chan error)
		go func() { stopped <- router.Run(t.Context()) }()
		<-router.Running()
		start := time.Now()
		for i := range 20 {
			publish(t, b, fmt.Sprint(i))
		}
		time.Sleep(1500 * time.Millisecond)
		b.Cut()
		for b.Len(q) > 0 {
			time.Sleep(time.Second)
		}
		require.Less(t, time.Since(start), 6*time.Second, "side by side")
		require.Equal(t, 2, failed)
		require.GreaterOrEqual(t, most, 10)
		require.Equal(t, 20, b.Acked())
		require.GreaterOrEqual(t, b.Len("answers"), 20, "at least once")
		require.NoError(t, router.Close())
		require.NoError(t, <-stopped)
	})
}
