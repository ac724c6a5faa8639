package brokertest

import (
	"maps"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/konnektor-go/konnektor/notification"
	"github.com/konnektor-go/konnektor/notification/rabbitmq"
)

// deaths returns the entries of x-death, without their times.
func (e *env) deaths(msg *message.Message) []amqp.Table {
	e.t.Helper()
	headers, _ := rabbitmq.Headers(msg.Context())
	entries, ok := headers["x-death"].([]any)
	e.True(ok, "x-death is a %T", headers["x-death"])
	var all []amqp.Table
	for _, entry := range entries {
		table, ok := entry.(amqp.Table)
		e.True(ok, "an entry is a %T", entry)
		table = maps.Clone(table)
		when, ok := table["time"].(time.Time)
		e.True(ok, "its time is a %T", table["time"])
		e.WithinDuration(time.Now(), when, 5*patience)
		delete(table, "time")
		all = append(all, table)
	}
	return all
}

// death is an entry of x-death, without its time.
func death(count int64, queue, reason, exchange, key string) amqp.Table {
	return amqp.Table{"count": count, "queue": queue, "reason": reason, "exchange": exchange, "routing-keys": []any{key}}
}

var deadLetterCases = []testCase{
	{name: "DeadLetter/beyond the delivery limit", quorum: true, prefetch: 1, run: func(e *env) {
		dead := e.declareWithDeadLetters(amqp.Table{"x-delivery-limit": 1})
		e.NoError(e.Bind(e.exchange, e.queue, "a.b"))
		e.NoError(e.Publish(e.exchange, "a.b", amqp.Publishing{Body: []byte("1"), MessageId: "id", Headers: amqp.Table{"h": "v"}}))
		s := e.subscribe(e.queue)
		for range 2 {
			e.True(s.next().Nack())
		}
		msg := e.subscribe(dead).next()
		e.Equal("1", bodies(msg), "it was never delivered from there")
		e.Equal("id", msg.UUID)
		e.Equal([]amqp.Table{death(1, e.queue, "delivery_limit", e.exchange, "a.b")}, e.deaths(msg))
		e.Equal(e.exchange, msg.Metadata.Get("x-first-death-exchange"))
		e.Equal(e.queue, msg.Metadata.Get("x-first-death-queue"))
		e.Equal("delivery_limit", msg.Metadata.Get("x-first-death-reason"))
		e.Equal("v", msg.Metadata.Get("h"))
		e.Equal(dead, msg.Metadata.Get(notification.MetaRoutingKey))
		e.Empty(msg.Metadata.Get(notification.MetaExchange), "the default exchange")
		e.True(msg.Ack())
	}},
	{name: "DeadLetter/rejected", prefetch: 1, run: func(e *env) {
		dead := e.declareWithDeadLetters(nil)
		e.publish("1", "2")
		e.NoError(e.Reject(e.queue))
		msg := e.subscribe(dead).next()
		e.Equal("1", bodies(msg))
		e.Equal([]amqp.Table{death(1, e.queue, "rejected", "", e.queue)}, e.deaths(msg))
		e.True(msg.Ack())
		e.Equal("2", e.left(e.queue))
	}},
	{name: "DeadLetter/without an exchange for it, what is rejected is dropped", prefetch: 1, run: func(e *env) {
		e.declare(nil)
		e.publish("1", "2")
		e.NoError(e.Reject(e.queue))
		e.Equal("2", e.left(e.queue))
	}},
	{name: "DeadLetter/what has nowhere to go is dropped, and the rest goes on", prefetch: 1, run: func(e *env) {
		e.declare(amqp.Table{"x-dead-letter-exchange": e.name("missing")})
		e.publish("1", "2")
		e.NoError(e.Reject(e.queue))
		e.Equal("2", e.left(e.queue))
	}},
	{name: "DeadLetter/goes by its own routing key if none is set", prefetch: 1, run: func(e *env) {
		exchange, dead := e.name("dlx"), e.name("dead")
		e.NoError(e.Declare(dead, e.with(nil)))
		e.NoError(e.Bind(exchange, dead, "no.uio.#"))
		e.declare(amqp.Table{"x-dead-letter-exchange": exchange})
		e.NoError(e.Bind(e.exchange, e.queue, "#"))
		e.NoError(e.Publish(e.exchange, "no.uio.person", amqp.Publishing{Body: []byte("1")}))
		e.NoError(e.Reject(e.queue))
		msg := e.subscribe(dead).next()
		e.Equal("no.uio.person", msg.Metadata.Get(notification.MetaRoutingKey))
		e.Equal(exchange, msg.Metadata.Get(notification.MetaExchange))
		e.True(msg.Ack())
	}},
	{name: "DeadLetter/deaths of a kind are counted, the newest kind first", prefetch: 1, run: func(e *env) {
		retry := e.name("retry")
		e.declare(amqp.Table{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": retry})
		e.NoError(e.Declare(retry, e.with(amqp.Table{
			"x-message-ttl": 100, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": e.queue,
		})))
		e.publish("1")
		for range 2 {
			e.within(func() error { return e.Reject(e.queue) }) // so the circle is not dropped
		}
		msg := e.subscribe(e.queue).next()
		e.Equal([]amqp.Table{
			death(2, retry, "expired", "", retry),
			death(2, e.queue, "rejected", "", e.queue),
		}, e.deaths(msg))
		e.Equal(e.queue, msg.Metadata.Get("x-first-death-queue"))
		e.Equal("rejected", msg.Metadata.Get("x-first-death-reason"))
		e.True(msg.Ack())
	}},
	{name: "DeadLetter/a circle without a rejection is dropped", prefetch: 1, run: func(e *env) {
		second, witness := e.name("second"), e.name("witness")
		e.NoError(e.Declare(witness, e.with(nil)))
		e.NoError(e.Declare(second, e.with(amqp.Table{"x-message-ttl": 100, "x-dead-letter-exchange": e.exchange})))
		e.declare(amqp.Table{"x-message-ttl": 100, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": second})
		for _, queue := range []string{witness, e.queue} {
			e.NoError(e.Bind(e.exchange, queue, "#"))
		}
		e.publish("1")
		msg := e.subscribe(witness).next() // so it has been round
		e.Len(e.deaths(msg), 2)
		e.True(msg.Ack())
		e.subscribe(e.queue).gets("2")
	}},
	{name: "DeadLetter/with at-least-once, what has nowhere to go stays and is tried again after three minutes", quorum: true, prefetch: 1, run: func(e *env) {
		dead := e.name("dead")
		e.declare(amqp.Table{
			"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead,
			"x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish",
		})
		e.publish("1")
		e.NoError(e.Reject(e.queue))
		e.NoError(e.Declare(dead, e.with(nil)))
		start := time.Now()
		s := e.subscribe(dead)
		var msg *message.Message
		select {
		case msg = <-s.out:
		case <-time.After(5 * time.Minute):
			e.FailNow("no dead letter")
		}
		e.GreaterOrEqual(time.Since(start), 2*time.Minute)
		e.Equal([]amqp.Table{death(1, e.queue, "rejected", "", e.queue)}, e.deaths(msg))
		e.True(msg.Ack())
	}},
}

// pass lets more than d pass, by a queue in which a message lives that long.
func (e *env) pass(d time.Duration) {
	e.t.Helper()
	clock, alarm := e.name("clock"), e.name("alarm")
	e.NoError(e.Declare(alarm, nil))
	e.NoError(e.Declare(clock, amqp.Table{
		"x-message-ttl": d.Milliseconds(), "x-dead-letter-exchange": "", "x-dead-letter-routing-key": alarm,
	}))
	e.publishTo(clock, amqp.Publishing{Body: []byte("time is up")})
	s := e.subscribe(alarm)
	e.True(s.next().Ack())
	e.NoError(s.conn.Close())
}

var expiryCases = []testCase{
	{name: "Expiry/by the queue's time to live", prefetch: 5, run: func(e *env) {
		dead := e.declareWithDeadLetters(amqp.Table{"x-message-ttl": 200})
		start := time.Now()
		e.publish("1", "2")
		s := e.subscribe(dead)
		msg := s.next()
		e.GreaterOrEqual(time.Since(start), 200*time.Millisecond)
		e.Equal("1", bodies(msg))
		e.Equal([]amqp.Table{death(1, e.queue, "expired", "", e.queue)}, e.deaths(msg))
		e.True(msg.Ack())
		e.Equal("2", s.ackNext(1))
	}},
	{name: "Expiry/without an exchange for dead letters, what expires is dropped", prefetch: 5, run: func(e *env) {
		e.declare(amqp.Table{"x-message-ttl": 100})
		e.publish("1")
		e.pass(400 * time.Millisecond)
		e.subscribe(e.queue).gets("2")
	}},
	{name: "Expiry/by the message's own, whichever is shorter", prefetch: 5, run: func(e *env) {
		dead := e.declareWithDeadLetters(amqp.Table{"x-message-ttl": 500})
		s := e.subscribe(dead)
		for _, own := range []string{"100", "60000"} {
			e.publishTo(e.queue, amqp.Publishing{Body: []byte(own), Expiration: own})
			msg := s.next()
			e.Equal(own, bodies(msg))
			want := death(1, e.queue, "expired", "", e.queue)
			want["original-expiration"] = own
			e.Equal([]amqp.Table{want}, e.deaths(msg))
			e.True(msg.Ack())
		}
	}},
	{name: "Expiry/a message waits behind one that lives longer", prefetch: 5, run: func(e *env) {
		dead := e.declareWithDeadLetters(nil)
		e.publishTo(e.queue, amqp.Publishing{Body: []byte("long"), Expiration: "60000"})
		e.publishTo(e.queue, amqp.Publishing{Body: []byte("short"), Expiration: "100"})
		e.publish("last")
		e.pass(400 * time.Millisecond)
		e.Empty(e.left(dead), "not yet")
		s := e.subscribe(e.queue)
		e.Equal("long last", s.ackNext(2))
		e.NoError(s.conn.Close())
		e.Equal("short", e.subscribe(dead).ackNext(1))
	}},
	{name: "Expiry/what was delivered does not expire, unless it returns", prefetch: 2, run: func(e *env) {
		dead := e.declareWithDeadLetters(amqp.Table{"x-message-ttl": 500})
		s := e.subscribe(e.queue)
		e.publish("1", "2")
		held := s.take(2)
		e.pass(time.Second)
		e.True(held[0].Ack())
		e.True(held[1].Nack())
		letters := e.subscribe(dead)
		e.Equal("2", letters.ackNext(1))
		e.NoError(letters.conn.Close())
		e.NoError(s.conn.Close())
		e.Empty(e.left(dead))
		e.Empty(e.left(e.queue))
	}},
}
