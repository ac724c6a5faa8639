package brokertest

import (
	"context"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/konnektor-go/konnektor/notification/rabbitmq"
)

var redeliveryCases = []testCase{
	{name: "Redelivery/is marked, and a quorum queue counts it", prefetch: 1, run: func(e *env) {
		e.declare(nil)
		e.publishTo(e.queue, amqp.Publishing{Body: []byte("1")})
		s := e.subscribe(e.queue)
		for n := range int64(4) {
			msg := s.next()
			headers, _ := rabbitmq.Headers(msg.Context())
			e.Equal(map[bool]string{false: "1", true: "1!"}[n > 0], bodies(msg))
			if n > 0 && e.kind == "quorum" {
				e.Equal(n, headers["x-delivery-count"])
				e.Equal(strconv.FormatInt(n, 10), msg.Metadata.Get("x-delivery-count"))
			} else {
				e.NotContains(headers, "x-delivery-count")
				e.NotContains(msg.Metadata, "x-delivery-count")
			}
			if n < 3 {
				e.True(msg.Nack())
			} else {
				e.True(msg.Ack())
			}
		}
	}},
	{name: "Redelivery/what was nacked goes to the back of a quorum queue, to its place in a classic one", prefetch: 4, run: func(e *env) {
		e.declare(nil)
		e.Equal(map[string]string{
			"quorum":  "0 1 2 3 4 5 6 7 3! 1!",
			"classic": "0 1 2 3 3! 1! 4 5 6 7",
		}[e.kind], nackThreeThenOne(e))
	}},
	{name: "Redelivery/with a delivery limit, what was nacked goes to the front", quorum: true, prefetch: 4, run: func(e *env) {
		e.declare(amqp.Table{"x-delivery-limit": 5})
		e.Equal("0 1 2 3 3! 1! 4 5 6 7", nackThreeThenOne(e))
	}},
	{name: "DeliveryLimit/so often a message comes again, and then it is dropped", quorum: true, prefetch: 1, run: func(e *env) {
		e.declare(amqp.Table{"x-delivery-limit": 2})
		e.publish("1", "2")
		s := e.subscribe(e.queue)
		for _, want := range []string{"1", "1!", "1!", "2"} {
			msg := s.next()
			e.Equal(want, bodies(msg))
			if want == "2" {
				e.True(msg.Ack())
			} else {
				e.True(msg.Nack())
			}
		}
		e.NoError(s.conn.Close())
		e.Empty(e.left(e.queue))
	}},
	{name: "DeliveryLimit/a lost connection counts too, for all that was held", quorum: true, prefetch: 2, run: func(e *env) {
		dead := e.declareWithDeadLetters(amqp.Table{"x-delivery-limit": 1})
		e.publish("1", "2")
		s := e.subscribe(e.queue)
		e.Equal("1 2", bodies(s.take(2)...))
		e.Cut()
		e.Equal("1! 2!", bodies(s.take(2)...))
		e.Cut()
		e.Equal("1 2", e.subscribe(dead).ackNext(2))
	}},
}

// nackThreeThenOne nacks two of eight messages, acks the rest and returns the
// order in which they came.
func nackThreeThenOne(e *env) string {
	e.publish(numbers(0, 7)...)
	s := e.subscribe(e.queue)
	held := s.take(4)
	all := held
	for _, i := range []int{3, 1} {
		e.True(held[i].Nack())
		all = append(all, s.next())
	}
	for _, msg := range append(all[4:len(all):len(all)], held[0], held[2]) {
		e.True(msg.Ack())
	}
	order := []string{bodies(all...), s.ackNext(4)}
	e.NoError(s.conn.Close())
	e.Empty(e.left(e.queue))
	return strings.Join(order, " ")
}

