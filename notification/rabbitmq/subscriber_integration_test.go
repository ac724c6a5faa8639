//go:build integration

package rabbitmq_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/internal/logtest"
	"github.com/konnektor-go/konnektor/internal/server"
	"github.com/konnektor-go/konnektor/notification"
	"github.com/konnektor-go/konnektor/notification/rabbitmq"
)

func TestSubscriberAttachesToAQueueAsItIs(t *testing.T) {
	r := newRig(t)
	r.declare(amqp.Table{"x-queue-type": "quorum", "x-delivery-limit": 5, "x-max-length": 1000})
	for _, args := range [][]string{
		{"add_user", "reader", "s3cr3t"},
		{"set_permissions", "reader", "^$", "^$", ".*"}, // configure nothing, write nothing
	} {
		_, err := r.node.Ctl(args...)
		require.NoError(r, err)
	}
	sent := time.Now().UTC().Truncate(time.Second)
	headers := amqp.Table{
		"text": "æ", "int": int32(7), "time": sent, "table": amqp.Table{"list": []any{int64(1), "x"}},
		notification.MetaRoutingKey: "forged", "x-delivery-count": int64(77),
	}
	require.NoError(t, r.admin.PublishWithContext(t.Context(), "", r.queue, true, false, amqp.Publishing{
		Headers: headers, ContentType: "application/json", MessageId: "id-1", Body: []byte(`{}`),
	}))

	s, messages := r.subscribeAt(r.node.URLFor("reader", "s3cr3t", ""), rabbitmq.SubscriberConfig{Name: "as-it-is"})
	msg := next(t, messages)
	require.Equal(t, "id-1", msg.UUID)
	require.Equal(t, `{}`, string(msg.Payload))
	require.Equal(t, message.Metadata{
		"text": "æ", "int": "7", "time": sent.Format(time.RFC3339), "table": `{"list":[1,"x"]}`,
		notification.MetaRoutingKey: r.queue, notification.MetaContentType: "application/json",
		notification.MetaMessageID: "id-1",
	}, msg.Metadata)
	typed, ok := rabbitmq.Headers(msg.Context())
	require.True(t, ok)
	require.True(t, sent.Equal(typed["time"].(time.Time)))
	delete(headers, "x-delivery-count") // forged too
	headers["time"] = typed["time"]
	require.Equal(t, headers, typed)

	out, err := r.node.Ctl("list_connections", "client_properties")
	require.NoError(t, err)
	require.Contains(t, out, "as-it-is")

	msg.Ack()
	require.NoError(t, s.Close())
	require.Empty(t, r.left())
}

func TestSubscriberHoldsPrefetchMessagesAtOnce(t *testing.T) {
	for _, kind := range []string{"classic", "quorum"} {
		t.Run(kind, func(t *testing.T) {
			r := newRig(t)
			r.declare(amqp.Table{"x-queue-type": kind})
			r.fill(1, 50)
			s, messages := r.subscribe(rabbitmq.SubscriberConfig{Prefetch: 20, StopTimeout: time.Millisecond})
			held := make([]*message.Message, 20)
			for i := range held {
				held[i] = next(t, messages)
				require.Equal(t, strconv.Itoa(i+1), string(held[i].Payload))
			}
			r.holds(30)

			held[13].Ack() // in any order, each for itself
			require.Equal(t, "21", string(next(t, messages).Payload))
			held[2].Ack()
			require.Equal(t, "22", string(next(t, messages).Payload))
			r.holds(28)

			require.NoError(t, s.Close()) // nobody settles the rest
			var want []string
			for i := 1; i <= 50; i++ {
				if i != 3 && i != 14 {
					want = append(want, strconv.Itoa(i))
				}
			}
			require.ElementsMatch(t, want, r.left())
		})
	}
}

