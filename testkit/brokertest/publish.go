package brokertest

import (
	"maps"
	"strings"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/konnektor-go/konnektor/notification"
	"github.com/konnektor-go/konnektor/notification/rabbitmq"
)

var publishCases = []testCase{
	{name: "Publish/a message goes to every queue with a binding that matches, once", prefetch: 10, run: func(e *env) {
		other := e.name("other")
		for _, queue := range []string{e.queue, other} {
			e.NoError(e.Declare(queue, e.with(nil)))
		}
		e.NoError(e.Bind(e.exchange, e.queue, "no.*.person.#", "no.uio.person"))
		e.NoError(e.Bind(e.exchange, other, "no.uio.#"))
		publisher := e.Publisher()
		for _, key := range []string{"no.uio.person", "no.ntnu.person.update", "no.uio", "no.uio.person.update"} {
			e.NoError(publisher.Publish(key, message.NewMessage(key, []byte(key))))
		}
		e.NoError(publisher.Close())
		e.Equal("no.uio.person no.ntnu.person.update no.uio.person.update", e.left(e.queue))
		e.Equal("no.uio.person no.uio no.uio.person.update", e.left(other))
	}},
	{name: "Publish/what no queue takes is an error", prefetch: 10, run: func(e *env) {
		e.declare(nil)
		e.NoError(e.Bind(e.exchange, e.queue, "a.*"))
		publisher := e.Publisher()
		e.ErrorIs(publisher.Publish("b.c", message.NewMessage("1", []byte("1"))), rabbitmq.ErrUnroutable)
		e.NoError(publisher.Publish("a.c", message.NewMessage("2", []byte("2"))))
		e.NoError(publisher.Close())
		e.Equal("2", e.left(e.queue))
	}},
	{name: "Publish/a time to live is a whole number of milliseconds, up to ten years", prefetch: 10, run: func(e *env) {
		e.declare(nil)
		for _, bad := range []string{"abc", "-1", "1.5", "315360000001"} {
			err := e.Publish("", e.queue, amqp.Publishing{Body: []byte("x"), Expiration: bad})
			e.ErrorContains(err, "xpiration", bad)
		}
		e.publishTo(e.queue, amqp.Publishing{Body: []byte("1"), Expiration: "315360000000"})
		e.Equal("1", e.left(e.queue))
	}},
	{name: "Declare/again is harmless, and otherwise an error that names the argument", run: func(e *env) {
		e.declare(amqp.Table{"x-message-ttl": int32(60000)})
		e.declare(amqp.Table{"x-message-ttl": int64(60000)})
		for _, c := range []struct {
			args amqp.Table
			arg  string
		}{
			{e.with(nil), "x-message-ttl"},
			{e.with(amqp.Table{"x-message-ttl": 1}), "x-message-ttl"},
			{e.with(amqp.Table{"x-message-ttl": 60000, "x-dead-letter-exchange": "x"}), "x-dead-letter-exchange"},
			{amqp.Table{"x-message-ttl": 60000, "x-queue-type": map[string]string{"quorum": "classic", "classic": "quorum"}[e.kind]}, "x-queue-type"},
		} {
			e.ErrorContains(e.Declare(e.queue, c.args), "inequivalent arg '"+c.arg+"'")
		}
	}},
	{name: "Declare/a queue without a type is classic", run: func(e *env) {
		e.NoError(e.Declare(e.queue, nil))
		e.NoError(e.Declare(e.queue, amqp.Table{"x-queue-type": "classic"}))
		e.ErrorContains(e.Declare(e.queue, amqp.Table{"x-queue-type": "quorum"}), "inequivalent arg 'x-queue-type'")
	}},
	{name: "Declare/arguments that cannot be are an error", run: func(e *env) {
		for _, c := range []struct {
			arg  string
			args amqp.Table
		}{
			{"x-queue-type", amqp.Table{"x-queue-type": "fast"}},
			{"x-message-ttl", e.with(amqp.Table{"x-message-ttl": "1000"})},
			{"x-message-ttl", e.with(amqp.Table{"x-message-ttl": -1})},
			{"x-message-ttl", e.with(amqp.Table{"x-message-ttl": int64(315_360_000_001)})},
			{"x-dead-letter-routing-key", e.with(amqp.Table{"x-dead-letter-routing-key": "k"})},
			{"x-delivery-limit", amqp.Table{"x-delivery-limit": 3}},
			{"x-dead-letter-strategy", amqp.Table{"x-dead-letter-strategy": "at-least-once"}},
			{"x-dead-letter-strategy", amqp.Table{"x-queue-type": "quorum", "x-dead-letter-strategy": "never"}},
			{"x-overflow", amqp.Table{"x-queue-type": "quorum", "x-overflow": "burst"}},
		} {
			e.ErrorContains(e.Declare(e.queue, c.args), c.arg)
		}
	}},
}

