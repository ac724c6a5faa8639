package testkit

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/konnektor-go/konnektor/notification/rabbitmq"
)

const (
	// deliveryCount is the header in which a quorum queue counts how often it
	// delivered a message before.
	deliveryCount = "x-delivery-count"
	// stuckPause is how long RabbitMQ waits before it tries again to move a
	// dead letter that had nowhere to go, with at-least-once dead-lettering.
	stuckPause = 180 * time.Second
)

type binding struct{ exchange, pattern string }

type queue struct {
	spec

	name     string
	bindings []binding
	returned []*stored // of a quorum queue: given back, they come first, in this order
	ready    []*stored // ascending by place
	delayed  []*stored // by Fault.Delay, on their way, ascending by time
	stuck    []*stored // dead letters that have nowhere to go, ascending by time
	subs     []*subscription
	turn     int // index in subs of whose turn it is
}

func byName(x, y *queue) int { return strings.Compare(x.name, y.name) }

// stored is a message in a queue. A new one is made for every queue it gets to.
type stored struct {
	place   int64     // in the order of ready
	returns int64     // how often it was delivered before
	expires time.Time // zero: never
	when    time.Time // it is delayed or stuck until then
	reason  string    // of a dead letter that is stuck
	fault   Fault     // what of it is still to come
	message amqp.Delivery
}

// delivery makes the Watermill message of one delivery, just as the subscriber
// of package rabbitmq does.
func (m *stored) delivery(counts bool) *message.Message {
	d := copyOf(m.message)
	if m.returns > 0 {
		d.Redelivered = true
		if counts {
			d.Headers = maps.Clone(d.Headers)
			d.Headers[deliveryCount] = m.returns
		}
	}
	msg, _ := rabbitmq.Marshaler{}.Unmarshal(d) // never an error
	return msg
}

// Declare makes a queue with RabbitMQ's own arguments, or checks that the queue
// there is has the same. It knows:
//   - x-queue-type: "quorum", or "classic" as without it
//   - x-delivery-limit: of a quorum queue, how often a message is delivered
//     again; none by default
//   - x-message-ttl: in ms
//   - x-dead-letter-exchange, x-dead-letter-routing-key
//   - x-dead-letter-strategy: "at-most-once" by default; "at-least-once" is for a
//     quorum queue, and needs the next one to have an effect
//   - x-overflow: "drop-head" by default, or "reject-publish"; queues have no
//     limit here, so they do not overflow
//
// RabbitMQ ignores arguments that it does not know. Here they are an error.
func (b *Broker) Declare(queueName string, args amqp.Table) error {
	if queueName == "" || len(queueName) > maxName {
		return fmt.Errorf("queueName: %d bytes, must be 1 to %d", len(queueName), maxName)
	}
	want, err := parse(args)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return errClosed
	}
	q := b.queues[queueName]
	if q == nil {
		b.makeLocked(queueName, want)
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(argKinds)) {
		if have, got := q.args[name], want.args[name]; have != got {
			return fmt.Errorf("%s: inequivalent arg '%s': the queue has %v and not %v: declare it as it is, or delete it first",
				name, name, said(have), said(got))
		}
	}
	return nil
}

func said(value any) any {
	if value == nil {
		return "none"
	}
	return value
}

// makeLocked makes a queue. Subscribers that lost an earlier one of the same
// name are back.
func (b *Broker) makeLocked(name string, s spec) *queue {
	q := &queue{name: name, spec: s}
	b.queues[name] = q
	for _, s := range b.subs {
		if s.queueName == name && !s.stopping {
			s.queue = q
			q.subs = append(q.subs, s)
		}
	}
	return q
}