var lossCases = []testCase{
	{name: "Loss/what was not acked comes again in its order and ahead of the rest, and late acks change nothing", prefetch: 4, run: func(e *env) {
		e.declare(nil)
		e.publish(numbers(1, 6)...)
		s := e.subscribe(e.queue)
		held := s.take(4)
		e.True(held[0].Ack())
		held = append(held[1:], s.next()) // so the ack has arrived
		e.Equal("2 3 4 5", bodies(held...))
		e.Cut()
		for i, msg := range held {
			e.NotErrorIs(e.ended(msg), context.Canceled, "the reason is another")
			if i%2 == 0 {
				msg.Ack()
			} else {
				msg.Nack()
			}
		}
		e.Equal("2! 3! 4! 5! 6", s.ackNext(5))
		e.NoError(s.conn.Close())
		e.Empty(e.left(e.queue))
	}},
	{name: "Loss/late acks settle no other message", prefetch: 4, stopTimeout: short, run: func(e *env) {
		e.declare(nil)
		e.publish(numbers(1, 4)...)
		s := e.subscribe(e.queue)
		held := s.take(4)
		e.Cut()
		again := s.take(4) // with other numbers on the wire, or the same
		for _, msg := range held {
			msg.Ack()
		}
		e.True(again[2].Ack())
		e.NoError(s.conn.Close())
		s = e.subscribe(e.queue)
		e.Equal("1! 2! 4!", s.ackNext(3))
	}},
	{name: "Loss/it happens again and again", prefetch: 3, run: func(e *env) {
		e.declare(nil)
		e.publish(numbers(1, 5)...)
		s := e.subscribe(e.queue)
		e.Equal("1 2 3", bodies(s.take(3)...))
		for range 3 {
			e.Cut()
			e.Equal("1! 2! 3!", bodies(s.take(3)...))
		}
		e.Cut()
		e.Equal("1! 2! 3! 4 5", s.ackNext(5))
	}},
	{name: "Loss/a consumer that the broker cancels gets what it held again", prefetch: 2, run: func(e *env) {
		e.declare(nil)
		e.publish("1", "2", "3")
		s := e.subscribe(e.queue)
		held := s.take(2)
		e.Equal("1 2", bodies(held...))
		e.NoError(e.Cancel(e.queue))
		for _, msg := range held {
			e.Error(e.ended(msg))
			msg.Ack()
		}
		e.Equal("1! 2! 3", s.ackNext(3))
	}},
	{name: "Loss/a queue that was deleted and made again starts empty, and its subscribers go on", prefetch: 4, run: func(e *env) {
		e.declare(nil)
		e.publish("1", "2", "3", "4", "5", "6")
		s := e.subscribe(e.queue)
		held := s.take(3)
		e.NoError(e.Delete(e.queue))
		for _, msg := range held {
			e.Error(e.ended(msg))
			msg.Ack()
		}
		e.declare(nil)
		e.publish("new")
		e.Equal("new", s.ackNext(1))
		e.NoError(s.conn.Close())
		e.Empty(e.left(e.queue))
	}},
	{name: "Loss/nothing is lost, whatever happens", prefetch: 8, run: func(e *env) {
		const all = 300
		e.declare(nil)
		e.publish(numbers(1, all)...)
		subs := []*subscriber{e.subscribe(e.queue), e.subscribe(e.queue)}
		random := rand.New(rand.NewPCG(1, 2)) // the same each time
		acked := map[string]bool{}
		for n := 1; len(acked) < all; n++ {
			var msg *message.Message
			select {
			case msg = <-subs[0].out:
			case msg = <-subs[1].out:
			case <-time.After(patience):
				e.FailNow("lost", "%d of %d came", len(acked), all)
			}
			if n%100 == 0 {
				e.Cut()
			}
			if random.IntN(4) == 0 {
				msg.Nack()
				continue
			}
			valid := msg.Context().Err() == nil
			if msg.Ack() && valid {
				acked[string(msg.Payload)] = true
			}
		}
	}},
}

var endCases = []testCase{
	{name: "End/what was delivered can still be acked, and the rest goes back", prefetch: 5, run: func(e *env) {
		e.declare(nil)
		e.publish("1", "2", "3")
		s := e.subscribe(e.queue)
		held := s.take(2) // the third is on its way, and never taken
		s.cancel()
		start := time.Now()
		e.True(held[0].Ack())
		e.Error(e.ended(held[0]))
		e.NoError(held[1].Context().Err(), "the work goes on")
		e.True(held[1].Ack())
		s.closed()
		e.Less(time.Since(start), patience, "as soon as all is settled")
		e.Equal("3", strings.TrimSuffix(e.left(e.queue), "!"))
	}},
	{name: "End/what is not acked in time returns to the queue, and late acks change nothing", prefetch: 5, stopTimeout: short, run: func(e *env) {
		e.declare(nil)
		e.publish("1", "2")
		s := e.subscribe(e.queue)
		held := s.take(2)
		s.cancel()
		s.closed()
		for _, msg := range held {
			e.NotErrorIs(e.ended(msg), context.Canceled, "the reason is another")
			msg.Ack()
		}
		s = e.subscribe(e.queue)
		e.Equal("1! 2!", s.ackNext(2))
		e.NoError(s.conn.Close())
		e.Empty(e.left(e.queue))
	}},
	{name: "End/Close waits for what was delivered, and ends all subscriptions", prefetch: 5, run: func(e *env) {
		e.declare(nil)
		e.publish("1")
		s := e.subscribe(e.queue)
		second, err := s.conn.Subscribe(e.t.Context(), e.queue)
		e.NoError(err)
		var msg *message.Message
		select {
		case msg = <-s.out:
		case msg = <-second:
		case <-time.After(patience):
			e.FailNow("no message")
		}
		closed := make(chan error, 1)
		go func() { closed <- s.conn.Close() }()
		e.NoError(msg.Context().Err(), "the work goes on")
		e.True(msg.Ack())
		select {
		case err := <-closed:
			e.NoError(err)
		case <-time.After(patience):
			e.FailNow("Close does not return")
		}
		s.closed()
		_, open := <-second
		e.False(open)
		_, err = s.conn.Subscribe(e.t.Context(), e.queue)
		e.Error(err)
		e.Empty(e.left(e.queue))
	}},
	{name: "End/a message's context has the values of Subscribe's, not its end", prefetch: 5, run: func(e *env) {
		type key struct{}
		e.declare(nil)
		e.publish("1")
		s := e.subscribeWith(context.WithValue(e.t.Context(), key{}, "value"), e.queue)
		msg := s.next()
		e.Equal("value", msg.Context().Value(key{}))
		s.cancel()
		e.NoError(msg.Context().Err())
		e.True(msg.Ack())
		s.closed()
		e.ErrorIs(e.ended(msg), context.Canceled, "it was settled")
	}},
}