var deliveryCases = []testCase{
	{name: "Delivery/in the order in which they were published", prefetch: 7, run: func(e *env) {
		e.declare(nil)
		s := e.subscribe(e.queue)
		e.publish(numbers(1, 30)...)
		e.Equal(strings.Join(numbers(1, 30), " "), s.ackNext(30))
		e.NoError(s.conn.Close())
		e.Empty(e.left(e.queue))
	}},
	{name: "Delivery/has the properties, and headers of any type", prefetch: 1, run: func(e *env) {
		e.declare(nil)
		e.NoError(e.Bind(e.exchange, e.queue, "a.b"))
		when := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		headers := amqp.Table{
			"text": "t", "int": int32(7), "long": int64(1) << 40, "yes": true, "when": when,
			"table": amqp.Table{"k": "v"}, "list": []any{"a", int32(1)},
		}
		e.NoError(e.Publish(e.exchange, "a.b", amqp.Publishing{
			Body: []byte("1"), MessageId: "id-1", ContentType: "application/json", Headers: headers,
		}))
		msg := e.subscribe(e.queue).next()
		e.Equal("id-1", msg.UUID)
		e.Equal(message.Metadata{
			notification.MetaRoutingKey: "a.b", notification.MetaExchange: e.exchange,
			notification.MetaMessageID: "id-1", notification.MetaContentType: "application/json",
			"text": "t", "int": "7", "long": "1099511627776", "yes": "true", "when": "2026-01-02T03:04:05Z",
			"table": `{"k":"v"}`, "list": `["a",1]`,
		}, msg.Metadata)
		got, found := rabbitmq.Headers(msg.Context())
		e.True(found)
		arrived, ok := got["when"].(time.Time)
		e.True(ok, "a time is a %T", got["when"])
		e.True(when.Equal(arrived))
		got = maps.Clone(got)
		got["when"] = when
		e.Equal(headers, got)
		e.True(msg.Ack())
	}},
	{name: "Delivery/what the publisher writes of the broker's is not believed", prefetch: 1, run: func(e *env) {
		e.declare(nil)
		e.publishTo(e.queue, amqp.Publishing{Body: []byte("1"), Headers: amqp.Table{
			"x-delivery-count": int64(77), notification.MetaRedelivered: "true", notification.MetaRoutingKey: "forged",
		}})
		msg := e.subscribe(e.queue).next()
		e.NotContains(msg.Metadata, "x-delivery-count")
		e.NotContains(msg.Metadata, notification.MetaRedelivered)
		e.Equal(e.queue, msg.Metadata.Get(notification.MetaRoutingKey))
		e.True(msg.Ack())
	}},
	{name: "Delivery/is a new message each time", prefetch: 1, run: func(e *env) {
		e.declare(nil)
		e.publishTo(e.queue, amqp.Publishing{Body: []byte("data"), MessageId: "1", Headers: amqp.Table{"h": "v"}})
		s := e.subscribe(e.queue)
		first := s.next()
		first.Payload[0], first.Metadata["h"] = 'X', "changed"
		e.True(first.Nack())
		second := s.next()
		e.Equal("data!", bodies(second))
		e.Equal("v", second.Metadata.Get("h"))
		e.Equal("1", second.UUID)
		e.True(second.Ack())
	}},
	{name: "Delivery/up to Prefetch messages are held without an ack, and an ack makes room", prefetch: 2, run: func(e *env) {
		e.declare(nil)
		one := e.subscribe(e.queue)
		e.publish("1", "2", "3", "4")
		held := one.take(2)
		e.Equal("1 2", bodies(held...))
		two := e.subscribe(e.queue)
		rest := two.take(2)
		e.Equal("3 4", bodies(rest...), "the first has its fill")
		e.True(held[1].Ack())
		e.publish("5")
		e.Equal("5", one.ackNext(1), "the second has its fill")
		for _, msg := range append(rest, held[0]) {
			e.True(msg.Ack())
		}
	}},
	{name: "Delivery/each is acked for itself, in any order, for good", prefetch: 20, stopTimeout: short, run: func(e *env) {
		e.declare(nil)
		s := e.subscribe(e.queue)
		e.publish(numbers(0, 9)...)
		held := s.take(10)
		for _, i := range []int{8, 2, 6, 0, 4} {
			e.True(held[i].Ack())
			e.Error(e.ended(held[i]), "the context ends with the ack")
		}
		e.NoError(held[1].Context().Err())
		e.NoError(s.conn.Close())
		s = e.subscribe(e.queue)
		e.Equal("1! 3! 5! 7! 9!", s.ackNext(5))
		e.NoError(s.conn.Close())
		e.Empty(e.left(e.queue))
	}},
	{name: "Delivery/subscribers of one queue share its messages", prefetch: 1, run: func(e *env) {
		e.declare(nil)
		subs := []*subscriber{e.subscribe(e.queue), e.subscribe(e.queue), e.subscribe(e.queue)}
		e.publish("1", "2", "3")
		seen := map[string]bool{}
		var held []*message.Message
		for _, s := range subs {
			msg := s.next()
			seen[bodies(msg)] = true
			held = append(held, msg)
		}
		e.Equal(map[string]bool{"1": true, "2": true, "3": true}, seen)
		for _, msg := range held {
			e.True(msg.Ack())
		}
	}},
}

// short is a time that is waited for in full.
const short = 300 * time.Millisecond
