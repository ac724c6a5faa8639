// Package testkit holds the systems around a connector, in memory: [Broker] for
// RabbitMQ, [Gateway] for the API gateway with a source behind it, [Target] for
// the system that is provisioned. Each can be made to fail on purpose and
// remembers what happened to it.
//
// Everything works in ordinary programs and in the bubbles of testing/synctest,
// where waiting takes no real time. Whatever is used in a bubble must be made
// in it, and closed before it ends.
//
// What [Broker] promises, as RabbitMQ 3.10 does it behind package rabbitmq; the
// suite in package brokertest compares the two rule by rule:
//   - A message goes to every queue with a binding that matches its routing
//     key, as AMQP topic patterns do. One that goes nowhere is an error.
//   - A subscriber gets up to Prefetch messages without acking any. Subscribers
//     of one queue take turns.
//   - Messages come in the order in which they were published.
//   - Every delivery is a new message: nothing is shared with the publisher, nor
//     with an earlier delivery.
//   - What comes again is marked as redelivered, and a quorum queue counts it in
//     the header x-delivery-count, from 1. Nobody else can write that header, nor
//     the mark.
//   - A nacked message goes to the back of a quorum queue, to the front if the
//     queue has a delivery limit, and to its place in a classic queue.
//   - With a delivery limit, a message comes so often again, whether it was
//     nacked or its connection lost, and then it leaves the queue.
//   - After a lost connection, all that was delivered and not acked comes again
//     to the same subscribers, in its order and ahead of the rest. Late acks
//     change nothing. The same goes for a consumer that the broker cancels.
//   - A queue that is deleted and made again starts empty; its subscribers go on.
//   - What is beyond the delivery limit, rejected or expired goes to the queue's
//     dead-letter exchange with its history in x-death and x-first-death-*, or
//     is dropped if no queue takes it. A circle without a rejection is dropped.
//     With at-least-once dead-lettering, what no queue takes stays, and is tried
//     again every three minutes.
//   - A message expires after the shorter of its own time to live and the
//     queue's, but only at the head of the queue: it waits behind one that lives
//     longer. What is delivered does not expire, unless it returns.
//   - When a subscription ends, it delivers nothing more, but what it delivered
//     can still be acked for StopTimeout. What is left returns to the queue; then
//     the output channel is closed.
//   - A delivery's context lives on when its subscription ends. It ends when the
//     delivery is acked, nacked or taken back.
//
// And besides, in which it differs from RabbitMQ on purpose:
//   - What goes wrong goes wrong by request: a connection is lost, a message
//     duplicated, delayed, or overtakes others, only by [Broker.Cut] or
//     [Broker.Fail], and a subscriber that lost something is back at once.
//   - A connection can be lost at a chosen moment: right after a message was
//     delivered, before its ack has arrived, or right after.
//   - Subscribing to a queue that there is not is an error, because in a test it
//     is a slip. The transport waits for it.
//   - All that was published is acked, dead-lettered, dropped or still in a
//     queue, and the counters add up.
//   - No goroutine is left when Close has returned.
//
// What [Gateway] promises, as Gravitee 3.15 to 4.12 do it; what differs between
// versions follows GatewayConfig.Version:
//   - It answers in the gateway's words: a missing or wrong key, a path or method
//     that the plan refuses, no API at the path, an API that is stopped, a
//     backend that refuses connections, is too slow, or has no healthy endpoint.
//     The owner of an API may replace those answers.
//   - What went through an API carries a transaction id, the client's own if it
//     sent one, and a request id. The answer that there is no API carries none
//     since 3.18.20, 3.19.9 and 3.20.3. Since 4.0, what passed the plan's check
//     carries a client identifier.
//   - Its own errors close the connection; since 4.0, those of 4xx do not.
//   - A new key, and the API's stop or start, reach two instances one after the
//     other: meanwhile, answers alternate.
//   - An entity that is missing is the backend's 404, with a JSON body.
//   - With a cache, a fetch may return an older state, and nothing tells. The
//     header X-Gravitee-Cache with REFRESH or BY_PASS reads past it, so does the
//     parameter cache. Every 2xx is kept, whatever its headers say, and comes
//     back as 200: parts of a body, and on 3.x the nothing of a HEAD.
//   - Limits have fixed windows from the first request; the answers say when
//     they end, in milliseconds of the gateway's clock. The backend's headers of
//     the same names come second.
//   - A backend that dies in the middle of a body makes a truncated body with a
//     clean end, which is kept; on 3.x, a lost connection.
//   - The state is read when the request arrives, and the latency comes after:
//     an answer is as old as a real one may be.
//   - A failure replaces or spoils the backend's answer: status, headers, body,
//     delay, a body cut short, a lost connection.
//   - As an [net/http.RoundTripper] it needs no socket, and gives up when the
//     request's context ends. Its times are those of package time.
//   - Every request is logged, those that were refused or given up too, with
//     its status, its headers but for the key, and how often the backend was
//     called.
//
// What [Target] promises:
//   - It keeps the contract of [sink.Target]: ErrExists, ErrNotFound, and
//     ErrConflict when the entity is not as it was read. With [sink.Ensure] it
//     passes the suite in package sinktest.
//   - An update changes the given fields only, where they name fields of T.
//   - A call takes effect after half of its latency. If ctx ends before, nothing
//     was written; if it ends after, the write was made and the answer is lost.
//   - A failure can come before the operation, and after it: a lost answer.
//   - Values are copied on the way in and out.
//   - Every write is logged, with the state before and after.
//   - It counts the calls that began while another for the same key was going on.
package testkit