// DeleteQueue deletes the queue with its messages and bindings, also what
// subscribers hold. They stay, and go on when a queue of that name is made again.
func (b *Broker) DeleteQueue(queueName string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	q := b.queues[queueName]
	if q == nil {
		return errNoQueue
	}
	b.sweepLocked()
	b.dropped += b.lenLocked(q)
	delete(b.queues, queueName)
	for _, s := range b.subs {
		if s.queue == q {
			s.forgetLocked()
			s.queue = nil
		}
	}
	b.wakeLocked()
	return nil
}

// Reject rejects the first message that no subscriber holds, as another
// consumer may: it leaves the queue, as a dead letter if the queue is set up so.
func (b *Broker) Reject(queueName string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	q := b.queues[queueName]
	if q == nil {
		return errNoQueue
	}
	m := q.head()
	if m == nil {
		return errors.New("queueName: no message is ready in the queue, publish one or lower Prefetch")
	}
	q.pop()
	b.deadLetterLocked(q, m, rejected)
	b.wakeLocked()
	return nil
}

// putLocked puts a new message into the queue. The caller dispatches.
func (b *Broker) putLocked(q *queue, m *stored) {
	b.published++
	if m.fault.Delay > 0 {
		m.when = time.Now().Add(m.fault.Delay)
		q.delayed = append(q.delayed, m)
		slices.SortStableFunc(q.delayed, func(x, y *stored) int { return x.when.Compare(y.when) })
		return
	}
	b.arriveLocked(q, m)
}

// arriveLocked gives a message its place in the queue and starts its time to
// live, the shorter one of the queue's and its own.
func (b *Broker) arriveLocked(q *queue, m *stored) {
	ttl := q.ttl
	if own, err := milliseconds(m.message.Expiration); err == nil && (ttl < 0 || own < ttl) {
		ttl = own
	}
	if ttl >= 0 {
		m.expires = time.Now().Add(ttl)
	}
	if m.fault.Ahead {
		b.front--
		m.place = b.front
		q.ready = slices.Insert(q.ready, 0, m)
		return
	}
	b.backLocked(q, m)
}

func (b *Broker) backLocked(q *queue, m *stored) {
	b.back++
	m.place = b.back
	q.ready = append(q.ready, m)
}

// giveBackLocked returns a message to its queue that was delivered and not
// acked. The caller dispatches.
func (b *Broker) giveBackLocked(q *queue, m *stored, nacked bool) {
	m.returns++
	switch {
	case q.limit >= 0 && m.returns > q.limit:
		b.deadLetterLocked(q, m, limited)
	case !q.quorum: // to where it was
		at, _ := slices.BinarySearchFunc(q.ready, m, func(x, y *stored) int { return cmp.Compare(x.place, y.place) })
		q.ready = slices.Insert(q.ready, at, m)
	case nacked && q.limit < 0:
		b.backLocked(q, m)
	default:
		q.returned = append(q.returned, m)
	}
}

// head returns the message that is next, nil if there is none.
func (q *queue) head() *stored {
	switch {
	case len(q.returned) > 0:
		return q.returned[0]
	case len(q.ready) > 0:
		return q.ready[0]
	default:
		return nil
	}
}

// pop removes the head.
func (q *queue) pop() {
	if len(q.returned) > 0 {
		q.returned = shift(q.returned)
	} else {
		q.ready = shift(q.ready)
	}
}

func shift(list []*stored) []*stored {
	list[0] = nil // let it be collected
	return list[1:]
}

// next returns when something happens in the queue by itself, zero if never.
// Only the head expires: the others wait behind it, however old.
func (q *queue) next() time.Time {
	var next time.Time
	if m := q.head(); m != nil {
		next = m.expires
	}
	for _, list := range [][]*stored{q.delayed, q.stuck} {
		if len(list) > 0 {
			next = earlier(next, list[0].when)
		}
	}
	return next
}

func (b *Broker) lenLocked(q *queue) int {
	n := len(q.returned) + len(q.ready) + len(q.delayed) + len(q.stuck)
	for _, s := range b.subs {
		if s.queue == q {
			n += len(s.unacked)
		}
	}
	return n
}