func TestSubscriberUnderARouterWorksInParallel(t *testing.T) {
	r := newRig(t)
	r.quorum()
	const parallel = 64
	r.fill(1, 4*parallel)
	s, err := rabbitmq.NewSubscriber(r.node.URL(), rabbitmq.SubscriberConfig{Prefetch: parallel, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	router, err := message.NewRouter(message.RouterConfig{}, watermill.NopLogger{})
	require.NoError(t, err)
	var mu sync.Mutex
	inside, handled := 0, 0
	all, done := make(chan struct{}), make(chan struct{})
	router.AddConsumerHandler("handler", r.queue, s, func(*message.Message) error {
		mu.Lock()
		if inside++; inside == parallel {
			close(all) // and only then does any handler return
		}
		mu.Unlock()
		<-all
		mu.Lock()
		defer mu.Unlock()
		if handled++; handled == 4*parallel {
			close(done)
		}
		return nil
	})
	var running sync.WaitGroup
	running.Go(func() { _ = router.Run(t.Context()) })
	select {
	case <-done:
	case <-time.After(patience):
		require.Fail(t, "not all handlers ran", "%d inside, %d handled", inside, handled)
	}
	require.NoError(t, router.Close())
	running.Wait()
	require.NoError(t, s.Close())
	require.Empty(t, r.left())
}

func TestSubscriberNackDeliversAgain(t *testing.T) {
	r := newRig(t)
	r.quorum()
	r.fill(1, 1)
	s, messages := r.subscribe(rabbitmq.SubscriberConfig{})
	msg := next(t, messages)
	require.NotContains(t, msg.Metadata, notification.MetaRedelivered)
	for count := 1; count <= 3; count++ {
		msg.Nack()
		msg = next(t, messages)
		require.Equal(t, "true", msg.Metadata[notification.MetaRedelivered])
		require.Equal(t, strconv.Itoa(count), msg.Metadata["x-delivery-count"])
		typed, _ := rabbitmq.Headers(msg.Context())
		require.Equal(t, int64(count), typed["x-delivery-count"])
	}
	msg.Ack()
	require.NoError(t, s.Close())
	require.Empty(t, r.left())
}

func TestSubscriberSurvivesLostConnections(t *testing.T) {
	r := newRig(t)
	r.quorum()
	const total = 300
	r.fill(1, total)
	s, messages := r.subscribe(rabbitmq.SubscriberConfig{Prefetch: 50})
	done := map[string]bool{}
	for loss := range 3 {
		var held []*message.Message
		for range 50 {
			held = append(held, next(t, messages))
		}
		for _, msg := range held[:20] {
			msg.Ack()
		}
		// Acks under way when the connection closes may be lost: not done yet.
		r.closeConnections()
		for _, msg := range held[20:] {
			<-msg.Context().Done()
			require.ErrorContains(t, context.Cause(msg.Context()), "CONNECTION_FORCED")
		}
		// Tags start at 1 again. A late ack that reached the new channel would
		// settle a message that nobody handled.
		again := next(t, messages)
		for _, msg := range held[20:] {
			require.True(t, msg.Ack())
		}
		again.Nack()
		require.Equal(t, "true", again.Metadata[notification.MetaRedelivered], "loss %d", loss)
	}
	for len(done) < total-3*20 {
		msg := next(t, messages)
		require.NotEmpty(t, msg.Payload)
		done[string(msg.Payload)] = true
		msg.Ack()
	}
	require.NoError(t, s.Close())
	for _, body := range r.left() {
		done[body] = true // its ack was lost, so it is still there
	}
	require.LessOrEqual(t, total-len(done), 3*20, "more than what was acked before the losses is gone")
}

func TestSubscriberLosesNothingOverChaos(t *testing.T) {
	r := newRig(t)
	r.quorum()
	p := server.NewProxy(r, r.node.URL())
	const total = 2000
	r.fill(1, total)
	_, messages := r.subscribeAt(p.URL(), rabbitmq.SubscriberConfig{Prefetch: 100})
	var mu sync.Mutex
	handled, all := map[string]bool{}, make(chan struct{})
	var workers sync.WaitGroup
	for finished := false; !finished; {
		select {
		case msg := <-messages:
			require.NotEmpty(t, msg.Payload)
			workers.Go(func() { // settles late and in any order
				for range rand.IntN(200) {
					runtime.Gosched()
				}
				mu.Lock()
				defer mu.Unlock()
				if len(handled) < total {
					handled[string(msg.Payload)] = true
					if len(handled) == total {
						close(all)
					}
				}
				msg.Ack()
			})
			if rand.IntN(400) == 0 {
				p.Cut()
			}
		case <-all:
			finished = true
		case <-time.After(patience):
			require.Fail(t, "messages were lost", "%d of %d", len(handled), total)
		}
	}
	workers.Wait()
}

func TestSubscriberResumesWhenItsQueueIsMadeAgain(t *testing.T) {
	r := newRig(t)
	r.quorum()
	r.fill(1, 2)
	var log logtest.Buffer
	_, messages := r.subscribe(rabbitmq.SubscriberConfig{Logger: log.Logger()})
	first, second := next(t, messages), next(t, messages)
	_, err := r.admin.QueueDelete(r.queue, false, false, false)
	require.NoError(t, err)
	<-first.Context().Done()
	require.ErrorContains(t, context.Cause(second.Context()), "the broker cancelled the consumer")
	first.Ack()

	require.Eventually(t, func() bool { return strings.Contains(log.String(), "no queue") }, patience, 10*time.Millisecond)
	r.quorum()
	r.fill(3, 3)
	msg := next(t, messages)
	require.Equal(t, "3", string(msg.Payload), "no empty message came in between")
	msg.Ack()
	require.Equal(t, 1, strings.Count(log.String(), "level=WARN"), log.String())
	require.Equal(t, 2, strings.Count(log.String(), "level=INFO"), log.String())
}

func TestSubscriberWaitsForAMissingQueue(t *testing.T) {
	r := newRig(t)
	var log logtest.Buffer
	_, messages := r.subscribe(rabbitmq.SubscriberConfig{Logger: log.Logger()})
	require.Eventually(t, func() bool { return strings.Contains(log.String(), "NOT_FOUND") }, patience, 10*time.Millisecond)
	r.quorum()
	r.fill(1, 1)
	next(t, messages).Ack()
}

func TestSubscriberStopsGracefully(t *testing.T) {
	r := newRig(t)
	r.quorum()
	r.fill(1, 30)
	s, err := rabbitmq.NewSubscriber(r.node.URL(), rabbitmq.SubscriberConfig{
		Prefetch: 10, StopTimeout: 2 * time.Second, Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	messages, err := s.Subscribe(ctx, r.queue)
	require.NoError(t, err)
	var held []*message.Message
	for range 6 { // of the ten that came
		held = append(held, next(t, messages))
	}
	r.holds(20)
	cancel()
	for _, msg := range held[:4] {
		require.NoError(t, msg.Context().Err())
		msg.Ack() // late, but it counts
	}
	late := 0
	for range messages { // what is not taken back in time is handed out, and not acked here
		late++
	}
	require.LessOrEqual(t, late, 4, "nothing more comes than had come")
	require.NoError(t, s.Close())
	require.Error(t, held[5].Context().Err())
	held[5].Ack() // too late
	var want []string
	for i := 5; i <= 30; i++ {
		want = append(want, strconv.Itoa(i))
	}
	require.ElementsMatch(t, want, r.left())
}

// A channel that closes right after many single acks loses some of them on a
// quorum queue.
func TestSubscriberStopKeepsTheLastAcks(t *testing.T) {
	r := newRig(t)
	r.quorum()
	for range 5 {
		const total = 3000
		r.fill(1, total)
		s, messages := r.subscribe(rabbitmq.SubscriberConfig{})
		first := next(t, messages) // in the way of groups until the end
		for range total - 1 {
			next(t, messages).Ack()
		}
		first.Ack()
		require.NoError(t, s.Close())
		require.Empty(t, r.left())
	}
}

func TestSubscriberCloseEndsAllSubscriptions(t *testing.T) {
	r := newRig(t)
	r.quorum()
	r.fill(1, 20)
	s, first := r.subscribe(rabbitmq.SubscriberConfig{Prefetch: 5})
	second, err := s.Subscribe(t.Context(), r.queue)
	require.NoError(t, err)
	missing, err := s.Subscribe(t.Context(), r.queue+".missing")
	require.NoError(t, err)
	next(t, first).Ack()
	next(t, second).Ack()
	require.NoError(t, s.Close())
	for _, messages := range []<-chan *message.Message{first, second, missing} {
		_, open := <-messages
		require.False(t, open)
	}
	require.Len(t, r.left(), 18)
}

func TestSubscriberWithAWrongPasswordSaysSoWithoutIt(t *testing.T) {
	r := newRig(t)
	var log logtest.Buffer
	_, _ = r.subscribeAt(r.node.URLFor("guest", "s3cr3t", ""), rabbitmq.SubscriberConfig{Logger: log.Logger()})
	require.Eventually(t, func() bool { return strings.Contains(log.String(), "username or password not allowed") }, patience, 10*time.Millisecond)
	require.NotContains(t, log.String(), "s3cr3t")
}

func TestOutageOfTheNode(t *testing.T) {
	r := newRig(t)
	own := server.RabbitMQ(t)
	r.node = own
	require.NoError(t, own.Stop())
	var log logtest.Buffer
	s, messages := r.subscribe(rabbitmq.SubscriberConfig{Logger: log.Logger()}) // before there is a broker
	p := r.publisher(own.URL(), rabbitmq.PublisherConfig{})
	require.ErrorContains(t, p.Publish(r.queue, message.NewMessage("m", nil)), "connect to")

	require.NoError(t, own.Start())
	r.reconnect()
	r.declare(nil)
	publish := func(from, to int) {
		for i := from; i <= to; i++ {
			// In order, as a caller does that tries until it works.
			require.Eventually(t, func() bool {
				return p.Publish(r.queue, message.NewMessage("m", fmt.Append(nil, i))) == nil
			}, patience, 10*time.Millisecond)
		}
	}
	publish(1, 10)
	collect(t.Context(), t, messages, 5)
	warnings := strings.Count(log.String(), "level=WARN")
	require.NoError(t, own.Stop())
	require.Error(t, p.Publish(r.queue, message.NewMessage("m", nil)))
	require.Error(t, r.phase(s, rabbitmq.Connecting).LastError)
	require.NoError(t, own.Start())
	publish(11, 20)
	seen := map[string]bool{}
	for !seen["20"] {
		msg := next(t, messages)
		seen[string(msg.Payload)] = true
		msg.Ack()
	}
	for i := 11; i <= 20; i++ {
		require.True(t, seen[strconv.Itoa(i)], "%d is missing", i)
	}
	require.Equal(t, warnings+1, strings.Count(log.String(), "level=WARN"), "one line for the outage: %s", log.String())
	require.Equal(t, 2, strings.Count(log.String(), "msg=consuming"), log.String())
	require.NoError(t, s.Close())
}
