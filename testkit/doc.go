// Package testkit holds the systems around a connector, in memory: [Broker] for
// RabbitMQ, [Gateway] for the API gateway with a source behind it, [Target] for
// the system that is provisioned. Each can be made to fail on purpose and
// remembers what happened to it.
//
// Everything works in ordinary programs and in the bubbles of testing/synctest,
// where waiting takes no real time. Whatever is used in a bubble must be made
// in it, and closed before it ends.
//
// What [Broker] promises:
//   - A message goes to every queue with a binding that matches its routing
//     key, as AMQP topic patterns do. One that goes nowhere is an error.
//   - A subscriber gets up to Prefetch messages without acking any. Subscribers
//     of one queue take turns.
//   - Messages come in the order in which they were published.
//   - Every delivery is a new message: nothing is shared with the publisher, nor
//     with an earlier delivery.
//   - A nacked message goes to the back of its queue. It is marked as
//     redelivered when it comes again.
//   - After [Broker.Cut], as after a lost connection, all that was delivered
//     and not acked comes again, in its order and ahead of the rest, to the
//     same subscribers. Late acks change nothing.
//   - When a subscription ends, it delivers nothing more, but what it delivered
//     can still be acked for StopTimeout. What is left returns to its place in
//     the queue; then the output channel is closed.
//   - A delivery's context lives on when its subscription ends. It ends when the
//     delivery is acked, nacked or taken back.
//   - Whatever happens, a message is in its queue until it is acked, once.
//   - No goroutine is left when Close has returned.
//
// What [Gateway] promises:
//   - It answers in the gateway's words: a missing or wrong key, another method
//     than GET, no API at the path, an API that is stopped, a backend that is
//     down.
//   - What went through an API carries a transaction id, the client's own if it
//     sent one, and a request id. The answer that there is no API carries none.
//   - An entity that is missing is the backend's 404, with a JSON body.
//   - With a cache, a fetch may return an older state, and nothing tells. The
//     header X-Gravitee-Cache with REFRESH or BY_PASS reads past it.
//   - The state is read when the request arrives, and the latency comes after:
//     an answer is as old as a real one may be.
//   - A failure replaces or spoils the backend's answer: status, headers, body,
//     delay, a body cut short, a lost connection.
//   - As an [net/http.RoundTripper] it needs no socket, and gives up when the
//     request's context ends.
//   - Every request is logged, those that were refused or given up too.
//
// What [Target] promises:
//   - It keeps the contract of [sink.Target]: ErrExists, ErrNotFound, and
//     ErrConflict when the entity is not as it was read.
//   - An update changes the given fields only, where they name fields of T.
//   - A call takes effect after half of its latency. If ctx ends before, nothing
//     was written; if it ends after, the write was made and the answer is lost.
//   - A failure can come before the operation, and after it: a lost answer.
//   - Values are copied on the way in and out.
//   - Every write is logged, with the state before and after.
//   - It counts the calls that began while another for the same key was going on.
package testkit
