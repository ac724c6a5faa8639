//go:build integration

package rabbitmq

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/konnektor-go/konnektor/internal/logtest"
	"github.com/konnektor-go/konnektor/internal/server"
)

// lossRig is a subscription on a real queue whose channel the test can reach.
type lossRig struct {
	*testing.T
	node  *server.RabbitMQNode
	queue string
	log   logtest.Buffer
	out   <-chan *message.Message
	admin *amqp.Channel

	mu       sync.Mutex
	channels []amqp.Acknowledger // of the epochs, in order
}

func newLossRig(t *testing.T, args amqp.Table) *lossRig {
	t.Helper()
	node := server.SharedRabbitMQ(t)
	running := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, running) })
	conn, err := amqp.Dial(node.URL())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close()) })
	r := &lossRig{T: t, node: node, queue: t.Name()}
	r.admin, err = conn.Channel()
	require.NoError(t, err)
	_, err = r.admin.QueueDeclare(r.queue, true, false, false, false, args)
	require.NoError(t, err)

	s, err := NewSubscriber(node.URL(), SubscriberConfig{Logger: r.log.Logger()})
	require.NoError(t, err)
	dialer := s.dialer.fork()
	sub := &subscription{log: s.config.Logger, out: make(chan *message.Message), grace: time.Minute, status: newTracker(r.queue, Connecting)}
	sub.open = func(ctx context.Context) (*epoch, error) {
		consumer, err := s.attach(ctx, dialer, r.queue)
		if err != nil {
			return nil, err
		}
		r.mu.Lock()
		r.channels = append(r.channels, consumer.channel)
		r.mu.Unlock()
		return newEpoch(ctx, consumer, s.config.Prefetch, slog.New(slog.DiscardHandler)), nil
	}
	r.out = sub.out
	ctx, stop := context.WithCancel(t.Context())
	var task sync.WaitGroup
	task.Go(func() { sub.run(ctx) })
	t.Cleanup(func() {
		stop()
		task.Wait()
		require.NoError(t, s.Close())
	})
	return r
}

func (r *lossRig) publish(from, to int) {
	r.Helper()
	for i := from; i <= to; i++ {
		require.NoError(r, r.admin.PublishWithContext(r.Context(), "", r.queue, true, false,
			amqp.Publishing{DeliveryMode: amqp.Persistent, Body: fmt.Append(nil, i)}))
	}
}

func (r *lossRig) next() *message.Message {
	r.Helper()
	select {
	case msg := <-r.out:
		require.NotEmpty(r, msg.Payload, "nobody published an empty message")
		return msg
	case <-time.After(time.Minute):
		require.FailNow(r, "no message", r.log.String())
		return nil
	}
}

// The subscriber itself never does this: messages can be settled once.
func TestAChannelClosedForADoubleAck(t *testing.T) {
	r := newLossRig(t, amqp.Table{queueType: "quorum"})
	r.publish(1, 3)
	first, held := r.next(), []*message.Message{r.next(), r.next()}
	first.Ack()
	<-first.Context().Done()
	r.mu.Lock()
	channel := r.channels[0]
	r.mu.Unlock()
	require.NoError(t, channel.Ack(1, false))
	_ = channel.Ack(1, false) // the first may have come before ours
	for _, msg := range held {
		<-msg.Context().Done()
		require.ErrorContains(t, context.Cause(msg.Context()), "PRECONDITION_FAILED - unknown delivery tag 1")
		msg.Ack() // too late
	}
	for _, msg := range held {
		again := r.next()
		require.Equal(t, string(msg.Payload), string(again.Payload))
		again.Ack()
	}
	require.Equal(t, 1, strings.Count(r.log.String(), "level=WARN"), r.log.String())
	require.Equal(t, 2, strings.Count(r.log.String(), "msg=consuming"), r.log.String())
}

// When a classic queue's process dies, RabbitMQ makes the consumer anew by
// itself, on the same channel: what is in flight comes again, beside itself.
func TestAQueueThatCrashesDeliversAgain(t *testing.T) {
	r := newLossRig(t, nil)
	r.publish(1, 3)
	held := []*message.Message{r.next(), r.next(), r.next()}
	_, err := r.node.Ctl("eval", fmt.Sprintf(
		`{ok, Q} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"/">>, queue, <<%q>>)), exit(amqqueue:get_pid(Q), kill).`, r.queue))
	require.NoError(t, err)
	for _, msg := range held {
		again := r.next()
		require.Equal(t, string(msg.Payload), string(again.Payload))
		msg.Ack()
		again.Ack()
	}
	r.publish(4, 4)
	last := r.next()
	require.Equal(t, "4", string(last.Payload))
	last.Ack()
	require.NotContains(t, r.log.String(), "level=WARN", "nothing was lost")
}
