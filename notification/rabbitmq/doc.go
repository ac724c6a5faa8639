// Package rabbitmq connects to RabbitMQ by AMQP 0.9.1, behind Watermill's
// interfaces: a [Subscriber] with many messages in flight, a [Publisher] with a
// window of confirms, and a [Marshaler] for programs that use watermill-amqp.
//
// # Connection
//
//   - A URL can have several hosts. They are tried in turn, in a random order,
//     from the one after that of the last connection on: for 3 s each until one
//     answers, and 10 s until it is ready.
//   - A broker that is silent for one and a half heartbeats is given up. A call
//     that it has to answer is given up after 10 s.
//   - Credentials and the files of certificates are read again for each
//     connection. Credentials are in no error, log, [State] or [Finding].
//   - Each connection has a TLS configuration of its own, with the name of its
//     host. What goes wrong with TLS is an error that says what to set.
//   - Operators see the name, the machine and the process of a connection, and
//     the name in the consumer's tag.
//   - What is declared by a [Topology] and exists otherwise is an error that
//     names what differs; nothing is changed. It is tried again with growing
//     pauses, like any failure to connect.
//   - State tells what is going on, and the log has one line for each change of
//     it. Check looks at all that the work depends on, and changes nothing.
//
// # Subscriber
//
//   - It attaches to a queue as it is and declares nothing, unless told to, so
//     it needs the right to read only, and no queue has arguments that do not
//     suit it.
//   - Up to Prefetch messages are in flight at a time: the next is handed out
//     without waiting for the earlier ones. Each is settled for itself, in any
//     order. Ack removes it from the queue, Nack puts it back.
//   - A message is delivered at least once: until its ack has reached the
//     broker, it is delivered again after any loss.
//   - After a loss (of the connection or the channel, or because the queue was
//     deleted or has moved, or its consumer timeout has passed) it connects anew,
//     with growing pauses of some seconds, without end. The same goes for
//     the first time, and for a queue that is missing.
//   - What settles messages from before a loss is dropped. It never settles
//     another message.
//   - An empty message is handed out only if somebody published one.
//   - The end of Subscribe's context, or Close, stops the deliveries. What waits
//     in the output channel is taken back, unless somebody takes it at that
//     moment. Messages in flight can still be settled, until StopTimeout; the rest
//     goes back to the queue. Then the output channel is closed and nothing of the
//     subscription is left. Close waits for that. The queue's next consumer, where
//     one at a time is active, begins after that and not before.
//   - A message's context has the values of Subscribe's context, but not its
//     end. It ends soon after the message was settled (in some milliseconds, 70
//     if tens of thousands are in flight), or when it cannot be settled any more:
//     after a loss, or when StopTimeout has passed. So work that is under way can
//     finish during a stop, and work whose ack would be dropped, because another
//     will do it, is told to stop; [context.Cause] says why.
//
// # Publisher
//
//   - Publish returns nil only after the broker has confirmed every message.
//     Messages are persistent.
//   - A message that no queue takes is an error, [ErrUnroutable]; that is known
//     for each message, even when ids repeat.
//   - At most Window messages wait for confirms, over all calls. Calls share a
//     channel, and none waits for another's messages but for a place in the
//     window.
//   - A message that the broker refuses, or does not confirm within a third of
//     ConfirmTimeout, or whose connection is lost, is sent again, on a new
//     connection: at least once, not in order. After a few times, or when
//     ConfirmTimeout has passed, the error is [ErrUnconfirmed].
//   - While the broker blocks the connection, because it is low on memory or disk,
//     nothing is sent. Calls wait, for ConfirmTimeout at most. The connection
//     stays, and goes on when the broker does.
//   - A connection that fails is an error at once, without credentials, for all
//     calls that wait for it. The next call connects again, after a pause. One that
//     is lost while nobody publishes shows in State and the log.
//   - A message that AMQP cannot carry is an error before anything is sent.
//   - Close waits for the calls under way.
//
// # Messages
//
// The AMQP message id is the message's UUID; one that is missing or unusable is
// replaced by the UUID that watermill-amqp wrote, or by a new one.
//
// Headers are metadata under their names: strings as they are, numbers in
// decimal, times in RFC 3339 and UTC, bytes as text or else in base64, tables and
// arrays in JSON. No header of any type makes a message fail. The other
// properties are metadata by the Meta keys of package notification, and headers
// whose names are reserved for them are dropped. So is x-delivery-count unless
// the message was delivered before, because otherwise the broker did not make it.
// [Headers] gives them with their types.
//
// In the other direction, metadata become headers, as strings. Reserved keys do
// not, but the content type becomes that property. Nor do the headers that
// belong to the broker (x-death and its like, x-delivery-count, CC, BCC), so that
// a received message can be published again.
package rabbitmq
