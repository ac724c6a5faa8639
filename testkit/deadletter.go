package testkit

import (
	"maps"
	"slices"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// The reasons of dead letters. Rejected ones alone may go round in circles,
// because there somebody decided each time.
const (
	rejected = "rejected"
	expired  = "expired"
	limited  = "delivery_limit"
)

// deadLetterLocked moves a message that has left the queue to where the queue's
// dead letters go, or drops it.
func (b *Broker) deadLetterLocked(q *queue, m *stored, reason string) {
	if !q.deadLetters {
		b.dropped++
		return
	}
	b.moveLocked(q, &stored{message: q.deadLetter(m.message, reason), reason: reason})
}

// moveLocked moves a dead letter on.
func (b *Broker) moveLocked(q *queue, dead *stored) {
	d := dead.message
	bound := b.routeLocked(d.Exchange, d.RoutingKey)
	if len(bound) == 0 && q.keep {
		dead.when = time.Now().Add(stuckPause)
		q.stuck = append(q.stuck, dead)
		return
	}
	if dead.reason != rejected {
		bound = slices.DeleteFunc(bound, func(to *queue) bool { return circular(d, to.name) })
	}
	if len(bound) == 0 {
		b.dropped++
		return
	}
	b.deadLettered++
	for _, to := range bound {
		b.putLocked(to, &stored{message: d})
		b.dispatchLocked(to)
	}
}

// deadLetter returns the message as it leaves the queue for another.
func (q *queue) deadLetter(d amqp.Delivery, reason string) amqp.Delivery {
	d.Headers = maps.Clone(d.Headers)
	past, _ := d.Headers["x-death"].([]any)
	if len(past) == 0 {
		d.Headers["x-first-death-exchange"] = d.Exchange
		d.Headers["x-first-death-queue"] = q.name
		d.Headers["x-first-death-reason"] = reason
	}
	death := amqp.Table{
		"count":        int64(1),
		"reason":       reason,
		"queue":        q.name,
		"exchange":     d.Exchange,
		"routing-keys": []any{d.RoutingKey},
		"time":         time.Now().UTC().Truncate(time.Second),
	}
	if d.Expiration != "" {
		death["original-expiration"] = d.Expiration
		d.Expiration = ""
	}
	deaths := []any{death} // the newest first
	for _, one := range past {
		earlier, _ := one.(amqp.Table)
		if earlier["queue"] != q.name || earlier["reason"] != reason {
			deaths = append(deaths, one)
			continue
		}
		again := maps.Clone(earlier) // with the time of the first
		n, _ := earlier["count"].(int64)
		again["count"] = n + 1
		deaths[0] = again
	}
	d.Headers["x-death"] = deaths
	d.Exchange = q.exchange
	if q.routingKey != "" {
		d.RoutingKey = q.routingKey
	}
	return d
}

// circular reports whether a dead letter would come back to a queue in which it
// died before, without having been rejected since. RabbitMQ drops it then.
func circular(d amqp.Delivery, queueName string) bool {
	deaths, _ := d.Headers["x-death"].([]any)
	for _, one := range deaths {
		death, _ := one.(amqp.Table)
		switch {
		case death["reason"] == rejected:
			return false
		case death["queue"] == queueName:
			return true
		}
	}
	return false
}
